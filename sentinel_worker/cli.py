"""Answer media analysis requests kept in Supabase.

Exit codes: 0 success; 1 finished, but something is wrong; 2 a mistake that has to be fixed; 75 a temporary failure;
130 Ctrl-C.
"""

import asyncio
import os
import signal
from pathlib import Path
from typing import Annotated, Literal

import structlog
import typer

from sentinel_worker import __version__
from sentinel_worker.commands import models
from sentinel_worker.commands.console import needs_extra
from sentinel_worker.commands.exits import EXIT_TEMPORARY, exit_code, fail, run_to_its_end
from sentinel_worker.commands.migrating import migration_errors_translated
from sentinel_worker.commands.models import DetectorsFile
from sentinel_worker.config import settings as settings_module
from sentinel_worker.database import migrate
from sentinel_worker.detectors import registry
from sentinel_worker.domain.errors import CodedError
from sentinel_worker.domain.machine_errors import passing_fault
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
    _end_at_once_on_signals()
    try:
        settings = settings_module.load()
        settings_module.forget_environment()
    except CodedError as error:
        fail(error)
    logs.configure(settings.log_level, settings.log_format)
    try:
        from sentinel_worker.commands.chosen_detectors import all_here  # imports huggingface_hub

        specs = all_here(settings.detector_keys, settings.detectors)
        with heavy_imports():
            from sentinel_worker import daemon

        asyncio.run(daemon.serve(settings, specs))
    except asyncio.CancelledError:
        return  # a signal during the start
    except Exception as error:  # noqa: BLE001 - the outermost boundary: the log says why the worker ends
        raise typer.Exit(_log_end(error)) from None
    finally:
        _ignore_signals()


def _end_at_once_on_signals() -> None:
    """Until the worker handles signals it has nothing to hand back; an exception would be lost in an import."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: os._exit(0))
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # until something can reload the keys


def _ignore_signals() -> None:
    """The exit code is decided; the interpreter takes a while to end."""
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)


def _log_end(error: Exception) -> int:
    """Log why the worker ends, with a traceback only if that is a bug; returns the exit code."""
    met = error if isinstance(error, CodedError) else passing_fault(error)
    if met is None:
        structlog.get_logger().error(logs.BROKEN, exc_info=error)
        return EXIT_TEMPORARY
    structlog.get_logger().error(logs.BROKEN, error_code=met.code, error=met.message)
    return exit_code(met)


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


@app.command()
def dev(
    data: Annotated[Path, typer.Option(help="Folder of the database, the files and the keys.")] = Path(".sentinel/dev"),
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port of the gateway; 0 picks a free one.")] = 54321,
    db_port: Annotated[
        int | None,
        typer.Option(
            min=0,
            max=65535,
            help="Port of the database; 0 picks a free one.",
            show_default="the one after --port, if free",
        ),
    ] = None,
    fresh: Annotated[bool, typer.Option(help="Empty the folder first.")] = False,
    migrations: Annotated[
        Path | None,
        typer.Option(
            exists=True, file_okay=False, help="Folder of your own migrations, named as for the Supabase CLI."
        ),
    ] = None,
    seed: Annotated[
        list[Path] | None,
        typer.Option(exists=True, dir_okay=False, help="SQL file to run once after them; may be repeated."),
    ] = None,
    schemas: Annotated[str, typer.Option(help="Schemas that REST serves, separated by commas.")] = "public",
    jwt_secret: Annotated[
        str | None, typer.Option(help="Secret that signs the JWTs, instead of the folder's own.", metavar="SECRET")
    ] = None,
    default_grants: Annotated[
        bool,
        typer.Option(
            "--default-grants", help="Grant new tables in public to the API roles, as hosted projects once did."
        ),
    ] = False,
    worker: Annotated[bool, typer.Option(help="Also start one worker.")] = True,
    misbehave: Annotated[
        list[str] | None,
        typer.Option(
            metavar="SERVICE:KEY[=VALUE],…",
            help="Imitate a fault of the real servers, e.g. rest:status=503,times=3; may be repeated (docs/local.md).",
        ),
    ] = None,
    pace: Annotated[
        Literal["real", "fast"], typer.Option(help="Poll row changes at the pace of the real Realtime, or fast.")
    ] = "real",
    rate_limit: Annotated[
        bool,
        typer.Option(help="Drop row changes and broadcasts over 100 a second, as the real Realtime does."),
    ] = True,
) -> None:
    """Run a local Supabase and one worker. Only for development; never expose it."""
    try:
        with needs_extra("local"):
            from sentinel_worker.commands import dev as command
        running = command.keep_running(
            data,
            port=port,
            fresh=fresh,
            with_worker=worker,
            faults=misbehave or (),
            pace=pace,
            rate_limit=rate_limit,
            migrations=migrations,
            database_port=db_port,
            exposed_schemas=tuple(name.strip() for name in schemas.split(",") if name.strip()),
            seed=seed or (),
            jwt_secret=jwt_secret,
            default_grants=default_grants,
        )
        asyncio.run(running)
    except CodedError as error:
        fail(error)


def main() -> None:
    """Entry point of the command `sentinel-worker`."""
    log_stream.protect()
    logs.leave_no_secrets()
    masking.register(os.environ.get("HF_TOKEN"))
    run_to_its_end(_run_command)


def _run_command() -> None:
    settings_module.check_hub_address()
    app()
