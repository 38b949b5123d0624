"""What the operator must mend is said at once."""

import pytest

from sentinel_worker.local.stack import Stack
from tests.integration.daemon.conftest import StartWorker

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_wrong_settings_are_all_named_and_exit_2(stack: Stack, start_worker: StartWorker) -> None:
    wrong = {"SENTINEL_SLOTS": "many", "SENTINEL_LEASE_SECONDS": "3", "SENTINEL_HEARTBEAT_SECONDS": "2"}
    worker = await start_worker(wait=False, **wrong)
    assert await worker.process.wait() == 2
    said = worker.log.read_text()
    assert "SENTINEL_SLOTS" in said
    assert "SENTINEL_HEARTBEAT_SECONDS" in said


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"SUPABASE_SECRET_KEY": "sb_secret_wrong"}, "access_refused"),
        ({"SENTINEL_SOCIAL_EXTRACTORS": "youtube,youtobe"}, "no extractor named youtobe"),
        ({"SENTINEL_DETECTOR": "demo,no-such"}, "no detector 'no-such'"),
        ({"SENTINEL_DETECTOR": "video-large", "HF_HOME": "/nonexistent"}, "models pull video-large"),
    ],
)
async def test_what_the_operator_must_mend_exits_2(
    stack: Stack, start_worker: StartWorker, settings: dict[str, str], said: str
) -> None:
    worker = await start_worker(wait=False, **settings)
    assert await worker.process.wait() == 2
    assert said in worker.log.read_text()
