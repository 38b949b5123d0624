"""Unmodified supabase-py clients, each with its own HTTP client that is closed at the end."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Protocol

import httpx
from supabase import AsyncClient, AsyncClientOptions, acreate_client


@asynccontextmanager
async def connected(url: str, key: str) -> AsyncIterator[AsyncClient]:
    """Yield a client with its own session. It gets an HTTP client, because supabase-py's default one warns."""
    async with httpx.AsyncClient(timeout=30) as http:
        options = AsyncClientOptions(httpx_client=http, auto_refresh_token=False, postgrest_client_retry=False)
        client = await acreate_client(url, key, options)
        try:
            yield client
        finally:
            await client.remove_all_channels()


class Answer(Protocol):
    """Result of postgrest's `execute`."""

    @property
    def data(self) -> Any:
        """The parsed JSON."""


class Executable(Protocol):
    """A query that is ready to execute."""

    async def execute(self) -> Any:
        """Send it."""


async def rows(query: Executable) -> Any:
    """Return a query's JSON result, without supabase-py's union of all JSON types."""
    answer: Answer = await query.execute()
    return answer.data
