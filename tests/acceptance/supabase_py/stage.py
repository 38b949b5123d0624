"""Tools for scenarios: clients, people who sign in, and expected errors."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal
from uuid import uuid4

import pytest
from postgrest.exceptions import APIError
from realtime.types import RealtimePostgresChangesListenEvent as Event
from storage3.exceptions import StorageApiError
from supabase import AsyncClient
from supabase_auth.errors import AuthApiError
from supabase_auth.types import Session

from tests.integration.local.clients import connected

LATER = "2100-01-01T00:00:00Z"


@dataclass(frozen=True, slots=True)
class Person:
    """A client with its own session."""

    supabase: AsyncClient
    id: str
    email: str
    password: str
    session: Session


@dataclass(slots=True)
class Stage:
    """One scenario's view of the world; its clients close with it."""

    url: str
    key: str
    secret_key: str
    films: Path
    parameters: dict[str, Any]
    clients: AsyncExitStack = field(default_factory=AsyncExitStack)

    async def client(self, key: str | None = None) -> AsyncClient:
        """Return a client that is not signed in."""
        return await self.clients.enter_async_context(connected(self.url, key or self.key))

    async def user(self) -> Person:
        """Sign up a new person."""
        return await self._person(f"{uuid4()}@example.com", "correct horse battery", "sign_up")

    async def signed_in(self, email: str, password: str) -> Person:
        """Sign in a known person with another session."""
        return await self._person(email, password, "sign_in_with_password")

    async def _person(self, email: str, password: str, how: Literal["sign_up", "sign_in_with_password"]) -> Person:
        supabase = await self.client()
        signed = await getattr(supabase.auth, how)({"email": email, "password": password})
        return Person(supabase, signed.user.id, email, password, signed.session)


async def refused(call: Awaitable[object], code: str) -> APIError:
    """Return the error of a call that a table or function must refuse with this code."""
    with pytest.raises(APIError) as caught:
        await call
    assert caught.value.code == code, caught.value.message
    return caught.value


async def storage_refused(call: Awaitable[object], status: str) -> StorageApiError:
    """Return the error of a call that Storage must refuse with this status."""
    with pytest.raises(StorageApiError) as caught:
        await call
    assert str(caught.value.status) == status, caught.value.message
    return caught.value


async def auth_refused(call: Awaitable[object], code: str) -> None:
    """Check that Auth refuses a call with this code."""
    with pytest.raises(AuthApiError) as caught:
        await call
    assert caught.value.code == code, caught.value.message


class Listening:
    """A subscription to the changes that a client may see, once they flow."""

    def __init__(self, hear: Callable[[dict[str, Any]], None]) -> None:
        self._hear = hear
        self.closed = asyncio.Event()

    async def start(self, supabase: AsyncClient, event: Event) -> "Listening":
        """Subscribe and return when changes flow, which is after the join's reply."""
        flowing = asyncio.Event()
        channel = supabase.channel(str(uuid4()))
        channel.on_postgres_changes(
            event,
            schema="public",
            table="analysis_requests",
            callback=lambda payload: self._hear(dict(payload["data"])),
        )
        channel.on_system(lambda _: flowing.set())
        await channel.subscribe(lambda state, _: self.closed.set() if state.value == "CLOSED" else None)
        await flowing.wait()
        return self
