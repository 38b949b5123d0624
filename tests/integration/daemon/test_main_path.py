"""A row in, a verdict out: the whole daemon against a whole local Supabase."""

from pathlib import Path
from typing import Any

import httpx
import pytest

from sentinel_local_supabase.stack import Stack
from tests.integration.daemon.conftest import User, Worker
from tests.integration.daemon.queries import sql
from tests.waits import until

WORST_FRAMES = ("worst_frame", "worst_frame_2", "worst_frame_3")
pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_a_video_is_answered_with_evidence(
    stack: Stack, steady_worker: Worker, user: User, clips: dict[str, Path]
) -> None:
    real = await user.ask(clips["carphone_pristine.mp4"])
    fake = await user.ask(clips["carphone_pristine-tampered.mp4"], media_kind="video", detector="demo")
    assert (await user.answer(real))["verdict"] == "real"
    row = await user.answer(fake)
    assert (row["verdict"], row["attempt"], row["progress"], row["error_code"]) == ("fake", 1, 100, None)

    answer = await user.client.table("analysis_results").select("*").eq("request_id", fake).single().execute()
    result = answer.data
    assert isinstance(result, dict)
    assert result["fake_probability"] == pytest.approx(row["fake_probability"])
    assert result["threshold"] == 0.5
    assert "does not detect deepfakes" in result["notice"]
    assert result["detector"]["key"] == "demo"
    assert len(result["timeline"]) >= 3
    assert all(0 <= window["fake_probability"] <= 1 for window in result["timeline"])
    assert result["media"]["sha256"]
    assert (result["media"]["width"], result["media"]["height"]) == (193, 144)  # 176 pixels of 128:117
    assert set(result["timings"]) >= {"fetching", "probing", "analyzing", "deriving"}
    assert set(result["derived"]) == {"thumbnail", *WORST_FRAMES, "filmstrip"}
    folder = f"{user.id}/{fake}/{result['fence']}"
    for path in result["derived"].values():
        assert path.startswith(folder)
        signed = await user.client.storage.from_("derived").create_signed_url(path, 60)
        assert httpx.get(str(signed["signedURL"])).content[8:12] == b"WEBP"

    def about() -> list[dict[str, Any]]:
        return [event for event in steady_worker.events() if event.get("request_id") == fake]

    (attempt,) = sql(stack, "select worker::text, software from sentinel.attempts where fence = %s", result["fence"])
    # The row is written first, then the log.
    await until(lambda: len(about()) >= 2, what="both lines are logged", log=steady_worker.log)
    assert [event["event"] for event in about()] == ["request.claimed", "request.answered"]
    assert all(event["attempt"] == 1 and event["worker"] == attempt["worker"] for event in about())
    assert set(attempt["software"]) == {"worker", "torch", "python"}


async def test_a_scheduled_request_waits_for_its_time(
    stack: Stack, steady_worker: Worker, user: User, clips: dict[str, Path]
) -> None:
    due = sql(stack, "select now() + interval '5 s' as at")[0]["at"]
    request_id = await user.ask(clips["carphone_pristine.mp4"], run_at=due.isoformat())
    assert sql(stack, "select status from analysis_requests where id = %s", request_id) == [{"status": "scheduled"}]
    row = await user.answer(request_id)
    assert row["status"] == "succeeded"
    assert row["started_at"] >= due
