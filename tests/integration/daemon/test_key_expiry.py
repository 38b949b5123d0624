"""A worker's token expires: it is announced, nothing is claimed afterwards, and no request loses an attempt."""

import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from sentinel_local_supabase.faults import Faults, HttpFault
from sentinel_local_supabase.stack import Stack
from sentinel_worker.supabase_client.expiry import HAND_BACK_SECONDS
from tests.integration.daemon.conftest import StartWorker, User
from tests.integration.daemon.key_files import Lines, events, running, succeeded, token, write
from tests.integration.daemon.proxy import FaultProxy
from tests.integration.daemon.queries import history, row_when, sql
from tests.waits import until

pytestmark = pytest.mark.asyncio(loop_scope="session")
HOUR = 3600


class Clock:
    """The worker's clock, which a test sets forward; the database's stays, like PostgREST's tolerance."""

    ahead_seconds = 0.0

    def __call__(self) -> float:
        return time.time() + self.ahead_seconds


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr("sentinel_worker.supabase_client.expiry.time", clock)
    for module in ("supabase_client.expiry", "worker.loop"):
        monkeypatch.setattr(f"sentinel_worker.{module}.LOOK_SECONDS", 0.05)
    return clock


async def test_an_expired_token_claims_nothing_and_a_new_one_in_the_file_does(
    stack: Stack, tmp_path: Path, insert: Callable[[], str], lines: Lines, clock: Clock
) -> None:
    """Meanwhile PostgREST would let it claim, but Storage would refuse the file of each request."""
    path = write(tmp_path / "jwt", token(stack, HOUR))
    async with running(stack, path) as worker:
        clock.ahead_seconds = 0.95 * HOUR
        await until(lambda: bool(events(lines, "key.expires")), what="the expiry is announced")
        await succeeded(stack, insert())
        clock.ahead_seconds = HOUR
        await until(lambda: worker.health.state == "broken", what="it knows that its token has expired")
        request = insert()
        for _ in range(2):  # the second time, it has looked at everything since the insert
            worker.worker._wake.set()
            await until(lambda: not worker.worker._wake.is_set(), what="it was woken")
        row = await row_when(stack, request, lambda row: True)
        assert (row["status"], row["attempt"]) == ("queued", 0)
        write(path, token(stack, 3 * HOUR))
        await succeeded(stack, request)
        assert worker.health.state != "broken"
    (warned,) = events(lines, "key.expires")
    assert 0 < warned["seconds_left"] <= HOUR / 10
    assert warned["name"] == "SENTINEL_WORKER_JWT"
    (broken,) = events(lines, "worker.broken")
    assert broken["reason"].startswith("SENTINEL_WORKER_JWT expired at ")
    assert f"write a new one to {path}" in broken["reason"]


async def test_running_requests_are_handed_back_while_the_database_still_listens(
    stack: Stack, tmp_path: Path, insert: Callable[[], str], lines: Lines, clock: Clock
) -> None:
    path = write(tmp_path / "jwt", token(stack, HOUR))
    async with running(stack, path, realtime=False) as worker:
        worker.worker._pipeline.seconds = HOUR  # type: ignore[attr-defined]
        request = insert()
        await row_when(stack, request, lambda row: row["status"] == "running")
        clock.ahead_seconds = HOUR + HAND_BACK_SECONDS
        row = await row_when(stack, request, lambda row: row["status"] != "running")
        assert (row["status"], row["attempt"]) == ("queued", 0)
        worker.worker._pipeline.seconds = 0.0  # type: ignore[attr-defined]
        write(path, token(stack, 3 * HOUR))
        await succeeded(stack, request)
    assert events(lines, "request.released")
    assert not events(lines, "request.lease_lost")


async def test_a_finished_request_is_written_with_the_next_token(
    stack: Stack, tmp_path: Path, insert: Callable[[], str], lines: Lines, clock: Clock
) -> None:
    path = write(tmp_path / "jwt", token(stack, HOUR))
    async with running(stack, path, realtime=False) as worker:
        refusal = HttpFault(service="rest", path="sentinel_finish", status=401)
        await stack.misbehave(Faults(http=(refusal,)))
        request = insert()
        await until(lambda: any("finish" in line.get("call", "") for line in lines), what="its outcome is refused")
        clock.ahead_seconds = HOUR + HAND_BACK_SECONDS
        await until(lambda: worker.health.state == "broken", what="the token has expired")
        await stack.behave()
        write(path, token(stack, 3 * HOUR))
        await succeeded(stack, request)
    assert not events(lines, "request.released")


async def test_a_verdict_is_written_without_the_pictures_that_an_expired_token_cannot_store(
    stack: Stack, start_worker: StartWorker, user: User, clips: dict[str, Path], proxy: FaultProxy, tmp_path: Path
) -> None:
    """Storage refuses the token at once, but the database still takes the verdict."""
    path = write(tmp_path / "jwt", token(stack, HOUR))
    worker = await start_worker(
        via=proxy, SUPABASE_SECRET_KEY="", SUPABASE_PUBLISHABLE_KEY=stack.publishable_key,
        SENTINEL_WORKER_JWT_FILE=str(path), SENTINEL_LEASE_SECONDS="30",
    )  # fmt: skip
    proxy.hold = "POST /storage/v1/object/derived/"
    request = await user.ask(clips["carphone_pristine.mp4"])
    await proxy.held.wait()  # the first picture is stored, and its answer waits
    write(path, token(stack, seconds=2))
    worker.process.signal(signal.SIGHUP)
    await until(lambda: "worker.broken" in worker.said(), what="the token has expired", log=worker.log)
    proxy.release.set()
    row = await user.answer(request)
    assert (row["status"], row["attempt"]) == ("succeeded", 1)
    assert history(stack, request) == [(1, "succeeded", "succeeded")]
    [result] = sql(stack, "select derived from analysis_results where request_id = %s", request)
    assert set(result["derived"]) == {"thumbnail"}
    lines = events(worker.events(), "request.not_derived")
    refused = [(name, "access_refused") for name in ("worst_frame", "filmstrip")]
    assert [(line["name"], line["error_code"]) for line in lines] == refused


async def test_a_worker_does_not_start_with_an_expired_token(
    stack: Stack, start_worker: StartWorker, tmp_path: Path
) -> None:
    path = write(tmp_path / "jwt", token(stack, seconds=-5))
    worker = await start_worker(
        wait=False, SUPABASE_SECRET_KEY="", SUPABASE_PUBLISHABLE_KEY=stack.publishable_key,
        SENTINEL_WORKER_JWT_FILE=str(path),
    )  # fmt: skip
    assert await worker.process.wait() == 2
    (broken,) = [line for line in worker.events() if line["event"] == "worker.broken"]
    assert broken["error"].startswith("SENTINEL_WORKER_JWT expired at ")
    assert str(path) in broken["error"]
    assert "Traceback" not in worker.log.read_text()
    assert "detector.loaded" not in worker.said()
