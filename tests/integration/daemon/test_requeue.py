"""An admin's plain SQL while workers work."""

from pathlib import Path

import psycopg
import pytest

from sentinel_local_supabase.stack import Stack
from tests.integration.daemon.conftest import StartWorker, User
from tests.integration.daemon.proxy import FaultProxy
from tests.integration.daemon.queries import current_results, history, row_when, sql

pytestmark = pytest.mark.asyncio(loop_scope="session")

DOWNLOAD = "GET /storage/v1/object/authenticated/media/"


async def test_requeue_by_plain_sql_is_done_again_at_once(
    stack: Stack, start_worker: StartWorker, user: User, clips: dict[str, Path], proxy: FaultProxy,
    admin: psycopg.Connection,
) -> None:  # fmt: skip
    await start_worker(via=proxy)
    failed = await user.insert(f"{user.id}/late.mp4")
    assert (await user.answer(failed))["error_code"] == "object_not_found"
    await user.upload(clips["carphone_pristine.mp4"], "late.mp4")
    admin.execute("update analysis_requests set status = 'queued' where status = 'failed'")
    assert (await user.answer(failed))["verdict"] == "real"

    admin.execute("update analysis_requests set status = 'queued' where id = %s", (failed,))
    await row_when(stack, failed, lambda row: row["status"] == "succeeded")
    kept = sql(stack, "select is_current from analysis_results where request_id = %s order by created_at", failed)
    assert [row["is_current"] for row in kept] == [False, True]

    proxy.hold = DOWNLOAD
    running = await user.ask(clips["bikes.mp4"])
    await proxy.held.wait()
    with pytest.raises(psycopg.Error, match="set only by a worker"):
        admin.execute("update analysis_requests set status = 'running' where id = %s", (failed,))
    admin.execute("update analysis_requests set status = 'queued' where id = %s", (running,))
    proxy.release.set()
    row = await user.answer(running)
    assert (row["status"], row["attempt"]) == ("succeeded", 1)
    assert history(stack, running) == [(1, "moved_by_hand", "queued"), (1, "succeeded", "succeeded")]
    assert current_results(stack, running) == 1
