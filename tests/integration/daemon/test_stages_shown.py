"""The row shows where a request is. Its worker is the only one, so this file has no `steady_worker`."""

from collections.abc import Iterator
from pathlib import Path
from typing import get_args

import psycopg
import pytest

from sentinel_local_supabase.stack import Stack
from sentinel_worker.domain.request import Stage
from tests.integration.daemon.conftest import StartWorker, User
from tests.integration.daemon.proxy import FaultProxy
from tests.integration.daemon.queries import row_when, sql

pytestmark = pytest.mark.asyncio(loop_scope="session")


@pytest.fixture
def watched(admin: psycopg.Connection) -> Iterator[None]:
    """Record every stage in the table `seen`."""
    admin.execute("create table seen (id bigint generated always as identity, stage text, progress smallint)")
    admin.execute(
        "create function see() returns trigger language plpgsql as"
        " 'begin insert into public.seen (stage, progress) values (new.stage, new.progress); return null; end'"
    )
    admin.execute("create trigger see after update of stage on analysis_requests for each row execute function see()")
    yield
    admin.execute("drop function see() cascade")
    admin.execute("drop table seen")


@pytest.mark.usefixtures("watched")
async def test_the_row_shows_stages_while_it_runs(
    stack: Stack, start_worker: StartWorker, user: User, clips: dict[str, Path], proxy: FaultProxy
) -> None:
    """Keep the request in its first and last working stage until the row shows it; others may pass unseen."""
    await start_worker(via=proxy)
    proxy.hold = "GET /storage/v1/object/authenticated/media/"
    request_id = await user.ask(clips["bikes.mp4"])
    await row_when(stack, request_id, lambda row: row["stage"] == "fetching")
    proxy.hold = "POST /storage/v1/object/derived/"
    proxy.release.set()
    proxy.again()
    await row_when(stack, request_id, lambda row: row["stage"] == "deriving")
    proxy.release.set()
    await user.answer(request_id)
    shown = [
        (row["stage"], row["progress"]) for row in sql(stack, "select * from seen where stage is not null order by id")
    ]
    assert {"fetching", "deriving"} <= {stage for stage, _ in shown} <= set(get_args(Stage))
    assert shown == sorted(shown, key=lambda row: (get_args(Stage).index(row[0]), row[1]))
    assert [percent for _, percent in shown] == sorted(percent for _, percent in shown)
