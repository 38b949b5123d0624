"""The machine refuses a worker memory: the request is retried, and the worker goes on."""

from pathlib import Path

import pytest
from PIL import Image

from sentinel_local_supabase.stack import Stack
from sentinel_worker.domain.errors import Transient
from sentinel_worker.worker.pipeline import memory_errors_translated
from tests.integration.daemon.conftest import StartWorker, User
from tests.integration.daemon.hungry import hungry_detector
from tests.integration.daemon.proxy import FaultProxy
from tests.integration.daemon.queries import history, row_when
from tests.memory import memory_left

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_a_score_that_does_not_fit_into_memory_is_retried(
    stack: Stack, start_worker: StartWorker, user: User, proxy: FaultProxy, tmp_path: Path
) -> None:
    worker = await start_worker(via=proxy, SENTINEL_LEASE_SECONDS="30", **hungry_detector(tmp_path))
    portrait = tmp_path / "portrait.jpg"
    Image.new("RGB", (120, 80), "navy").save(portrait)
    with memory_left(128 << 20, worker.pid):
        request_id = await user.ask(portrait, media_kind="image")
        row = await row_when(stack, request_id, lambda row: row["status"] not in ("queued", "running"))
    assert (row["status"], row["error_code"], row["attempt"]) == ("scheduled", "out_of_memory", 1)
    assert row["error_message"] == "The machine has too little free memory for one clip."
    assert (await user.answer(request_id))["status"] == "succeeded"
    assert history(stack, request_id) == [(1, "retry", "scheduled"), (2, "succeeded", "succeeded")]
    assert await worker.process.stop() == 0


@pytest.mark.parametrize("error", [MemoryError(), ExceptionGroup("tasks", [ValueError(), MemoryError()])])
async def test_memory_that_is_refused_anywhere_in_a_request_is_worth_another_attempt(error: Exception) -> None:
    with pytest.raises(Transient) as translated, memory_errors_translated():
        raise error
    assert translated.value.code == "out_of_memory"
    assert translated.value.__cause__ is error


@pytest.mark.parametrize("error", [ValueError(), ExceptionGroup("tasks", [ValueError()])])
async def test_other_errors_stay_what_they_are(error: Exception) -> None:
    with pytest.raises(type(error)) as same, memory_errors_translated():
        raise error
    assert same.value is error
