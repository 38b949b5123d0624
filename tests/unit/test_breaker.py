"""The breaker: rare probes while Supabase is away, no obstacle while it is there."""

import asyncio
from collections.abc import Callable
from typing import Any

import httpx
import hypothesis.strategies as st
import pytest
from hypothesis import settings
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from structlog.testing import capture_logs

from sentinel_worker.config import settings as worker_settings
from sentinel_worker.domain.errors import CodedError, Permanent, Transient
from sentinel_worker.sources.storage_errors import unreachable
from sentinel_worker.supabase_client import connections
from sentinel_worker.supabase_client.breaker import AWAY, Breaker, Circuit
from sentinel_worker.supabase_client.keys import WorkerKeys
from tests.matrix import examples

THRESHOLD, FIRST, PROBE = 3, 1.0, 60.0
CHANCE = 0.5


class Outage(RuleBasedStateMachine):
    """Calls that start, fail, succeed or are given up at any time, several at once."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 1000.0
        self.breaker = Breaker(
            threshold=THRESHOLD, first_seconds=FIRST, probe_seconds=PROBE, uniform=lambda a, b: a + CHANCE * (b - a)
        )
        self.row = 0
        self.early = 0
        self.probe_at: float | None = None
        self.failed_probes = 0
        self.admitted_at: list[float] = []

    @rule(sixty_fourths=st.integers(0, 200 * 64))
    def time_passes(self, sixty_fourths: int) -> None:
        self.now += sixty_fourths / 64  # exact in binary, as are all sums and differences here

    @rule(fails=st.booleans())
    def a_call_while_closed(self, fails: bool) -> None:
        if self.breaker.open:
            return
        assert self.breaker.admits(self.now)
        if fails:
            self.breaker.failed(self.now)
            self.row += 1
        else:
            self.breaker.succeeded()
            self.row = 0
        assert self.breaker.open == (self.row >= THRESHOLD)
        if self.breaker.open:
            self.admitted_at, self.failed_probes = [self.now], 0

    @precondition(lambda self: self.breaker.open)
    @rule(end=st.sampled_from(["fails", "succeeds", "given up"]))
    def a_call_while_open(self, end: str) -> None:
        since_last = self.now - self.admitted_at[-1]
        admitted = self.breaker.admits(self.now)
        assert admitted or since_last < PROBE, "the return is found within the probe interval"
        if not admitted:
            return
        grown = min(PROBE, FIRST * 2.0**self.failed_probes)
        assert since_last >= grown / 2, "probes grow rare"
        assert self.failed_probes < 7 or since_last >= PROBE, "and at last one a minute"
        self.admitted_at.append(self.now)
        assert not self.breaker.admits(self.now), "one probe at a time"
        if end == "fails":
            self.breaker.failed(self.now)
            self.failed_probes += 1
        elif end == "succeeds":
            self.breaker.succeeded()
            self.row = 0

    @precondition(lambda self: self.breaker.open and self.breaker.pause_seconds(self.now) < PROBE)
    @rule()
    def an_early_call_fails_late(self) -> None:
        before = self.breaker.pause_seconds(self.now), self.breaker.attempts
        if self.breaker._probing:
            return
        self.breaker.failed(self.now)
        assert (self.breaker.pause_seconds(self.now), self.breaker.attempts) == before

    @invariant()
    def the_pause_says_when(self) -> None:
        pause = self.breaker.pause_seconds(self.now)
        assert 0 <= pause <= PROBE
        assert self.breaker.open or pause == 0


TestOutage = Outage.TestCase
TestOutage.settings = settings(max_examples=examples(60), stateful_step_count=60, deadline=None)


def test_two_hours_cost_about_one_probe_a_minute() -> None:
    breaker, now, probes = Breaker(), 0.0, 0
    for _ in range(THRESHOLD):
        breaker.failed(now)
    while now < 2 * 3600:
        now += breaker.pause_seconds(now)
        assert breaker.admits(now)
        probes += 1
        breaker.failed(now)
    assert probes <= 127
    assert breaker.away_seconds(now) == now


def test_the_servers_wish_is_kept() -> None:
    breaker = Breaker()
    for _ in range(THRESHOLD):
        breaker.failed(10.0, 7.0)
    assert breaker.pause_seconds(10.0) == 7.0


def unavailable() -> CodedError:
    return Transient("supabase_unavailable", "Supabase is not available.")


def call(circuit: Circuit, error: CodedError | None) -> None:
    with circuit.call():
        if error is not None:
            raise error


def lose(circuit: Circuit, error: Callable[[], CodedError] = unavailable) -> None:
    for _ in range(THRESHOLD):
        with pytest.raises(CodedError):
            call(circuit, error())


async def test_the_loss_and_the_return_are_one_line_each() -> None:
    now = [0.0]
    circuit = Circuit(clock=lambda: now[0])
    with capture_logs() as lines:
        for _ in range(2):
            lose(circuit)
            for _ in range(100):
                now[0] += 30
                with pytest.raises(Transient):
                    call(circuit, unavailable())
            now[0] += 60
            call(circuit, None)
    events: list[Any] = [(line["event"], line["log_level"], line.get("away_seconds")) for line in lines]
    assert events == [("supabase.lost", "warning", None), ("supabase.returned", "info", 3060.0)] * 2
    assert 45 <= lines[1]["attempts"] <= 60


async def test_a_refusal_is_an_answer() -> None:
    circuit = Circuit()
    lose(circuit, lambda: Transient("access_refused", "Refused."))
    lose(circuit, lambda: Permanent("call_refused", "Refused."))
    assert not circuit.open


async def test_waiting_calls_continue_at_the_first_success() -> None:
    circuit = Circuit(Breaker(first_seconds=0.02, probe_seconds=3600))
    lose(circuit)
    obeying = asyncio.create_task(circuit.closed())
    await asyncio.wait_for(circuit.turn(), 5)
    asking, late = circuit.call(), asyncio.create_task(circuit.turn())
    asking.__enter__()
    await asyncio.sleep(0)  # one turn of the loop
    assert not obeying.done()
    assert not late.done()
    asking.__exit__(None, None, None)
    await asyncio.wait_for(asyncio.gather(obeying, late), 5)
    assert not circuit.open


async def test_storage_is_not_asked_while_supabase_is_away(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[bytes] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        monkeypatch.setenv("SUPABASE_URL", f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}")
        monkeypatch.setenv("SUPABASE_SECRET_KEY", "sb_secret_x")
        circuit, loaded = Circuit(), worker_settings.load()
        async with connections.storage_http(loaded, WorkerKeys(loaded), circuit) as http:
            lose(circuit)
            with pytest.raises(httpx.ConnectError) as refused:
                await http.get("/storage/v1/object/x")
            assert unreachable(refused.value).message == AWAY  # not that Storage could not be reached
            assert not asked
            circuit._succeeded()
            assert (await http.get("/storage/v1/object/x")).is_success
