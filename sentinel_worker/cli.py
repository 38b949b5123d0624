"""Answer media analysis requests kept in Supabase.

Exit codes: 0 success; 1 finished, but something is wrong; 2 bad configuration; 75 temporary failure.
"""

import asyncio
import os
import signal
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import urlsplit

import structlog
import typer

from sentinel_worker import __version__
from sentinel_worker.commands import models
from sentinel_worker.commands.console import needs_extra
from sentinel_worker.commands.exits import EXIT_CONFIGURATION, EXIT_TEMPORARY, fail
from sentinel_worker.commands.models import DetectorsFile
from sentinel_worker.config import settings as settings_module
from sentinel_worker.database import migrate
from sentinel_worker.detectors import registry
from sentinel_worker.domain.errors import CodedError, Fatal, SentinelError, Transient
from sentinel_worker.heavy_imports import heavy_imports
from sentinel_worker.observe import logs, masking

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
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # until something can reload the keys
    try:
        settings = settings_module.load()
        settings_module.forget_environment()
    except Fatal as error:
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
    except Fatal as error:
        structlog.get_logger().error(logs.BROKEN, error_code=error.code, error=error.message)
        raise typer.Exit(EXIT_CONFIGURATION) from None
    except Transient as error:
        structlog.get_logger().error(logs.BROKEN, error_code=error.code, error=error.message)
        raise typer.Exit(EXIT_TEMPORARY) from None
    except Exception:  # noqa: BLE001 - logged with its traceback
        # The outermost boundary: a supervisor restarts the process, and the log says why it exited.
        structlog.get_logger().exception(logs.BROKEN)
        raise typer.Exit(EXIT_TEMPORARY) from None


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
    masking.register(urlsplit(db_url).password)
    try:
        applied = migrate.apply(db_url)
        policy = migrate.add_wake_policy(db_url)
        unset = migrate.unset_quotas(db_url)
    except SentinelError as error:
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
    logs.leave_no_secrets()
    masking.register(os.environ.get("HF_TOKEN"))
    app()
