"""A claim in the form that `sentinel_claim` returns, for tests that need no database."""

import uuid
from datetime import UTC, datetime

from sentinel_worker.domain.request import Claim


def a_claim(lease_seconds: float = 60) -> Claim:
    return Claim(
        id=uuid.uuid4(),
        fence=uuid.uuid4(),
        user_id=uuid.uuid4(),
        media_kind="video",
        storage_path="u/x.mp4",
        source_url=None,
        detector=None,
        attempt=1,
        cancel_requested=False,
        created_at=datetime.now(UTC),
        lease_seconds=lease_seconds,
        queued_seconds=0,
        was_scheduled=False,
        reoffered=False,
        answer_seconds=None,
    )
