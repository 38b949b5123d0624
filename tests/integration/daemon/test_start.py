"""Problems that the operator must fix are reported at once."""

from pathlib import Path

import pytest

from sentinel_local_supabase.stack import Stack
from sentinel_worker.confine.sandbox import LAYERS
from sentinel_worker.media.zygote import Zygote
from tests.integration.daemon.conftest import StartWorker
from tests.machines import small_disk, without_inodes

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_wrong_settings_are_all_named_and_exit_2(stack: Stack, start_worker: StartWorker) -> None:
    wrong = {"SENTINEL_SLOTS": "many", "SENTINEL_LEASE_SECONDS": "3", "SENTINEL_HEARTBEAT_SECONDS": "2"}
    worker = await start_worker(wait=False, real=True, **wrong)
    assert await worker.process.wait() == 2
    said = worker.log.read_text()
    assert "SENTINEL_SLOTS" in said
    assert "SENTINEL_HEARTBEAT_SECONDS" in said


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"SUPABASE_SECRET_KEY": "sb_secret_wrong"}, "access_refused"),
        ({"SENTINEL_SOCIAL_EXTRACTORS": "youtube,youtobe"}, "no extractor named youtobe"),
        ({"SENTINEL_DETECTOR": "demo,no-such"}, "Unknown detector 'no-such'"),
        ({"SENTINEL_DETECTOR": "video-large", "HF_HOME": "/nonexistent"}, "models pull video-large"),
    ],
)
async def test_what_the_operator_must_fix_exits_2(
    stack: Stack, start_worker: StartWorker, settings: dict[str, str], said: str
) -> None:
    worker = await start_worker(wait=False, real="HF_HOME" in settings, **settings)
    assert await worker.process.wait() == 2
    assert said in worker.log.read_text()


async def test_a_full_disk_at_the_start_is_temporary(start_worker: StartWorker, tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk") as disk, without_inodes(disk):
        worker = await start_worker(wait=False, SENTINEL_WORK_DIR=str(disk))
        assert await worker.process.wait() == 75
    [broken] = [event for event in worker.events() if event["event"] == "worker.broken"]
    assert (broken["error_code"], "exception" in broken) == ("disk_full", False)


async def test_a_start_without_descriptors_is_temporary(start_worker: StartWorker) -> None:
    """With so few that a library takes the checkpoint for damaged."""
    worker = await start_worker(wait=False, module="tests.integration.daemon.few_descriptors")
    assert await worker.process.wait() == 75
    [broken] = [event for event in worker.events() if event["event"] == "worker.broken"]
    assert (broken["error_code"], "exception" in broken) == ("descriptors_exhausted", False)


async def test_the_layers_in_force_are_logged_at_startup(start_worker: StartWorker) -> None:
    """The logged layers are those of a real child, as a zygote of the tests finds them."""
    zygote = Zygote()
    await zygote.start()
    await zygote.stop()
    worker = await start_worker()
    (said,) = [event for event in worker.events() if event["event"] == "sandbox.layers"]
    assert tuple(said["in_force"]) == zygote.layers.in_force
    assert said["missing"] == dict(zygote.layers.missing)
    assert {*said["in_force"], *said["missing"]} == set(LAYERS)
