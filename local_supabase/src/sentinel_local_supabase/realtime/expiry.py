"""Token expiry while a channel is joined."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Final

from sentinel_local_supabase.keys import ProjectKeys
from sentinel_local_supabase.realtime.connection_tokens import TokenClaims, TokenRefused, verify

LONGEST_CHECK_SECONDS: Final = 300.0


class ExpiryWatch:
    """Calls `on_end` with the reason when its token is no longer valid."""

    def __init__(self, keys: ProjectKeys, on_end: Callable[[str], None]) -> None:
        self._keys = keys
        self._on_end = on_end
        self._timer: asyncio.TimerHandle | None = None

    def follow(self, token: str, claims: TokenClaims) -> None:
        """Watch only this token."""
        self.cancel()
        seconds = min(max(claims.expires_at - time.time(), 0.0), LONGEST_CHECK_SECONDS)
        self._timer = asyncio.get_running_loop().call_later(seconds, self._check, token)

    def cancel(self) -> None:
        """Stop watching."""
        if self._timer is not None:
            self._timer.cancel()

    def _check(self, token: str) -> None:
        try:
            claims = verify(token, self._keys)
        except TokenRefused as error:
            self._on_end(error.reason)
        else:
            self.follow(token, claims)
