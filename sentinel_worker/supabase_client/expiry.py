"""Expiry of the worker's key: a warning in time, an end of claims, and running requests handed back.

Only JWTs expire. Storage and Realtime refuse one at once, PostgREST `TOLERANCE_SECONDS` later. So work that begins
after the expiry cannot succeed, but for a while its outcome can still be written.
"""

import asyncio
import math
from collections.abc import Callable
from datetime import UTC, datetime
from time import time
from typing import Final

import structlog

from sentinel_worker.concurrency.supervisor import Supervisor
from sentinel_worker.concurrency.waiting import at_most
from sentinel_worker.config.settings import variable
from sentinel_worker.domain.errors import Fatal
from sentinel_worker.observe import logs
from sentinel_worker.supabase_client.jwt import jwt_claims
from sentinel_worker.supabase_client.keys import Key, WorkerKeys

TOLERANCE_SECONDS: Final = 30.0
"""For this long after its expiry PostgREST accepts a JWT."""
HAND_BACK_SECONDS: Final = TOLERANCE_SECONDS / 2
"""After this part of the tolerance, running requests are handed back; the rest is for clocks that differ."""
CLOCKS_DIFFER_SECONDS: Final = TOLERANCE_SECONDS - HAND_BACK_SECONDS
"""A key that is refused this long before its expiry may have expired by the server's clock."""
WARN_SECONDS, WARN_SHARE = 3600.0, 0.1
"""The warning comes this long before the expiry, or this share of the token's life if that is less."""
LOOK_SECONDS = 30.0
"""Longest time between looks at the clock, which can be set, and runs on while the machine sleeps."""

log = structlog.get_logger()


class KeyExpiry:
    """Watches when the current key expires, by this machine's clock. `look` makes the worker reread the key files."""

    def __init__(self, keys: WorkerKeys, *, look: Callable[[], None]) -> None:
        self._keys = keys
        self._look = look
        self._changed = asyncio.Event()

    @property
    def reason(self) -> str | None:
        """Sentence for which nothing may be claimed: the key has expired. None while it is valid."""
        key = self._keys.current
        return _sentence(self._keys, key) if key.expires_at <= time() else None

    def key_changed(self) -> None:
        """Note that another key is in use."""
        self._changed.set()

    async def run(self, supervisor: Supervisor, *, expired: Callable[[], None], hand_back: Callable[[], None]) -> None:
        """Watch one key after the other until cancelled; call `expired`, and `hand_back` while that can be written."""

        async def watch_one() -> None:
            self._changed.clear()
            key = self._keys.current
            steps: tuple[tuple[float, Callable[[], None]], ...] = (
                (warned_at(key, since=time()), lambda: self._warn(key)),
                (key.expires_at, lambda: self._end(expired)),
                (key.expires_at + HAND_BACK_SECONDS, hand_back),
            )
            for at, take in steps:
                await self._reach(at)
                if self._changed.is_set():
                    return
                take()
            await self._changed.wait()

        await supervisor.repeat("key expiry", watch_one)

    async def _reach(self, at: float) -> None:
        """Wait until the clock shows `at`, or another key is in use."""
        while not self._changed.is_set() and (left := at - time()) > 0:
            await at_most(None if left == math.inf else min(left, LOOK_SECONDS), self._changed)

    def _warn(self, key: Key) -> None:
        left = key.expires_at - time()
        if left > 0:
            log.warning(
                logs.KEY_EXPIRES,
                name=key.token_name,
                expires_at=_shown(key.expires_at),
                seconds_left=round(left),
                remedy=_remedy(self._keys, key),
            )

    def _end(self, expired: Callable[[], None]) -> None:
        self._look()
        expired()


def refuse_expired(keys: WorkerKeys) -> None:
    """Raise `Fatal('access_refused')` if the key has expired already, for a worker that starts."""
    key = keys.current
    if key.expires_at <= time():
        raise Fatal("access_refused", _sentence(keys, key))


def seconds_left(key: Key) -> float:
    """Return the seconds until `key` expires by this machine's clock; infinite for a key that does not."""
    return key.expires_at - time()


def warned_at(key: Key, since: float) -> float:
    """Return when to warn. A token that does not say when it was issued has lived `since`."""
    issued_at = jwt_claims(key.jwt).get("iat")
    life = key.expires_at - (issued_at if isinstance(issued_at, int | float) else since)
    return key.expires_at - min(WARN_SECONDS, WARN_SHARE * max(0.0, life))


def _sentence(keys: WorkerKeys, key: Key) -> str:
    return f"{key.token_name} expired at {_shown(key.expires_at)}, so nothing is claimed: {_remedy(keys, key)}."


def _remedy(keys: WorkerKeys, key: Key) -> str:
    path = {variable(name): path for name, path in keys.paths.items()}.get(key.token_name)
    if path is None:
        return f"start the worker with a new {key.token_name}"
    return f"write a new one to {path}, which a running worker reads again"


def _shown(at: float) -> str:
    try:
        return f"{datetime.fromtimestamp(at, UTC):%Y-%m-%d %H:%M:%S} UTC"
    except (OverflowError, ValueError, OSError):
        return f"an impossible time ({at:g})"
