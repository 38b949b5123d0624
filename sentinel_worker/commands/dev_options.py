"""Options of `sentinel-worker dev`. What it does is in `dev`, which needs the extra `local`."""

import asyncio
from pathlib import Path
from typing import Annotated, Literal

import typer

from sentinel_worker.commands.console import needs_extra
from sentinel_worker.commands.exits import fail
from sentinel_worker.domain.errors import CodedError

Data = Annotated[Path, typer.Option(help="Folder of the database, the files and the keys.")]
Port = Annotated[int, typer.Option(min=0, max=65535, help="Port of the gateway; 0 picks a free one.")]
DatabasePort = Annotated[
    int | None,
    typer.Option(
        min=0,
        max=65535,
        help="Port of the database; 0 picks a free one.",
        show_default="the one after --port, if free",
    ),
]
Fresh = Annotated[bool, typer.Option(help="Empty the folder first.")]
Migrations = Annotated[
    Path | None,
    typer.Option(exists=True, file_okay=False, help="Folder of your own migrations, named as for the Supabase CLI."),
]
Seeds = Annotated[
    list[Path] | None,
    typer.Option(exists=True, dir_okay=False, help="SQL file to run once after them; may be repeated."),
]
Schemas = Annotated[str, typer.Option(help="Schemas that REST serves, separated by commas.")]
JwtSecret = Annotated[
    str | None, typer.Option(help="Secret that signs the JWTs, instead of the folder's own.", metavar="SECRET")
]
DefaultGrants = Annotated[
    bool,
    typer.Option("--default-grants", help="Grant new tables in public to the API roles, as hosted projects once did."),
]
WithWorker = Annotated[bool, typer.Option(help="Also start one worker.")]
Misbehave = Annotated[
    list[str] | None,
    typer.Option(
        metavar="SERVICE:KEY[=VALUE],…",
        help="Imitate a fault of the real servers, e.g. rest:status=503,times=3; may be repeated (docs/local.md).",
    ),
]
Pace = Annotated[
    Literal["real", "fast"], typer.Option(help="Poll row changes at the pace of the real Realtime, or fast.")
]
RateLimit = Annotated[
    bool, typer.Option(help="Drop row changes and broadcasts over 100 a second, as the real Realtime does.")
]


def dev(
    data: Data = Path(".sentinel/dev"),
    port: Port = 54321,
    db_port: DatabasePort = None,
    fresh: Fresh = False,
    migrations: Migrations = None,
    seed: Seeds = None,
    schemas: Schemas = "public",
    jwt_secret: JwtSecret = None,
    default_grants: DefaultGrants = False,
    worker: WithWorker = True,
    misbehave: Misbehave = None,
    pace: Pace = "real",
    rate_limit: RateLimit = True,
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
