"""Circuit breaker for Supabase: during an outage one call a minute probes whether it is over.

Only calls of the queue's functions feed it, because a worker cannot do without them. Everything else in the worker
obeys it: while it is open, Storage is not called, no socket is opened, and outcomes wait. An outage of only Realtime
or Storage does not open it. Heartbeats neither feed nor obey it: they continue for as long as a lease can be saved.
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
from sentinel_worker.domain.machine_errors import is_of_machine
from sentinel_worker.observe import logs

OUTAGES: Final = with_trait(Trait.OUTAGE)
"""Error codes that mean an outage of Supabase, not a problem with the call."""
AWAY: Final = "Supabase is unavailable; the worker keeps probing it."

log = structlog.get_logger()


class Breaker:
    """Circuit breaker without a clock of its own: `now` is in seconds and never decreases.

    `threshold` failures in a row open it. While it is open, it lets one call at a time through as a probe: the first
    after about `first_seconds`, then less and less often, at last every `probe_seconds`. Any success closes it.
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
        """True if calls are refused."""
        return self._probe_at is not None

    @property
    def attempts(self) -> int:
        """Number of calls that failed since the last success."""
        return self._failures

    def away_seconds(self, now: float) -> float:
        """Seconds since the first failure after the last success; 0 without a failure."""
        return now - self._since if self._failures else 0.0

    def pause_seconds(self, now: float) -> float:
        """Seconds until a call is let through; 0 while closed."""
        return 0.0 if self._probe_at is None else max(0.0, self._probe_at - now)

    def admits(self, now: float) -> bool:
        """Return True if a call may be made now. While open, that call is the probe and the next ones are refused."""
        if self._probe_at is None:
            return True
        if now < self._probe_at:
            return False
        # If the probe's caller is cancelled and never reports a result, another probe follows.
        self._probing, self._probe_at = True, now + self._cap
        return True

    def failed(self, now: float, wished_seconds: float = 0.0) -> None:
        """Record that a call failed because of an outage; `wished_seconds` is the server's Retry-After."""
        if self.open and not self._probing:
            return  # the call started before the breaker opened, so it tells nothing new
        if self._failures == 0:
            self._since = now
        self._failures += 1
        if self._failures >= self._threshold:
            self._probing, self._probe_at = False, now + max(self._next_pause(), wished_seconds)

    def succeeded(self) -> None:
        """Record that a call got a response, even a refusal."""
        self._failures = self._probes = 0
        self._probing, self._probe_at = False, None

    def _next_pause(self) -> float:
        """Return the next pause. Jitter while it grows spreads many workers for the rest of the outage."""
        grown = self._first * 2.0 ** min(self._probes, 30)
        self._probes += 1
        return self._cap if grown >= self._cap else self._uniform(grown / 2, grown)


class Circuit:
    """A `Breaker` in the event loop: guards calls, makes others wait, and logs the outage and its end once each."""

    def __init__(self, breaker: Breaker | None = None, clock: Callable[[], float] = monotonic) -> None:
        self._breaker = breaker or Breaker()
        self._clock = clock
        self._closed = asyncio.Event()
        self._closed.set()

    @property
    def open(self) -> bool:
        """True while Supabase is considered unavailable."""
        return self._breaker.open

    @contextmanager
    def call(self) -> Iterator[None]:
        """Guard one call. Raises `Transient('supabase_unreachable')` at once if the breaker refuses it."""
        if not self._breaker.admits(self._clock()):
            raise Transient("supabase_unreachable", AWAY)
        try:
            yield
        except CodedError as error:
            if isinstance(error, Transient) and error.code in OUTAGES:
                self._failed(error)
            elif not is_of_machine(error):  # that call did not leave this machine
                self._succeeded()
            raise
        self._succeeded()

    async def closed(self) -> None:
        """Wait until Supabase is available."""
        await self._closed.wait()

    async def turn(self) -> None:
        """Wait until Supabase is available or due to be probed; the first call after this is the probe."""
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
