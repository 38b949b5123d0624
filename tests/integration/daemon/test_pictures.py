"""Pictures for people and a finished analysis: it waits for them within their stage, and is never lost for them."""

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from sentinel_local_supabase.faults import Faults, HttpFault
from sentinel_local_supabase.stack import Stack
from tests.integration.daemon.conftest import StartWorker, User, Worker
from tests.integration.daemon.queries import history, sql
from tests.machines import without_descriptors
from tests.waits import until

pytestmark = pytest.mark.asyncio(loop_scope="session")

AWAY = HttpFault(service="storage", path="/object/derived/", status=503)
ONCE = [(1, "succeeded", "succeeded")]
PICTURES = {"thumbnail", "worst_frame", "filmstrip"}


def derived(stack: Stack, request_id: str) -> set[str]:
    [result] = sql(stack, "select derived from analysis_results where request_id = %s", request_id)
    return set(result["derived"])


def left_out(worker: Worker, error_code: str) -> list[str]:
    """The pictures that the log names with this error code."""
    lines = [line for line in worker.events() if line["event"] == "request.not_derived"]
    return [line["name"] for line in lines if line["error_code"] == error_code]


@pytest.mark.parametrize(
    ("making_seconds", "storage_is_away"), [("0.9", True), ("inf", False)], ids=["60 % of the stage", "for ever"]
)
async def test_a_verdict_does_not_wait_for_pictures_that_are_slow_to_make(
    stack: Stack,
    start_worker: StartWorker,
    user: User,
    clips: dict[str, Path],
    making_seconds: str,
    storage_is_away: bool,
) -> None:
    """There are three of them. Those that are not stored within the stage are left out, and named in the log."""
    worker = await start_worker(
        module="tests.integration.daemon.slow_pictures",
        PICTURE_SECONDS=making_seconds, SENTINEL_DERIVE_DEADLINE_SECONDS="3",
    )  # fmt: skip
    if storage_is_away:
        await stack.misbehave(Faults(http=(AWAY,)))
    request_id = await user.ask(clips["carphone_pristine.mp4"])
    row = await user.answer(request_id)
    assert (row["status"], row["attempt"]) == ("succeeded", 1)
    assert history(stack, request_id) == ONCE
    assert derived(stack, request_id) == set()
    assert sorted(left_out(worker, "stage_timed_out")) == sorted(PICTURES)


async def asked_while_storage_is_away(stack: Stack, worker: Worker, user: User, clip: Path, **fault: Any) -> str:
    """Ask, and wait until Storage has refused the first picture."""
    await stack.misbehave(Faults(http=(replace(AWAY, retry_after_seconds=1, **fault),)))
    request_id = await user.ask(clip)
    await until(lambda: left_out(worker, "storage_unavailable"), what="a picture is refused", log=worker.log)
    return request_id


async def answered_by_another_try(stack: Stack, worker: Worker, user: User, request_id: str, fault: str) -> None:
    """End Storage's outage, and wait for an answer with pictures; the fault has cost no attempt."""
    await stack.behave()
    row = await user.answer(request_id)
    assert (row["status"], row["attempt"], row["crashes"]) == ("succeeded", 1, 0)
    assert [outcome for _, outcome, _ in history(stack, request_id)] == ["snoozed", "succeeded"]
    assert derived(stack, request_id) == PICTURES
    faults = [line["error_code"] for line in worker.events() if line["event"] == "machine.unfit"]
    assert faults == [fault]


async def test_a_worker_without_descriptors_for_its_pictures_hands_the_request_on(
    stack: Stack, start_worker: StartWorker, user: User, clips: dict[str, Path]
) -> None:
    worker = await start_worker(SENTINEL_LEASE_SECONDS="30")
    request_id = await asked_while_storage_is_away(stack, worker, user, clips["carphone_pristine.mp4"])
    with without_descriptors(worker.pid):
        await until(lambda: "machine.unfit" in worker.said(), what="it noticed", log=worker.log)
    await answered_by_another_try(stack, worker, user, request_id, "descriptors_exhausted")


async def test_a_picture_that_is_gone_is_left_out(
    stack: Stack, start_worker: StartWorker, user: User, clips: dict[str, Path], tmp_path: Path
) -> None:
    """The machine is fit: only this file was removed, as cleaners of temporary folders do."""
    work = tmp_path / "work"
    work.mkdir()
    worker = await start_worker(SENTINEL_WORK_DIR=str(work))
    request_id = await asked_while_storage_is_away(stack, worker, user, clips["carphone_pristine.mp4"])
    [picture] = work.glob("*/request-*/thumbnail.webp")
    picture.unlink()
    await stack.behave()
    row = await user.answer(request_id)
    assert (row["status"], row["attempt"]) == ("succeeded", 1)
    assert history(stack, request_id) == ONCE
    assert derived(stack, request_id) == PICTURES - {"thumbnail"}
    assert left_out(worker, "file_unreadable") == ["thumbnail"]
    assert "machine.unfit" not in worker.said()


async def test_a_worker_without_its_folder_hands_the_request_on(
    stack: Stack, start_worker: StartWorker, user: User, clips: dict[str, Path], tmp_path: Path
) -> None:
    work = tmp_path / "work"
    work.mkdir()
    worker = await start_worker(SENTINEL_WORK_DIR=str(work))
    request_id = await asked_while_storage_is_away(stack, worker, user, clips["carphone_pristine.mp4"])
    [own] = work.glob("sentinel-worker-*")
    shutil.rmtree(own)
    await until(lambda: "machine.unfit" in worker.said(), what="it noticed", log=worker.log)
    await answered_by_another_try(stack, worker, user, request_id, "work_folder_unusable")
