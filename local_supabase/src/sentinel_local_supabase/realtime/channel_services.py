"""Interfaces passed to a channel: the server's shared services, and its connection."""

import asyncio
from dataclasses import dataclass
from typing import Protocol

from sentinel_local_supabase.database import Pool
from sentinel_local_supabase.faults import Switch
from sentinel_local_supabase.keys import ProjectKeys
from sentinel_local_supabase.realtime.changes import Changes
from sentinel_local_supabase.realtime.frames import Broadcast
from sentinel_local_supabase.realtime.presence import Presences
from sentinel_local_supabase.realtime.topics import Topics


@dataclass(frozen=True, slots=True)
class Services:
    """Services shared by all channels of a server; `streaming` is set while broadcasts of the database arrive."""

    keys: ProjectKeys
    pool: Pool
    topics: Topics
    presences: Presences
    changes: Changes
    faults: Switch
    streaming: asyncio.Event


class Outlet(Protocol):
    """A connection as its channels see it. None of these calls block."""

    def push(self, topic: str, event: str, payload: str, ref: str | None = None, join_ref: str | None = None) -> None:
        """Queue a message; `payload` is JSON text."""

    def push_broadcast(self, topic: str, broadcast: Broadcast) -> None:
        """Queue a broadcast."""
