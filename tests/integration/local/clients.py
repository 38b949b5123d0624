"""Unmodified supabase-py clients, each with an HTTP client of its own that is closed at the end."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Protocol

import httpx
from supabase import AsyncClient, AsyncClientOptions, acreate_client


@asynccontextmanager
async def connected(url: str, key: str) -> AsyncIterator[AsyncClient]:
    """A client with its own session. The HTTP client is given: supabase-py's default one warns."""
    async with httpx.AsyncClient(timeout=30) as http:
        options = AsyncClientOptions(httpx_client=http, auto_refresh_token=False, postgrest_client_retry=False)
        client = await acreate_client(url, key, options)
        try:
            yield client
        finally:
            await client.remove_all_channels()


class Answer(Protocol):
    """What postgrest's `execute` gives."""

    @property
    def data(self) -> Any:
        """The parsed JSON."""


class Executable(Protocol):
    """A built query."""

    async def execute(self) -> Any:
        """Send it."""


async def rows(query: Executable) -> Any:
    """The JSON that a query answers, without supabase-py's union of all JSON types."""
    answer: Answer = await query.execute()
    return answer.data
