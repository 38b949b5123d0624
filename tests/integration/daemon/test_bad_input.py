"""Input that cannot succeed: refused at the insert, or failed with a code and one plain sentence; never retried."""

import subprocess
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from sentinel_local_supabase.stack import Stack
from tests.integration.daemon.conftest import User, Worker
from tests.integration.daemon.queries import sql

pytestmark = pytest.mark.asyncio(loop_scope="session")


def audio_only(folder: Path) -> bytes:
    path = folder / "tone.m4a"
    subprocess.run(["ffmpeg", "-v", "error", "-f", "lavfi", "-i", "sine=d=1", "-c:a", "aac", str(path)], check=True)
    return path.read_bytes()


async def test_files_that_are_not_media_fail_once_with_a_sentence(
    stack: Stack, steady_worker: Worker, user: User, clips: dict[str, Path], tmp_path: Path
) -> None:
    film = clips["carphone_pristine.mp4"].read_bytes()
    sources = {
        "media_empty": b"",
        "media_truncated": film[:20_000],
        "media_not_supported": b"This is a text file, not a video.\n" * 20,
        "media_kind_mismatch": audio_only(tmp_path),
        "media_unreadable": film[:4096] + b"\0" * (len(film) - 4096),
    }
    asked = {code: await user.ask(source, media_kind="video") for code, source in sources.items()}
    asked["object_not_found"] = await user.insert(f"{user.id}/{uuid.uuid4()}.mp4")
    asked["url_refused"] = await user.insert(None, source_url="https://127.0.0.1/film.mp4")
    found = {}
    for code, request_id in asked.items():
        row = await user.answer(request_id)
        found[code] = (row["status"], row["error_code"], row["attempt"])
        assert row["error_message"].endswith("."), row["error_message"]
        assert "/" not in row["error_message"].replace("video/", ""), row["error_message"]
        assert row["verdict"] is None
    accepted = {
        "media_truncated": {"media_truncated", "media_unreadable"},
        "media_unreadable": {"media_unreadable", "media_truncated"},
    }
    for code, (status, error_code, attempt) in found.items():
        assert (status, attempt) == ("failed", 1), found
        assert error_code in accepted.get(code, {code}), found
    assert (await user.answer(await user.ask(film)))["verdict"] == "real"
    assert not [event for event in steady_worker.events() if event["event"] == "request.crashed"]


@pytest.fixture
def no_grace(stack: Stack) -> Iterator[None]:
    """A request that no worker can take fails at once."""
    (before,) = sql(stack, "select value::text as value from sentinel.settings where name = 'lane_grace_seconds'")
    sql(stack, "update sentinel.settings set value = '0' where name = 'lane_grace_seconds' returning name")
    yield
    sql(
        stack,
        "update sentinel.settings set value = %s where name = 'lane_grace_seconds' returning name",
        before["value"],
    )


@pytest.mark.usefixtures("no_grace")
async def test_a_detector_that_nobody_serves(stack: Stack, steady_worker: Worker, user: User) -> None:
    for columns in ({"detector": "no-such-detector"}, {"media_kind": "image"}):
        row = await user.answer(await user.insert(f"{user.id}/x.mp4", **columns))
        assert (row["status"], row["error_code"], row["attempt"]) == ("failed", "detector_unavailable", 0)
