"""Listeners of topics, and rights on private topics."""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

import psycopg

from sentinel_local_supabase.database import DatabaseDown, Pool, PoolExhausted, fetch_one
from sentinel_local_supabase.queries import load_queries
from sentinel_local_supabase.realtime.connection_tokens import TokenClaims
from sentinel_local_supabase.realtime.frames import Broadcast
from sentinel_local_supabase.realtime.rate_limit import BROADCASTS, RateLimit

QUERIES: Final = load_queries("realtime/topics.sql")

UNREACHABLE: Final = "UnableToConnectToProject: Realtime was unable to connect to the project database"

Listener = Callable[[Broadcast], None]


class Refused(Exception):
    """A refused join or message; `reason` is sent to the client."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


def unauthorized(name: str) -> Refused:
    """Return the refusal of a private topic that a token may not read."""
    return Refused(f"Unauthorized: You do not have permissions to read from this Channel topic: {name}")


@dataclass(frozen=True, slots=True)
class TopicRights:
    """Rights of a token on a topic."""

    broadcast_read: bool = True
    presence_read: bool = True
    broadcast_write: bool = True
    presence_write: bool = True


@dataclass(slots=True)
class Topics:
    """Listeners by topic; private and public topics with the same name are different topics."""

    rate: RateLimit = field(default_factory=lambda: RateLimit(None, windows=BROADCASTS))
    """Counts each broadcast and each of its deliveries; only broadcasts from the database are dropped above it."""
    _listeners: dict[tuple[str, bool], list[Listener]] = field(default_factory=dict)

    def listen(self, name: str, private: bool, listener: Listener) -> None:
        """Send every broadcast on the topic to `listener`, which must not block."""
        self._listeners.setdefault((name, private), []).append(listener)

    def unlisten(self, name: str, private: bool, listener: Listener) -> None:
        """Undo `listen`; unknown listeners are ignored."""
        listeners = self._listeners.get((name, private), [])
        if listener in listeners:
            listeners.remove(listener)
        if not listeners:
            self._listeners.pop((name, private), None)

    def publish(self, name: str, private: bool, broadcast: Broadcast, *, but: Listener | None = None) -> None:
        """Pass a broadcast to all listeners of the topic except `but`."""
        listeners = [one for one in self._listeners.get((name, private), ()) if one != but]
        self.rate.count(1 + len(listeners))
        for listener in listeners:
            listener(broadcast)


async def rights_on(pool: Pool, name: str, claims: TokenClaims) -> TopicRights:
    """Return the rights that policies on realtime.messages grant on a private topic. Raises Refused."""
    arguments = [name, claims.role, json.dumps(dict(claims.everything))]
    try:
        async with pool.connection() as connection, connection.transaction(force_rollback=True):
            row = await fetch_one(connection, QUERIES["authorize"], arguments)
    except (DatabaseDown, PoolExhausted, psycopg.OperationalError) as error:
        raise Refused(UNREACHABLE) from error
    except psycopg.Error:  # a policy that fails, or a missing role
        return TopicRights(False, False, False, False)
    assert row is not None
    return TopicRights(*row)
