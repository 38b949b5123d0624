"""Replay of a private topic's latest broadcasts to a client that joins: the rows of realtime.messages."""

from typing import Any, Final, TypeGuard

import psycopg

from sentinel_local_supabase.database import DatabaseDown, Pool, PoolExhausted, fetch_all
from sentinel_local_supabase.queries import load_queries
from sentinel_local_supabase.realtime.channel_services import Outlet
from sentinel_local_supabase.realtime.frames import Broadcast, broadcast_json, dumps
from sentinel_local_supabase.realtime.topics import Refused, unauthorized

QUERIES: Final = load_queries("realtime/replay.sql")
MOST_MESSAGES: Final = 25
EARLIEST_MS, LATEST_MS = -62_167_219_200_000, 253_402_300_799_999
"""The years 0 to 9999, to which the real server limits a time."""


class Replay:
    """What a join's `config.broadcast` asks to hear again: `replay: {since, limit}`, milliseconds and messages."""

    def __init__(self, config: dict[str, Any]) -> None:
        self._wanted, self._wish = "replay" in config, config.get("replay")
        self._messages: list[Broadcast] = []

    async def load(self, pool: Pool, name: str, private: bool, *, readable: bool) -> None:
        """Fetch the messages, if any are wanted, of a topic whose broadcasts are `readable`. Raises Refused."""
        if not self._wanted:
            return
        if not readable:
            raise unauthorized(name)
        if not private:
            raise _refused("Replay is not allowed for public channels")
        if isinstance(self._wish, dict):
            self._messages = await _latest(pool, name, self._wish.get("since"), self._wish.get("limit"))

    def push(self, outlet: Outlet, topic: str, join_ref: str | None) -> None:
        """Send the messages, oldest first."""
        for message in self._messages:
            if isinstance(message.payload, bytes):
                outlet.push_broadcast(topic, message)
            else:
                outlet.push(topic, "broadcast", broadcast_json(message, message.payload), None, join_ref)

    def has(self, broadcast: Broadcast) -> bool:
        """Return True if a broadcast is one of the messages."""
        return broadcast.id is not None and any(one.id == broadcast.id for one in self._messages)


async def _latest(pool: Pool, name: str, since: object, limit: object) -> list[Broadcast]:
    limit = MOST_MESSAGES if limit is None else limit
    if not (_is_whole(since) and _is_whole(limit) and EARLIEST_MS <= since <= LATEST_MS):
        raise _refused("Replay params are not valid")
    try:
        async with pool.connection() as connection:
            rows = await fetch_all(connection, QUERIES["replay"], [name, since, max(min(limit, MOST_MESSAGES), 1)])
    except (DatabaseDown, PoolExhausted, psycopg.Error) as error:
        raise _refused("Realtime was unable to replay messages") from error
    return [_marked(*row) for row in rows]


def _marked(message_id: str, event: str | None, text: str | None, content: bytes | None) -> Broadcast:
    payload = (text or "null") if content is None else content
    return Broadcast(event or "", payload, dumps({"replayed": True, "id": message_id}), id=message_id)


def _is_whole(value: object) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool)


def _refused(reason: str) -> Refused:
    return Refused(f"UnableToReplayMessages: {reason}")
