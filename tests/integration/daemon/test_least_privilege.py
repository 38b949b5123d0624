"""A whole job as the role sentinel_worker, and its behaviour when Storage hides or refuses something."""

import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from sentinel_local_supabase.stack import Stack
from sentinel_worker.worker.error_outcomes import REFUSED_MESSAGE
from tests.integration.daemon.conftest import StartWorker, User, Worker
from tests.integration.daemon.queries import row_when, sql
from tests.waits import until

pytestmark = pytest.mark.asyncio(loop_scope="session")
READS = (
    'create policy "sentinel: worker reads" on storage.objects for select to sentinel_worker'
    " using (bucket_id in ('media', 'derived'))"
)


def as_worker(stack: Stack) -> dict[str, str]:
    """Settings with which the worker knows no other key."""
    token = stack.keys.sign({"role": "sentinel_worker", "exp": int(time.time()) + 3600})
    return {
        "SUPABASE_SECRET_KEY": "",
        "SUPABASE_PUBLISHABLE_KEY": stack.publishable_key,
        "SENTINEL_WORKER_JWT": token,
    }


def stored(stack: Stack, user: User) -> set[str]:
    return {
        row["name"] for row in sql(stack, "select name from storage.objects where starts_with(name, %s)", f"{user.id}/")
    }


def knows_no_other_key(stack: Stack, worker: Worker) -> bool:
    environment = Path(f"/proc/{worker.pid}/environ").read_bytes()
    return not any(key.encode() in environment for key in (stack.secret_key, stack.service_key, stack.jwt_secret))


HISTORY = "select error from sentinel.attempts where request_id = %s"


async def said_to_operators(stack: Stack, worker: Worker, request: str, sentence: str) -> None:
    """The log and the history name the remedy, which the row does not."""
    assert sql(stack, HISTORY, request)[0]["error"]["remedy"].startswith(sentence)
    await until(  # the row is written first, then the log
        lambda: any(
            line["event"] == "request.retried" and line["error"].startswith(sentence) for line in worker.events()
        ),
        what=f"request.retried says {sentence!r}",
        log=worker.log,
    )


@pytest.fixture
def no_changes(admin: psycopg.Connection[dict[str, Any]]) -> Iterator[None]:
    """Realtime reports no row changes, so only the broadcast is left."""
    admin.execute("alter publication supabase_realtime drop table analysis_requests")
    yield
    admin.execute("alter publication supabase_realtime add table analysis_requests")


@pytest.fixture(autouse=True)
def given_back(admin: psycopg.Connection[dict[str, Any]]) -> Iterator[None]:
    """Restore the rights that a test took away."""
    yield
    with admin.transaction(force_rollback=True):
        admin.execute("set local role sentinel_worker")
        missing = admin.execute("select remedy from sentinel_rights()").fetchall()
    for right in missing:
        admin.execute(right["remedy"])


@pytest.mark.usefixtures("no_changes")
async def test_the_whole_job_with_a_publishable_key(
    stack: Stack, start_worker: StartWorker, user: User, clips: dict[str, Path]
) -> None:
    """Upload, insert, broadcast wake-up, claim, download, analysis, thumbnails, finish, deletion."""
    sleepy = await start_worker(
        real=True, SENTINEL_SWEEP_SECONDS="120", SENTINEL_SWEEP_DEGRADED_SECONDS="120", **as_worker(stack)
    )
    assert os.geteuid() != 0 or knows_no_other_key(stack, sleepy)
    hints = [event["hint"] for event in sleepy.events() if event["event"] == "realtime.ready"]
    await until(
        lambda: any(event["event"] == "realtime.ready" for event in sleepy.events()), what="the broadcast is heard"
    )
    request = await user.ask(clips["carphone_pristine-tampered.mp4"])
    row = await user.answer(request)
    assert (row["status"], row["verdict"], row["attempt"]) == ("succeeded", "fake", 1)
    assert {*hints, "broadcast"} == {"broadcast"}
    result = (await user.client.table("analysis_results").select("*").eq("request_id", request).single().execute()).data
    assert isinstance(result, dict)
    assert set(result["derived"].values()) < stored(stack, user)
    await sleepy.process.stop()

    quick = await start_worker(SENTINEL_SWEEP_SECONDS="0.5", SENTINEL_SWEEP_DEGRADED_SECONDS="0.5", **as_worker(stack))
    await user.client.rpc("delete_analysis", {"id": request}).execute()
    await until(lambda: not stored(stack, user), what="its files are gone", log=quick.log)
    for worker in (sleepy, quick):
        assert not [event for event in worker.events() if event["level"] == "error"], worker.log.read_text()
        assert not {"right.missing", "right.unknown", "storage.removal_failed"} & worker.said()


async def test_a_file_that_the_role_may_not_see_costs_no_attempt(
    stack: Stack, start_worker: StartWorker, user: User, clips: dict[str, Path], admin: psycopg.Connection
) -> None:
    worker = await start_worker(module="tests.integration.daemon.hasty", **as_worker(stack))
    admin.execute('drop policy "sentinel: worker reads" on storage.objects')
    request = await user.ask(clips["bikes.mp4"])
    row = await row_when(stack, request, lambda row: row["status"] == "scheduled")
    assert (row["attempt"], row["error_code"]) == (0, "access_refused")
    assert row["error_message"] == REFUSED_MESSAGE
    await said_to_operators(stack, worker, request, 'The policy "sentinel: worker reads" on storage.objects is missing')
    await until(lambda: "right.missing" in worker.said(), what="it says what to run", log=worker.log)
    missing = [event for event in worker.events() if event["event"] == "right.missing"]
    assert [event["run"] for event in missing] == [READS]
    other = await user.ask(clips["bikes.mp4"])
    assert (await row_when(stack, other, bool))["status"] == "queued"
    admin.execute(missing[0]["run"])
    admin.execute("update analysis_requests set run_at = now() where status = 'scheduled'")
    for asked in (request, other):
        row = await user.answer(asked)
        assert (row["status"], row["attempt"]) == ("succeeded", 1)


async def test_a_picture_that_the_role_may_not_store_costs_no_attempt(
    stack: Stack, start_worker: StartWorker, user: User, clips: dict[str, Path], admin: psycopg.Connection
) -> None:
    worker = await start_worker(**as_worker(stack))
    admin.execute('drop policy "sentinel: worker adds derived" on storage.objects')
    request = await user.ask(clips["bikes.mp4"])
    row = await row_when(stack, request, lambda row: row["status"] == "scheduled")
    assert (row["attempt"], row["error_code"]) == (0, "access_refused")
    assert row["error_message"] == REFUSED_MESSAGE
    await said_to_operators(
        stack, worker, request, 'The policy "sentinel: worker adds derived" on storage.objects is missing'
    )
    await until(lambda: "right.missing" in worker.said(), what="it says what to run", log=worker.log)


async def test_a_worker_that_lacks_a_right_does_not_start_and_says_all_of_them(
    stack: Stack, start_worker: StartWorker, user: User, admin: psycopg.Connection
) -> None:
    admin.execute("revoke execute on function sentinel_finish(jsonb), sentinel_heartbeat(jsonb) from sentinel_worker")
    request = await user.insert(await user.upload(b"no film", "x.mp4"))
    worker = await start_worker(wait=False, **as_worker(stack))
    assert await worker.process.wait() == 2
    broken = next(event for event in worker.events() if event["event"] == "worker.broken")
    assert broken["error"].splitlines() == [
        f"The role sentinel_worker may not call {name}: run grant execute on function public.{name}(jsonb)"
        " to sentinel_worker"
        for name in ("sentinel_finish", "sentinel_heartbeat")
    ]
    assert (await row_when(stack, request, bool))["attempt"] == 0
