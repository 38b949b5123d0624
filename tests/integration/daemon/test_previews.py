"""Previews of requests: made on request, stored beside the pictures, and never a reason to lose a verdict."""

from pathlib import Path
from typing import Any

import pytest

from sentinel_local_supabase.stack import Stack
from tests.integration.daemon.conftest import StartWorker, User
from tests.integration.daemon.queries import history, sql

pytestmark = pytest.mark.asyncio(loop_scope="session")

WANTED = {"options": {"preview": True}}
PICTURES = {"thumbnail", "worst_frame", "filmstrip"}
ONCE = [(1, "succeeded", "succeeded")]


async def answered(stack: Stack, user: User, clip: Path, **columns: Any) -> dict[str, str]:
    """Ask, and return the paths of the derived files by name."""
    request_id = await user.ask(clip, **columns)
    row = await user.answer(request_id)
    assert (row["status"], row["verdict"], history(stack, request_id)) == ("succeeded", "real", ONCE)
    [result] = sql(stack, "select derived from analysis_results where request_id = %s", request_id)
    found: dict[str, str] = result["derived"]
    return found


async def test_a_preview_is_stored_as_a_film_for_its_owner(
    stack: Stack, start_worker: StartWorker, user: User, clips: dict[str, Path]
) -> None:
    await start_worker()
    assert set(await answered(stack, user, clips["carphone_pristine.mp4"])) == PICTURES
    derived = await answered(stack, user, clips["carphone_pristine.mp4"], **WANTED)
    assert set(derived) == {*PICTURES, "preview"}
    content = await user.client.storage.from_("derived").download(derived["preview"])
    assert content[4:8] == b"ftyp"
    stored = "select metadata ->> 'mimetype' as type from storage.objects where name = %s"
    assert [sql(stack, stored, derived[name])[0]["type"] for name in ("preview", "thumbnail")] == [
        "video/mp4",
        "image/webp",
    ]


async def test_a_preview_that_fails_is_left_out(
    stack: Stack, start_worker: StartWorker, user: User, clips: dict[str, Path]
) -> None:
    worker = await start_worker(module="tests.integration.daemon.lost_previews")
    assert set(await answered(stack, user, clips["carphone_pristine.mp4"], **WANTED)) == PICTURES
    lines = [line for line in worker.events() if line["event"] == "request.not_derived"]
    assert [(line["name"], line["error_code"]) for line in lines] == [("preview", "media_unreadable")]


async def test_an_operator_may_refuse_previews(
    stack: Stack, start_worker: StartWorker, user: User, clips: dict[str, Path]
) -> None:
    worker = await start_worker(SENTINEL_PREVIEW_SECONDS="0")
    assert set(await answered(stack, user, clips["carphone_pristine.mp4"], **WANTED)) == PICTURES
    assert "request.not_derived" not in worker.said()
