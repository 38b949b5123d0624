"""Database connections of the gateway: a small pool per login role, and transactions that act as a caller.

The pool fails at once when PostgreSQL is down, because a gateway has to respond with 503 instead of waiting.
It detects connections that died while idle and never hands out one that is in the middle of a transaction.
"""

from __future__ import annotations

import asyncio
import json
import select
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import psycopg
from psycopg.pq import TransactionStatus
from psycopg.rows import TupleRow

Connection = psycopg.AsyncConnection[TupleRow]

_SET_LOCAL = "select pg_catalog.set_config(key, value, true) from pg_catalog.jsonb_each_text($1::jsonb)"


class DatabaseDown(Exception):
    """No connection could be made. `detail` is libpq's message."""

    def __init__(self, detail: str) -> None:
        super().__init__(detail)
        self.detail = detail


class PoolExhausted(Exception):
    """Every connection of the pool stayed busy for the maximum wait."""


class Pool:
    """Pool of at most `size` connections to `dsn`; a caller waits up to `wait_seconds` for one."""

    def __init__(self, dsn: str, *, size: int, wait_seconds: float = 10.0) -> None:
        self._dsn = dsn
        self._free = asyncio.Semaphore(size)
        self._wait_seconds = wait_seconds
        self._idle: list[Connection] = []

    async def close(self) -> None:
        """Close idle connections. Connections in use close when they are returned."""
        while self._idle:
            await self._idle.pop().close()

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[Connection]:
        """Yield a connection in autocommit mode. Raises DatabaseDown or PoolExhausted."""
        try:
            async with asyncio.timeout(self._wait_seconds):
                await self._free.acquire()
        except TimeoutError as error:
            raise PoolExhausted from error
        try:
            connection = await self._take()
            try:
                yield connection
            finally:
                await self._give_back(connection)
        finally:
            self._free.release()

    @asynccontextmanager
    async def transaction(self, settings: Mapping[str, str] | None = None) -> AsyncIterator[Connection]:
        """Yield a connection in a transaction, with `settings` (role, request.jwt.claims, …) set for its duration."""
        async with self.connection() as connection, connection.transaction():
            if settings:
                await connection.execute(_SET_LOCAL, [json.dumps(settings)])
            yield connection

    async def _take(self) -> Connection:
        while self._idle:
            connection = self._idle.pop()
            if _is_alive(connection):
                return connection
            await connection.close()
        try:
            return await psycopg.AsyncConnection.connect(
                self._dsn, autocommit=True, cursor_factory=psycopg.AsyncRawCursor
            )
        except psycopg.OperationalError as error:
            raise DatabaseDown(str(error)) from error

    async def _give_back(self, connection: Connection) -> None:
        if not connection.closed and connection.info.transaction_status == TransactionStatus.IDLE:
            self._idle.append(connection)
        else:
            await connection.close()


def _is_alive(connection: Connection) -> bool:
    """Return True if an idle connection is usable: one that is readable was closed by the server (or got a notice)."""
    if connection.closed:
        return False
    poll = select.poll()
    poll.register(connection.pgconn.socket, select.POLLIN | select.POLLHUP | select.POLLERR)
    return not poll.poll(0)


async def fetch_one(connection: Connection, query: str, parameters: list[Any]) -> TupleRow | None:
    """Return the first row of `query`, whose parameters are `$1`, `$2`, …; None if it has no rows."""
    cursor = await connection.execute(query.encode(), parameters)
    return await cursor.fetchone()


async def fetch_all(connection: Connection, query: str, parameters: list[Any]) -> list[TupleRow]:
    """Return all rows of `query`, whose parameters are `$1`, `$2`, …."""
    cursor = await connection.execute(query.encode(), parameters)
    return await cursor.fetchall()
