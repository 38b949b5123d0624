"""Answer media analysis requests kept in Supabase.

Exit codes: 0 success; 1 finished, but something is wrong; 2 a mistake that has to be fixed; 75 a temporary failure;
130 Ctrl-C; 143 SIGTERM.
"""

import asyncio
import os
from pathlib import Path
from typing import Annotated, Literal

import typer

from sentinel_worker import __version__
from sentinel_worker.commands import models
from sentinel_worker.commands.console import needs_extra
from sentinel_worker.commands.dev_options import dev
from sentinel_worker.commands.exits import exit_code, fail, run_to_its_end
from sentinel_worker.commands.migrating import migration_errors_translated
from sentinel_worker.commands.models import DetectorsFile
from sentinel_worker.commands.run import end_at_once_on_signals, serve_to_its_end
from sentinel_worker.config import settings as settings_module
from sentinel_worker.database import migrate
from sentinel_worker.detectors import registry
from sentinel_worker.domain.errors import CodedError
from sentinel_worker.heavy_imports import heavy_imports
from sentinel_worker.observe import log_stream, logs, masking

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, help=__doc__)
app.add_typer(models.app, name="models")


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(__version__)
        raise typer.Exit


@app.callback()
def root(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Answer media analysis requests kept in Supabase."""


@app.command()
def run() -> None:
    """Claim and answer requests until SIGTERM. Settings come from the environment (docs/settings.md)."""
    from sentinel_worker.confine import sandbox

    sandbox.hide_memory()
    end_at_once_on_signals(0)
    try:
        settings = settings_module.load()
        settings_module.forget_environment()
    except CodedError as error:
        end_at_once_on_signals(exit_code(error))
        fail(error)
    logs.configure(settings.log_level, settings.log_format)
    raise typer.Exit(serve_to_its_end(settings))


@app.command()
def check() -> None:
    """Check this machine's confinement of decoders and the worker's rights in Supabase; print what is missing."""
    from sentinel_worker.commands import check as command  # imports supabase
    from sentinel_worker.commands.layers import print_layers

    try:
        settings = settings_module.load()
        confined = asyncio.run(print_layers(settings.sandbox))
        everything = asyncio.run(command.check(settings))
    except CodedError as error:
        fail(error)
    raise typer.Exit(0 if confined and everything else 1)


@app.command(name="migrate")
def migrate_command(
    db_url: Annotated[
        str,
        typer.Option(envvar="SENTINEL_DB_URL", help="PostgreSQL URL of the project's owner (`postgres`)."),
    ],
) -> None:
    """Apply missing migrations to the database. The Supabase CLI uses the same ledger."""
    try:
        with migration_errors_translated():
            applied = migrate.apply(db_url)
            policy = migrate.add_wake_policy(db_url)
            unset = migrate.unset_quotas(db_url)
    except CodedError as error:
        fail(error)
    for migration in applied:
        typer.echo(f"applied {migration.version}_{migration.name}")
        for notice in migration.notices:
            typer.echo(f"  {notice}")
    if not applied:
        typer.echo("nothing to apply: the database is up to date")
    if policy:
        typer.echo(policy)
    if unset:
        typer.echo(f"user quotas that are off: {', '.join(unset)}; docs/threat-model.md says what to set")


ChosenDevice = Annotated[
    Literal["auto", "cpu", "cuda"], typer.Option(envvar="SENTINEL_DEVICE", help="Device that runs the detectors.")
]


@app.command()
def analyze(
    sources: Annotated[list[str], typer.Argument(metavar="FILE|URL…", help="Files or http(s) URLs.")],
    detector: Annotated[str | None, typer.Option(help="Use only this detector.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object per line.")] = False,
    report: Annotated[Path | None, typer.Option(dir_okay=False, help="Also write an HTML page with pictures.")] = None,
    detectors_file: DetectorsFile = None,
    defaults: Annotated[
        str,
        typer.Option(
            "--defaults", envvar="SENTINEL_DETECTOR", help="Detectors to load without --detector, separated by commas."
        ),
    ] = ",".join(registry.DEFAULT_DETECTORS),
    device: ChosenDevice = "auto",
) -> None:
    """Examine files immediately, without a database. Exit code 1 if a file got no answer."""
    from sentinel_worker.commands.chosen_detectors import all_here, those_here  # imports huggingface_hub

    try:
        specs = (
            all_here([detector], detectors_file)
            if detector
            else those_here(registry.split_keys(defaults), detectors_file)
        )
        with heavy_imports():
            from sentinel_worker.commands import analyze as command

        running = command.analyze(sources, specs, key=detector, device=device, as_json=as_json, report=report)
        answered = asyncio.run(running)
    except CodedError as error:
        fail(error)
    raise typer.Exit(0 if answered else 1)


@app.command()
def evaluate(
    manifest: Annotated[
        Path, typer.Argument(metavar="MANIFEST.csv", help="Columns path, label (fake or real) and, optionally, group.")
    ],
    detector: Annotated[str, typer.Option(help="Key of the detector to measure.")],
    out: Annotated[Path, typer.Option(file_okay=False, help="Folder for the report and the calibration file.")] = Path(
        "evaluation"
    ),
    seed: Annotated[int, typer.Option(help="Random seed of the splits and the bootstrap.")] = 0,
    detectors_file: DetectorsFile = None,
    device: ChosenDevice = "auto",
) -> None:
    """Measure and calibrate a detector on labelled files."""
    from sentinel_worker.commands.chosen_detectors import all_here  # imports huggingface_hub

    try:
        (spec,) = all_here([detector], detectors_file)
        with needs_extra("reports"), heavy_imports():
            from sentinel_worker.commands import evaluate as command

        asyncio.run(command.evaluate(manifest, spec, device=device, out=out, seed=seed))
    except CodedError as error:
        fail(error)


app.command()(dev)


def main() -> None:
    """Entry point of the command `sentinel-worker`."""
    log_stream.protect()
    logs.leave_no_secrets()
    masking.register(os.environ.get("HF_TOKEN"))
    run_to_its_end(_run_command)


def _run_command() -> None:
    settings_module.check_hub_address()
    app()
