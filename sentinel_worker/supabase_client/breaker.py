"""One circuit breaker toward Supabase: during an outage one call a minute asks whether it is over.

The calls of the queue's functions feed it, for they are what a worker cannot do without. Everything else of the
worker obeys it: while it is open, Storage is not asked, no socket is opened, and outcomes wait. Realtime or Storage
alone being away does not open it. Heartbeats neither feed nor obey it: they go on for as long as a lease can be saved.
"""

import asyncio
import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from time import monotonic
from typing import Final

import structlog

from sentinel_worker.domain.error_codes import Trait, with_trait
from sentinel_worker.domain.errors import CodedError, Transient
from sentinel_worker.observe import logs

OUTAGES: Final = with_trait(Trait.OUTAGE)
"""Errors that say nothing about the call but that Supabase is away."""
AWAY: Final = "Supabase is away; it is asked again now and then."

log = structlog.get_logger()


class Breaker:
    """Open or closed, without a clock of its own: every `now` is in seconds and never goes back.

    `threshold` failures in a row open it. While it is open, one call at a time is let through, the probe: the first
    after about `first_seconds`, then ever more rarely, and at last every `probe_seconds`. Any success closes it.
    """

    def __init__(
        self,
        *,
        threshold: int = 3,
        first_seconds: float = 1.0,
        probe_seconds: float = 60.0,
        uniform: Callable[[float, float], float] = random.uniform,
    ) -> None:
        self._threshold = threshold
        self._first = first_seconds
        self._cap = probe_seconds
        self._uniform = uniform
        self._failures = 0
        self._since = 0.0
        self._probes = 0
        self._probing = False
        self._probe_at: float | None = None

    @property
    def open(self) -> bool:
        """Whether calls are refused."""
        return self._probe_at is not None

    @property
    def attempts(self) -> int:
        """Calls that failed since the last success."""
        return self._failures

    def away_seconds(self, now: float) -> float:
        """Since the first of them."""
        return now - self._since if self._failures else 0.0

    def pause_seconds(self, now: float) -> float:
        """Until a call would be let through; 0 while closed."""
        return 0.0 if self._probe_at is None else max(0.0, self._probe_at - now)

    def admits(self, now: float) -> bool:
        """Whether a call may be made now; while open it is then the probe, and the next ones are refused."""
        if self._probe_at is None:
            return True
        if now < self._probe_at:
            return False
        # A probe that is never answered for, because its caller was cancelled, gives way to another.
        self._probing, self._probe_at = True, now + self._cap
        return True

    def failed(self, now: float, wished_seconds: float = 0.0) -> None:
        """A call met an outage; the server asked to be left alone for so long."""
        if self.open and not self._probing:
            return  # it set out before the breaker opened, and says nothing new
        if self._failures == 0:
            self._since = now
        self._failures += 1
        if self._failures >= self._threshold:
            self._probing, self._probe_at = False, now + max(self._next_pause(), wished_seconds)

    def succeeded(self) -> None:
        """A call was answered, if only with a refusal."""
        self._failures = self._probes = 0
        self._probing, self._probe_at = False, None

    def _next_pause(self) -> float:
        """Jitter while it grows is enough to spread many workers for as long as the outage lasts."""
        grown = self._first * 2.0 ** min(self._probes, 30)
        self._probes += 1
        return self._cap if grown >= self._cap else self._uniform(grown / 2, grown)


class Circuit:
    """A `Breaker` in the event loop: guards calls, lets others wait, and logs the loss and the return, once each."""

    def __init__(self, breaker: Breaker | None = None, clock: Callable[[], float] = monotonic) -> None:
        self._breaker = breaker or Breaker()
        self._clock = clock
        self._closed = asyncio.Event()
        self._closed.set()

    @property
    def open(self) -> bool:
        """Whether Supabase is taken to be away."""
        return self._breaker.open

    @contextmanager
    def call(self) -> Iterator[None]:
        """Make one call inside. Raises `Transient('supabase_unreachable')` at once while it is not its turn."""
        if not self._breaker.admits(self._clock()):
            raise Transient("supabase_unreachable", AWAY)
        try:
            yield
        except CodedError as error:
            if isinstance(error, Transient) and error.code in OUTAGES:
                self._failed(error)
            else:
                self._succeeded()
            raise
        self._succeeded()

    async def closed(self) -> None:
        """Wait until Supabase is there."""
        await self._closed.wait()

    async def turn(self) -> None:
        """Wait until Supabase is there or has to be asked whether it is; whoever calls first asks."""
        while pause := self._breaker.pause_seconds(self._clock()):
            with suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await self._closed.wait()

    def _failed(self, error: Transient) -> None:
        self._breaker.failed(self._clock(), error.retry_after_seconds or 0.0)
        if self._breaker.open and self._closed.is_set():
            self._closed.clear()
            log.warning(logs.SUPABASE_LOST, error_code=error.code, error=error.message)

    def _succeeded(self) -> None:
        away_seconds, attempts = self._breaker.away_seconds(self._clock()), self._breaker.attempts
        self._breaker.succeeded()
        if not self._closed.is_set():
            self._closed.set()
            log.info(logs.SUPABASE_RETURNED, away_seconds=round(away_seconds, 1), attempts=attempts)
