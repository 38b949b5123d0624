"""A frontend on unmodified supabase-js against the whole product: sign-in, upload, request, Realtime, result."""

import asyncio
import json
import os
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from sentinel_worker.local.stack import Stack
from tests.integration.local.clients import connected

SCRIPT = Path(__file__).parent / "supabase_js" / "analyse.mjs"
LIMIT_SECONDS = 60
Answering = Callable[[Stack, str], Awaitable[None]]


@pytest.fixture(scope="session")
def node_modules() -> Path:
    """The script's dependencies, installed from its lock file where they are missing."""
    if shutil.which("node") is None or shutil.which("npm") is None:
        pytest.skip("Node.js is not installed")
    return SCRIPT.parent / "node_modules"


@pytest.fixture
async def stack(tmp_path: Path) -> AsyncIterator[Stack]:
    async with Stack(tmp_path / "stack", port=0, durable=False) as running:
        yield running


@pytest.fixture
def answer() -> Answering:
    """Who answers the request: here its rows are claimed and finished by hand, as a worker would do it."""

    async def by_hand(stack: Stack, request_id: str) -> None:
        async with connected(stack.url, stack.secret_key) as client:
            worker = str(uuid4())
            claim = {"worker": worker, "lanes": ["video/default"], "limit": 1, "lease_seconds": 60, "held": []}
            rows: Any = (await client.rpc("sentinel_claim", {"args": claim}).execute()).data
            assert [row["id"] for row in rows] == [request_id]
            result = {
                "verdict": "fake",
                "fake_probability": 0.93,
                "threshold": 0.5,
                "detector": {"key": "by_hand"},
                "timeline": [{"start_seconds": 0.0, "end_seconds": 2.0, "fake_probability": 0.93}],
            }
            outcome = {
                "id": request_id,
                "fence": rows[0]["fence"],
                "outcome": "succeeded",
                "stage": "finish",
                "result": result,
            }
            finish = {"worker": worker, "outcomes": [outcome]}
            answers: Any = (await client.rpc("sentinel_finish", {"args": finish}).execute()).data
            assert [row["answer"] for row in answers] == ["succeeded"]

    return by_hand


async def test_a_frontend_gets_its_verdict(stack: Stack, node_modules: Path, answer: Answering, tmp_path: Path) -> None:
    if not node_modules.exists():
        install = await asyncio.create_subprocess_exec("npm", "ci", "--no-audit", "--no-fund", cwd=SCRIPT.parent)
        assert await install.wait() == 0
    film = tmp_path / "film.mp4"
    film.write_bytes(os.urandom(300_000))
    environment = {
        "PATH": os.environ["PATH"],
        "SUPABASE_URL": stack.url,
        "SUPABASE_KEY": stack.publishable_key,
        "MEDIA_FILE": str(film),
        "LIMIT_SECONDS": str(LIMIT_SECONDS),
    }
    process = await asyncio.create_subprocess_exec(
        "node", str(SCRIPT), stdout=asyncio.subprocess.PIPE, env=environment, cwd=SCRIPT.parent
    )
    assert process.stdout is not None
    last: dict[str, Any] = {}
    async for line in process.stdout:
        last = json.loads(line)
        if last["event"] == "inserted":
            await answer(stack, last["id"])
    assert last["event"] == "succeeded", last
    assert await process.wait() == 0
    assert last["verdict"] == "fake"
    assert last["fake_probability"] == pytest.approx(0.93)
    assert last["seen"][-1] == "succeeded"
