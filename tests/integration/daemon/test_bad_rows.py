"""Rows with JSON that Python cannot read: they are ordinary requests, and stop no worker."""

from pathlib import Path
from typing import Any

import psycopg
import pytest

from sentinel_local_supabase.stack import Stack
from tests.integration.daemon.conftest import StartWorker, User, signed_in
from tests.integration.daemon.queries import sql
from tests.rights import hostile
from tests.waits import until

pytestmark = pytest.mark.asyncio(loop_scope="session")

UNREADABLE = {
    "a whole number of 4,400 digits": f'{{"n": {"9" * 4400}}}',
    "4,000 arrays inside each other": f'{{"n": {"[" * 4000}{"]" * 4000}}}',
    "both in one": f'{{"n": [{"8" * 4400}, {"[" * 950}{"]" * 950}]}}',
}
"""Rows that could be inserted before the database refused them, and may still exist."""


async def test_unreadable_options_stop_no_worker(
    stack: Stack,
    start_worker: StartWorker,
    user: User,
    clips: dict[str, Path],
    admin: psycopg.Connection[dict[str, Any]],
) -> None:
    film = clips["carphone_pristine.mp4"]
    path = await user.upload(film)
    asked = [
        await user.insert(path, media_kind="video", options=options)
        for name, options in hostile.OPTIONS.items()
        if name in hostile.STORED_OPTIONS
    ]
    insert = (
        "insert into analysis_requests (user_id, storage_path, media_kind, options)"
        " values (%s, %s, 'video', %s::jsonb) returning id::text"
    )
    with admin.transaction():
        admin.execute("alter table analysis_requests disable trigger analysis_requests_options")
        for options in UNREADABLE.values():
            row = admin.execute(insert, [user.id, path, options]).fetchone()
            assert row is not None
            asked.append(row["id"])
        admin.execute("alter table analysis_requests enable trigger analysis_requests_options")
    worker = await start_worker()
    async with signed_in(stack) as another:
        row = await another.answer(await another.ask(film, media_kind="video"))
    assert row["status"] == "succeeded"
    # Python cannot read these rows as a whole.
    unanswered = "select from analysis_requests where status not in ('succeeded', 'failed', 'cancelled')"
    await until(lambda: not sql(stack, unanswered), what="all are answered", log=worker.log)
    found = sql(stack, "select id::text, status, attempt, crashes from analysis_requests where user_id = %s", user.id)
    answered = {"status": "succeeded", "attempt": 1, "crashes": 0}
    assert found == [{"id": row["id"], **answered} for row in found]
    assert {row["id"] for row in found} == set(asked)
    assert not worker.said() & {"request.crashed", "worker.unhandled", "worker.call_failed"}
    assert await worker.process.stop() == 0
