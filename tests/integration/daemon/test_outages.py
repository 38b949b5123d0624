"""The gateway and the database go away and come back."""

from dataclasses import replace
from pathlib import Path

import pytest

from sentinel_local_supabase.faults import Faults, HttpFault
from sentinel_local_supabase.stack import Stack
from tests.integration.daemon.conftest import StartWorker, User
from tests.integration.daemon.proxy import FaultProxy
from tests.integration.daemon.queries import current_results, history, sql
from tests.waits import until

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_the_gateway_and_the_database_come_back(
    stack: Stack, start_worker: StartWorker, user: User, clips: dict[str, Path], proxy: FaultProxy
) -> None:
    proxy.hold = "GET /storage/v1/object/authenticated/media/"
    worker = await start_worker(via=proxy)
    asked = []
    for stop, start in [
        (stack.stop_gateway, stack.start_gateway),
        (stack.stop_postgres, stack.start_postgres),
    ]:
        proxy.again()
        asked += [await user.ask(clips["carphone_pristine.mp4"]) for _ in range(3)]
        await proxy.held.wait()
        before = len(worker.events())
        await stop()
        await until(
            lambda: "lease.heartbeat_failed" in {event["event"] for event in worker.events()[before:]},  # noqa: B023
            what="the worker notices", log=worker.log,
        )  # fmt: skip
        await start()
        proxy.release.set()
        for request_id in asked:
            row = await user.answer(request_id)
            assert row["status"] == "succeeded", row
            assert current_results(stack, request_id) == 1
            assert [answer for _, _, answer in history(stack, request_id)].count("succeeded") == 1
    assert await worker.process.stop() == 0


async def test_a_worker_starts_without_supabase_and_waits_for_it(
    stack: Stack, start_worker: StartWorker, user: User, clips: dict[str, Path]
) -> None:
    request_id = await user.ask(clips["carphone_pristine.mp4"])
    await stack.stop_gateway()
    worker = await start_worker(wait=False)
    await until(
        lambda: "worker.call_failed" in worker.said(),
        what="it waits",
        log=worker.log,
    )
    await stack.start_gateway()
    assert (await user.answer(request_id))["status"] == "succeeded"


PICTURES_AWAY = HttpFault(service="storage", path="/object/derived/", status=503, retry_after_seconds=1)


@pytest.mark.parametrize("times", [2, None], ids=["for a moment", "for long"])
async def test_a_verdict_does_not_wait_for_its_pictures(
    stack: Stack, start_worker: StartWorker, user: User, clips: dict[str, Path], times: int | None
) -> None:
    """They are written when Storage is back in time, and otherwise left out; nothing is analyzed again."""
    worker = await start_worker(SENTINEL_DERIVE_DEADLINE_SECONDS="20" if times else "3")
    await stack.misbehave(Faults(http=(replace(PICTURES_AWAY, times=times),)))
    request_id = await user.ask(clips["carphone_pristine.mp4"])
    row = await user.answer(request_id)
    assert (row["status"], row["attempt"]) == ("succeeded", 1)
    assert history(stack, request_id) == [(1, "succeeded", "succeeded")]
    [result] = sql(stack, "select derived from analysis_results where request_id = %s", request_id)
    assert bool(result["derived"]) == (times is not None)
    assert "request.not_derived" in worker.said()
