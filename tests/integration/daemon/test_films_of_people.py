"""Real and tampered films as people upload them: from the inserted row to its verdict."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from sentinel_local_supabase.stack import Stack
from tests.integration.daemon.conftest import User, Worker
from tests.integration.people.cases import FILMS
from tests.integration.people.expectations import differences
from tests.integration.people.studio import REAL, TAMPERED, Studio

pytestmark = pytest.mark.asyncio(loop_scope="session")

UPLOADED = (
    *("WebM of a browser, tampered and real joined", "MPEG-TS, real and tampered joined"),
    *("two default films, the tampered one first", "security camera, packets without times"),
    *("screen recording that stands still for 20 s", "camera of 1080i, two fields a frame"),
    *("mirrored selfie", "pixels that are not square", "fragments of unknown length", "camera of a browser"),
)


async def test_no_tampered_film_is_real_and_no_real_one_fake(
    stack: Stack, steady_worker: Worker, user: User, clips: dict[str, Path], tmp_path: Path
) -> None:
    asked: dict[str, str] = {}
    for number, name in enumerate(UPLOADED):
        folder = tmp_path / str(number)
        folder.mkdir()
        made = await asyncio.to_thread(FILMS[name].make, Studio(clips[REAL], clips[TAMPERED], folder))
        asked[name] = await user.ask(made)
    wrong = {}
    for name, request_id in asked.items():
        row = await user.answer(request_id)
        expected = {"status": "succeeded", "verdict": FILMS[name].expected["verdict"]}
        if differences(expected, row):
            wrong[name] = {column: row[column] for column in ("status", "verdict", "error_message")}
    assert wrong == {}
