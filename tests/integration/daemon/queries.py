"""Queries of the local Supabase's database: rows, leases, attempts and results, as a test expects them."""

import atexit
from collections.abc import Callable
from typing import Any

import psycopg
from psycopg.rows import dict_row

from sentinel_local_supabase.stack import Stack
from tests.waits import LIMIT_SECONDS, until

_connections: dict[str, psycopg.Connection[dict[str, Any]]] = {}


def sql(stack: Stack, query: str, *parameters: Any) -> list[dict[str, Any]]:
    """Run one query as the project's owner on a kept connection; reconnect if a test restarted the database."""
    connection = _connections.pop(stack.dsn, None)
    try:
        if connection is not None:
            connection.execute("select 1")
    except psycopg.OperationalError:
        connection = None
    if connection is None:
        connection = psycopg.connect(stack.dsn, autocommit=True, row_factory=dict_row)
    _connections[stack.dsn] = connection
    return connection.execute(query.encode(), parameters).fetchall()


@atexit.register
def _close_connections() -> None:
    while _connections:
        _connections.popitem()[1].close()


async def row_when(
    stack: Stack, request_id: str, wanted: Callable[[dict[str, Any]], bool], limit_seconds: float = LIMIT_SECONDS
) -> dict[str, Any]:
    """Wait until `wanted` holds for the request's row, and return the row. Raises TimeoutError with the last row."""
    row: dict[str, Any] = {}

    def look() -> bool:
        nonlocal row
        try:
            rows = sql(stack, "select * from analysis_requests where id = %s", request_id)
        except psycopg.OperationalError:  # the test is restarting the database
            return False
        row = rows[0] if rows else {}
        return bool(row) and wanted(row)

    await until(look, what=lambda: f"the row is as wanted; it is {row}", limit_seconds=limit_seconds)
    return row


def registered(stack: Stack, name: str) -> bool:
    """True if a worker of this name has registered."""
    return bool(sql(stack, "select from sentinel.workers where name = %s", name))


def owner(stack: Stack, request_id: str) -> str:
    """Return the name of the worker that holds the request's lease."""
    query = "select w.name from sentinel.leases l join sentinel.workers w on w.id = l.worker where l.request_id = %s"
    return str(sql(stack, query, request_id)[0]["name"])


def history(stack: Stack, request_id: str) -> list[tuple[int, str, str]]:
    """Return attempt, outcome and answer of the request's attempts, in order."""
    query = "select attempt, outcome, answer from sentinel.attempts where request_id = %s order by finished_at"
    return [(row["attempt"], row["outcome"], row["answer"]) for row in sql(stack, query, request_id)]


def current_results(stack: Stack, request_id: str) -> int:
    """Count the request's current results."""
    return len(sql(stack, "select from analysis_results where request_id = %s and is_current", request_id))
