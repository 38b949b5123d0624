"""A database restored from a backup of the day before, beside a Storage that went on: no worker removes what lives."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import pytest
import pytest_asyncio

from sentinel_local_supabase.stack import Stack
from sentinel_worker.commands.dev import worker_environment
from tests.integration.daemon.backup import back_up, grow_older, no_file_removed, restore
from tests.integration.daemon.claimant import Claimant
from tests.integration.daemon.conftest import QUICK, User, signed_in
from tests.integration.daemon.queries import row_when, sql
from tests.stacks import stack_at
from tests.waits import until
from tests.warm.forks import Template
from tests.warm.worker import WarmWorker

pytestmark = pytest.mark.asyncio(loop_scope="session")


@pytest_asyncio.fixture(loop_scope="session")
async def own_stack(tmp_path: Path) -> AsyncIterator[Stack]:
    """A local Supabase whose database this test replaces."""
    async with stack_at(tmp_path / "supabase", pace="fast") as stack:
        yield stack


@dataclass
class Paths:
    """Objects that the backup does not know, or knows better than its outbox."""

    kept: list[tuple[str, str]]
    newer: list[tuple[str, str]]
    running: str
    gone: str


async def a_day(worker: Claimant, user: User, clip: Path, backup: Path) -> Paths:
    """Let some requests and deletions precede the backup, and others follow it."""
    stack = worker.stack
    kept = worker.claim(await user.ask(clip))
    kept_files = [worker.upload(kept, name) for name in ("best.jpg", "worst.jpg")]
    worker.succeed(kept, *kept_files)
    film = await user.upload(clip, "again.mp4")
    deleted = worker.claim(await user.insert(film))
    worker.succeed(deleted, worker.upload(deleted, "worst.jpg"))
    await user.client.rpc("delete_analysis", {"id": deleted["id"]}).execute()
    former = str(uuid4())
    sql(stack, "insert into auth.users (id) values (%s) returning id", former)
    worker.put("media", f"{former}/old.mp4")
    sql(stack, "delete from auth.users where id = %s returning id", former)
    running = worker.claim(await user.ask(clip))
    early = worker.upload(running, "early.jpg")
    gone = await user.ask(clip)
    grow_older(stack)
    back_up(stack, backup)

    worker.empty_outbox()
    worker.succeed(running, early, late := worker.upload(running, "late.jpg"))
    await user.client.rpc("delete_analysis", {"id": gone}).execute()
    worker.empty_outbox()
    await user.upload(clip, "again.mp4")
    await user.insert(film, id=deleted["id"])
    once_more = worker.claim(deleted["id"])
    worker.succeed(once_more, picture := worker.upload(once_more, "worst.jpg"))
    sql(stack, "insert into auth.users (id) values (%s) returning id", former)
    worker.put("media", returned := f"{former}/new.mp4")
    unknown = await user.upload(clip)
    return Paths(
        kept=[("media", kept["storage_path"]), *(("derived", path) for path in kept_files)],
        newer=[("media", film), ("media", returned), ("media", unknown), ("derived", picture)]
        + [("derived", path) for path in (early, late)],
        running=running["id"],
        gone=gone,
    )


@pytest.mark.parametrize("keep_objects", [False, True], ids=["whole", "with_newer_objects"])
async def test_no_file_that_lives_is_removed(
    own_stack: Stack, worker_template: Template, clips: dict[str, Path], tmp_path: Path, keep_objects: bool
) -> None:
    stack, backup, log = own_stack, tmp_path / "database.dump", tmp_path / "worker.log"
    async with signed_in(stack) as user:
        with Claimant(stack) as worker:
            paths = await a_day(worker, user, clips["bikes.mp4"], backup)
    await restore(stack, backup, keep_objects=keep_objects)
    assert sql(stack, "select from sentinel.deletions"), "the outbox of the day before"
    settings = worker_environment(stack, QUICK | {"SENTINEL_REALTIME": "false"})
    with no_file_removed(stack):
        async with WarmWorker(worker_template, settings, log=log):
            await row_when(stack, paths.running, lambda row: row["status"] == "succeeded")
            gone = await row_when(stack, paths.gone, lambda row: row["error_code"] is not None)
            await until(lambda: outbox_is_empty(stack), what="the worker emptied the outbox", log=log)
    with Claimant(stack) as reader:
        answers = {path: reader.read(*path).status_code for path in paths.kept + paths.newer * keep_objects}
    assert set(answers.values()) == {200}, answers
    # Storage's row came back with the backup, and its file did not.
    assert gone["error_code"] == ("object_not_found" if keep_objects else "storage_unavailable")


def outbox_is_empty(stack: Stack) -> bool:
    sql(stack, "update sentinel.deletions set due_at = now() returning id")
    return not sql(stack, "select from sentinel.deletions")
