"""Local Supabases for tests, cheap to start: each begins on a copy of a data folder made once a test run.

    async with stack_at(tmp_path / "supabase") as stack: …

initdb, Supabase's schemas and the migrations run once for all processes of a test run, and gateways are forked from a
process that has imported them. A separate stack then costs only the start of a server and a fork. It has its own keys
and ports, but the template's database password.
"""

from __future__ import annotations

import asyncio
import atexit
import fcntl
import hashlib
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import TypedDict, Unpack, cast

from sentinel_local_supabase.gateway_process import GatewayProcess
from sentinel_local_supabase.keys import ProjectKeys
from sentinel_local_supabase.postgres import Postgres
from sentinel_local_supabase.realtime.settings import RealtimePace
from sentinel_local_supabase.stack import Stack
from sentinel_worker.database import migrate
from tests.warm import forks, gateway

_root: Path | None = None
_CP = shutil.which("cp") or "cp"  # looked up now: some tests hide programs by emptying PATH


class StackOptions(TypedDict, total=False):
    """Options of `Stack` that a prepared data folder can be started with."""

    port: int
    database_port: int | None
    seed: Sequence[Path]
    jwt_secret: str | None
    default_grants: bool
    exposed_schemas: tuple[str, ...]
    access_token_seconds: int
    pace: RealtimePace
    events_per_second: int | None


def keep_templates_in(folder: Path) -> None:
    """Set the folder that all processes of this test run share; without it each process makes its own templates."""
    global _root  # noqa: PLW0603 - one of a run
    _root = folder


def stack_at(folder: Path, *, migrations: bool = True, warm: bool = True, **options: Unpack[StackOptions]) -> Stack:
    """Prepare a stack in `folder` without starting it; a folder that already holds one stays as it is.

    Without `warm` the gateway is a separate program, as in production.
    """
    if not (folder / "keys.json").exists():
        folder.mkdir(parents=True, exist_ok=True)
        _copy(template(migrations=migrations), folder / "postgres")
        ProjectKeys.load(folder / "keys.json")
    kind = _WarmStack if warm else Stack
    apply = migrate.apply if migrations else None
    return kind(folder, durable=False, migrations=apply, **({"port": 0} | options))


def postgres_at(folder: Path, *, migrations: bool = False, bin_dir: Path | None = None) -> Postgres:
    """Prepare a PostgreSQL with Supabase's schemas in `folder`, of the version in `bin_dir`, without starting it."""
    _copy(template(migrations=migrations, bin_dir=bin_dir), folder)
    return Postgres(folder, bin_dir=bin_dir, durable=False)


class _WarmStack(Stack):
    """A stack whose gateway is forked from a process that has imported it."""

    async def start_gateway(self) -> None:
        if self._gateway is None:
            self._gateway = await _WarmGateway.start(self._gateway_settings())
            self.port = self._gateway.port


class _WarmGateway(GatewayProcess):
    @classmethod
    async def _spawn(cls) -> asyncio.subprocess.Process:
        return cast("asyncio.subprocess.Process", await gateway.fork(_gateway_template()))


@cache
def _gateway_template() -> forks.Template:
    template = forks.Template(gateway.__name__)
    atexit.register(template.stop)
    return template


def template(*, migrations: bool, bin_dir: Path | None = None) -> Path:
    """Return a stopped server's data folder to copy, made by the first process that asks."""
    version = hashlib.sha256(str(bin_dir).encode()).hexdigest()[:8] if bin_dir else "embedded"
    made = _folder() / f"{version}{'-migrated' if migrations else ''}"
    with _locked(made.with_suffix(".lock")):
        if not made.exists():
            bare = template(migrations=False, bin_dir=bin_dir) if migrations else None
            _make(made, bare, bin_dir)
    return made


def _make(made: Path, bare: Path | None, bin_dir: Path | None) -> None:
    arriving = made.with_suffix(".new")
    shutil.rmtree(arriving, ignore_errors=True)  # left by a killed process
    if bare is not None:
        _copy(bare, arriving)
    with Postgres(arriving, bin_dir=bin_dir, durable=False) as server:
        if bare is not None:
            migrate.apply(server.dsn("postgres"))
    server.log_path.unlink()
    arriving.rename(made)


def _copy(source: Path, target: Path) -> None:
    subprocess.run([_CP, "--archive", "--reflink=auto", "--no-target-directory", source, target], check=True)


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _folder() -> Path:
    folder = _root or _own_root()
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@cache
def _own_root() -> Path:
    folder = Path(tempfile.mkdtemp(prefix="sentinel-templates-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder
