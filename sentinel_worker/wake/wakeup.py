"""Wake-ups: Supabase Realtime as hints that set an Event, never as data.

Two hints, each on its own socket, because a refused private join blocks its socket for seconds: row changes of
public.analysis_requests, and a broadcast that a trigger sends on the private topic `sentinel:wake`. Each is supervised
separately and for ever, one generation after the other. Realtime delivers at most once, so the Event is also set
whenever a gap ends (READY) or begins (loss): the claim that follows is the sweep.
"""

import asyncio
import random
import re
from collections.abc import Callable, Mapping
from time import monotonic
from typing import Final

import structlog

from sentinel_worker.concurrency.backoff import full_jitter_seconds
from sentinel_worker.concurrency.supervisor import Supervisor
from sentinel_worker.concurrency.waiting import at_most
from sentinel_worker.observe import logs
from sentinel_worker.supabase_client.breaker import Circuit
from sentinel_worker.supabase_client.jwt import Token
from sentinel_worker.wake.connection import Access, ConnectionTimes, Generation, HintName
from sentinel_worker.wake.silence import ROWS, Silence

RATE_LIMIT_SIGNS: Final = ("RateLimitReached", "Too many messages", "rate limit")
REFUSAL_SIGNS: Final = ("You do not have permissions to read", "You no longer have permission to read")

_SECONDS: Final = re.compile(r"\d+(?= seconds?\b)")

OnState = Callable[[HintName, bool], None]

log = structlog.get_logger()


def without_seconds(reason: str) -> str:
    """Return a reason without the seconds that count up in it: a token is said to have expired N seconds ago."""
    return _SECONDS.sub("#", reason)


class Wakeup:
    """Sets `event` when work may be waiting. `run()` lasts until cancelled and never fails because of Realtime.

    `url` is the project's base URL, `api_key` its secret, publishable or legacy key. `token` is a JWT to use instead
    of the key's role. Both may be callables that return the current value. `on_state(hint, ready)` is called when a
    hint becomes READY or is lost. While `circuit` is open, no socket is opened.
    """

    def __init__(
        self,
        *,
        url: str,
        api_key: str | Callable[[], str],
        token: Token = None,
        event: asyncio.Event,
        on_state: OnState = lambda _hint, _ready: None,
        times: ConnectionTimes | None = None,
        circuit: Circuit | None = None,
    ) -> None:
        circuit = circuit or Circuit()
        access = Access(f"{url.rstrip('/')}/realtime/v1", api_key, token)
        names: tuple[HintName, ...] = ("changes", "broadcast")
        self.hints: dict[HintName, Hint] = {
            name: Hint(name, access, event, on_state, times or ConnectionTimes(), circuit) for name in names
        }

    async def run(self, supervisor: Supervisor) -> None:
        """Supervise both hints until cancelled."""
        async with asyncio.TaskGroup() as group:
            for name, hint in self.hints.items():
                group.create_task(hint.run(supervisor), name=f"wakeup-{name}")

    @property
    def healthy(self) -> bool:
        """True if at least one hint is READY, so that sweeps may be rare."""
        return any(hint.ready for hint in self.hints.values())

    @property
    def last_hint_at(self) -> float | None:
        """Time of the latest hint on the monotonic clock."""
        return max((hint.last_hint_at for hint in self.hints.values() if hint.last_hint_at is not None), default=None)

    @property
    def states(self) -> Mapping[HintName, bool]:
        """State of each hint: True if READY."""
        return {name: hint.ready for name, hint in self.hints.items()}

    def listened_since(self, moment: float) -> bool:
        """True if a hint has been READY from `moment` (monotonic) until now, so that it should have told of a row."""
        return any(hint.ready_at is not None and hint.ready_at < moment for hint in self.hints.values())

    def renew(self) -> None:
        """Reconnect at once, because the key has changed."""
        for hint in self.hints.values():
            hint.renew()

    def missed(self, queued_seconds: float) -> None:
        """Note that a sweep found a row queued for `queued_seconds`: a hint that did not report it is dead.

        A hint that became READY later than the row, or that arrives within moments, is left alone.
        """
        for hint in self.hints.values():
            hint.suspect(monotonic() - queued_seconds)

    def claimed(self, queued_at: float) -> None:
        """Note that a row queued at `queued_at` (monotonic) was claimed, whatever led to it.

        A hint that announces none of several such rows is dead, though the other one works and nothing is late.
        """
        for hint in self.hints.values():
            hint.expect(queued_at)


class Hint:
    """Supervisor of one hint. `last_hint_at` and `ready_at` are monotonic times, `generation` counts from 1."""

    def __init__(
        self,
        name: HintName,
        access: Access,
        event: asyncio.Event,
        on_state: OnState,
        times: ConnectionTimes,
        circuit: Circuit,
    ) -> None:
        self.name = name
        self.last_hint_at: float | None = None
        self.generation = 0
        self._access = access
        self._event = event
        self._on_state = on_state
        self._times = times
        self._circuit = circuit
        self.ready_at: float | None = None
        self._current: Generation | None = None
        self._renewed = asyncio.Event()
        self._failures, self._told = 0, ""
        self._silence = Silence(times.deaf, times.deaf_cap)
        self._expected: asyncio.TimerHandle | None = None

    @property
    def ready(self) -> bool:
        """True if hints seem to flow."""
        return self.ready_at is not None

    async def run(self, supervisor: Supervisor) -> None:
        """Run one generation after the other until cancelled."""
        await supervisor.repeat(f"wakeup-{self.name}", self._live_once)

    async def _live_once(self) -> None:
        await self._circuit.closed()
        reason, lived_seconds = await self._live()
        self._failures = 1 if lived_seconds >= self._times.health else self._failures + 1
        pause = self._pause_seconds(reason, self._failures)
        # Realtime may be down for hours while the rest works, so each reason is a warning only once.
        write = log.warning if lived_seconds or without_seconds(reason) != self._told else log.debug
        self._told = without_seconds(reason)
        write(
            logs.REALTIME_LOST if lived_seconds else logs.REALTIME_FAILED,
            hint=self.name,
            reason=reason,
            lived_seconds=round(lived_seconds, 1),
            retry_seconds=round(pause, 1),
        )
        await at_most(pause, self._renewed)
        self._renewed.clear()

    def renew(self) -> None:
        """End the current generation, or the pause between two."""
        self._renewed.set()
        if self._current is not None:
            self._current.end("the key changed")

    def suspect(self, queued_at: float) -> None:
        """End the generation unless a hint came after `queued_at` (monotonic), or comes within moments."""
        if self.ready_at is None or self._current is None or queued_at <= self.ready_at:
            return
        self._later(self._judge, self._current, queued_at)

    def expect(self, queued_at: float) -> None:
        """Weigh a row queued at `queued_at` (monotonic) once its announcement must have come; one at a time."""
        if self.ready_at is None or self._current is None or queued_at <= self.ready_at:
            return
        if self._expected is None and not self._heard_since(queued_at):
            self._expected = self._later(self._weigh, self._current, queued_at)

    def _later(
        self, judge: Callable[[Generation, float], None], generation: Generation, queued_at: float
    ) -> asyncio.TimerHandle:
        silent_seconds = monotonic() - queued_at
        wait = max(self._times.silence - silent_seconds, self._times.silence / 3)
        return asyncio.get_running_loop().call_later(wait, judge, generation, queued_at)

    def _judge(self, generation: Generation, queued_at: float) -> None:
        if not self._heard_since(queued_at):
            generation.end("it was silent about a queued row")

    def _weigh(self, generation: Generation, queued_at: float) -> None:
        self._expected = None
        if generation is self._current and not self._heard_since(queued_at) and self._silence.unannounced(queued_at):
            generation.end(f"it announced none of the last {ROWS} rows or more")

    def _heard_since(self, queued_at: float) -> bool:
        return self.last_hint_at is not None and self.last_hint_at >= queued_at

    async def _live(self) -> tuple[str, float]:
        """Run one generation; return the reason for its end, and the seconds for which it was READY."""
        self.generation += 1
        self._current = Generation(self.name, self._access, self._times, self._hinted, self._event.set)
        try:
            if (failure := await self._current.open()) is not None:
                return failure, 0.0
            self.ready_at = monotonic()
            self._silence.connected()
            self._event.set()
            self._on_state(self.name, True)
            log.info(logs.REALTIME_READY, hint=self.name, generation=self.generation)
            reason = await self._current.watch()
            return reason, monotonic() - self.ready_at
        finally:
            if self.ready_at is not None:
                self.ready_at = None
                self._event.set()
                self._on_state(self.name, False)
            await self._current.discard()

    def _hinted(self) -> None:
        self.last_hint_at = monotonic()
        self._silence.heard()
        self._event.set()

    def _pause_seconds(self, reason: str, failures: int) -> float:
        if any(sign in reason for sign in REFUSAL_SIGNS):
            return self._times.refused * random.uniform(0.5, 1.0)  # noqa: S311 - jitter, no secret
        pause = full_jitter_seconds(failures, first=self._times.backoff_first, cap=self._times.backoff_cap)
        if any(sign in reason for sign in RATE_LIMIT_SIGNS):
            return max(pause, self._times.rate_limited)
        return pause
