"""The whole local Supabase in one context: PostgreSQL, migrations, and the gateway in its own process."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

import psycopg

from sentinel_local_supabase.errors import LocalSupabaseError
from sentinel_local_supabase.faults import Faults
from sentinel_local_supabase.folder import DataFolder
from sentinel_local_supabase.gateway.settings import GatewaySettings
from sentinel_local_supabase.gateway_process import GatewayProcess
from sentinel_local_supabase.keys import ProjectKeys
from sentinel_local_supabase.postgres import PORT_OPTION, SUPERUSER, Postgres
from sentinel_local_supabase.process_lookup import refuse_held_port
from sentinel_local_supabase.realtime.settings import EVENTS_PER_SECOND, RealtimePace
from sentinel_local_supabase.seeds import apply_seeds

DEFAULT_PORT = 54321
LAST_PORT = 65535
SHORTEST_SECRET = 32  # PostgREST refuses a shorter one
_A_BACKEND = "select pid from pg_stat_activity where usename = 'authenticator' order by random() limit 1"


class Stack:
    """An embedded Supabase on one data folder; `async with Stack(folder, migrations=None) as stack:` runs it.

    `migrations` is called with the owner's connection string, in a thread, at each start before anything is served;
    None leaves the schema `public` as it is: empty in a new folder. After them, each SQL file of `seed` runs once.
    `port` 0 takes a free one, which the stack keeps. PostgreSQL listens on `database_port`: by default the one after
    `port` if it is free, otherwise a free one. `fresh` empties the folder first. `bin_dir` is the folder of a system
    PostgreSQL's programs. `durable=False` trades safety against a power failure for speed. REST serves
    `exposed_schemas`, the first by default. `jwt_secret`, at least 32 characters, replaces the folder's own.
    `default_grants` grants what is created in `public` to the roles of clients, as hosted projects did before 30
    October 2026. Realtime polls at the `pace` of the real server or `fast`, and drops row changes and
    broadcasts above `events_per_second` (None: never). Raises LocalSupabaseError if a server cannot be started, a seed
    fails, or another process holds the folder or a port, and any exception that `migrations` raises.
    """

    def __init__(
        self,
        folder: Path,
        *,
        migrations: Callable[[str], object] | None,
        seed: Sequence[Path] = (),
        port: int = DEFAULT_PORT,
        database_port: int | None = None,
        fresh: bool = False,
        bin_dir: Path | None = None,
        durable: bool = True,
        exposed_schemas: tuple[str, ...] = ("public",),
        jwt_secret: str | None = None,
        default_grants: bool = False,
        access_token_seconds: int = 3600,
        pace: RealtimePace = "real",
        events_per_second: int | None = EVENTS_PER_SECOND,
    ) -> None:
        self._data = DataFolder(folder)
        self.folder = self._data.path
        self.keys: ProjectKeys  # set only while it runs: the folder must be locked before anything in it is touched
        self.postgres = Postgres(
            self._data.postgres,
            bin_dir=bin_dir,
            port=database_port or 0,
            preferred_port=port + 1 if database_port is None and 0 < port < LAST_PORT else 0,
            durable=durable,
            default_grants=default_grants,
        )
        self.port = port
        self.changed_seeds: list[Path] = []
        """Seeds that have run in this folder and have changed since; they are not run again."""
        self._fresh = fresh
        self._migrations = migrations
        self._seed = seed
        self._jwt_secret = jwt_secret
        self._exposed_schemas = exposed_schemas
        self._access_token_seconds = access_token_seconds
        self._pace: RealtimePace = pace
        self._events_per_second = events_per_second
        self._gateway: GatewayProcess | None = None

    @property
    def url(self) -> str:
        """The URL for clients."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def dsn(self) -> str:
        """Connection string of the role `postgres`, the owner of a hosted project."""
        return self.postgres.dsn("postgres", tcp=True)

    @property
    def superuser_dsn(self) -> str:
        """Connection string of the superuser, for tests and repairs."""
        return self.postgres.dsn(SUPERUSER, tcp=True)

    @property
    def anon_key(self) -> str:
        """The legacy key of the role anon, a JWT."""
        return self.keys.anon_key

    @property
    def service_key(self) -> str:
        """The legacy key of the role service_role, a JWT."""
        return self.keys.service_key

    @property
    def publishable_key(self) -> str:
        """`sb_publishable_…`, the key of a frontend."""
        return self.keys.publishable_key

    @property
    def secret_key(self) -> str:
        """`sb_secret_…`, the key of a server."""
        return self.keys.secret_key

    @property
    def jwt_secret(self) -> str:
        """The secret that signs every JWT of this stack with HS256."""
        return self.keys.jwt_secret

    async def __aenter__(self) -> Self:
        """Start everything and wait until it accepts requests."""
        if self._jwt_secret is not None and len(self._jwt_secret) < SHORTEST_SECRET:
            raise LocalSupabaseError("short_secret", f"The JWT secret must have at least {SHORTEST_SECRET} characters.")
        if self.port:
            refuse_held_port(self.port)
        if self.postgres.port:
            refuse_held_port(self.postgres.port, PORT_OPTION)
        self._data.take(fresh=self._fresh)
        try:
            self.keys = ProjectKeys.load(self._data.keys, self._jwt_secret)
            await self.start_postgres()
            if self._migrations is not None:
                await asyncio.to_thread(self._migrations, self.dsn)
            self.changed_seeds = await asyncio.to_thread(apply_seeds, self.dsn, self._seed)
            await self.start_gateway()
            self._data.announce(self.url)
        except BaseException:
            await self._stop()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop everything."""
        await self._stop()

    async def start_postgres(self) -> None:
        """Start only PostgreSQL; it keeps its port."""
        await asyncio.to_thread(self.postgres.start)

    async def stop_postgres(self) -> None:
        """Stop only PostgreSQL; the gateway responds with 503 until it is back."""
        await asyncio.to_thread(self.postgres.stop)

    async def crash_postgres(self) -> bool:
        """Kill a backend of the gateway, as the kernel does when memory runs out; False if there is none to kill.

        PostgreSQL has ended every connection when this returns, and accepts new ones after its recovery.
        """
        found: tuple[int] | None = None
        try:
            async with await psycopg.AsyncConnection.connect(self.superuser_dsn, autocommit=True) as connection:
                found = await (await connection.execute(_A_BACKEND)).fetchone()
                if found is None:
                    return False
                os.kill(found[0], signal.SIGKILL)
                async for _ in connection.notifies():  # until the crash ends this connection, too
                    pass
        except ProcessLookupError:
            return False
        except psycopg.OperationalError:  # after the kill, expected; before it, PostgreSQL is still recovering
            return found is not None
        return True

    async def start_gateway(self) -> None:
        """Start only the gateway, on the same port, and wait until it accepts requests."""
        if self._gateway is not None:
            return
        self._gateway = await GatewayProcess.start(self._gateway_settings())
        self.port = self._gateway.port

    async def stop_gateway(self, *, kill: bool = False) -> None:
        """Stop only the gateway: gracefully, or at once with `kill`."""
        gateway, self._gateway = self._gateway, None
        if gateway is not None:
            await gateway.stop(kill=kill)

    async def misbehave(self, faults: Faults) -> None:
        """Replace all faults with these; they are in force when this call returns.

        A restarted gateway has no faults.
        """
        if self._gateway is None:
            raise LocalSupabaseError("gateway_away", "The local Supabase's gateway is not running: start it first.")
        await self._gateway.misbehave(faults)

    async def behave(self) -> None:
        """Remove all faults. Requests in progress are not affected."""
        await self.misbehave(Faults())

    async def _stop(self) -> None:
        try:
            await self.stop_gateway()
        finally:
            try:
                await self.stop_postgres()
            finally:
                self._data.release()

    def _gateway_settings(self) -> GatewaySettings:
        return GatewaySettings(
            keys=self.keys,
            object_folder=self.folder / "objects",
            # By TCP: the port survives a restart of PostgreSQL, the socket's folder does not.
            authenticator_dsn=self.postgres.dsn("authenticator", tcp=True),
            auth_dsn=self.postgres.dsn("supabase_auth_admin", tcp=True),
            storage_dsn=self.postgres.dsn("supabase_storage_admin", tcp=True),
            superuser_dsn=self.superuser_dsn,
            port=self.port,
            exposed_schemas=self._exposed_schemas,
            access_token_seconds=self._access_token_seconds,
            pace=self._pace,
            events_per_second=self._events_per_second,
        )
