"""The three clients: each plays a scenario by its name and reports errors."""

import asyncio
import json
import traceback
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Protocol

import pytest

from tests.acceptance.scenarios import LIMIT_SECONDS, Parameters
from tests.acceptance.supabase_py import accounts, analyses, limits, others, uploads
from tests.acceptance.supabase_py.stage import Stage
from tests.acceptance.world import World
from tests.web.node import PROGRAMS, installed, on_path, run_node

SUPABASE_JS = Path(__file__).parent / "supabase_js"


class Player(Protocol):
    """A running client."""

    async def __call__(self, name: str, parameters: Parameters) -> str | None:
        """Play a scenario; return None or the error."""


@asynccontextmanager
async def node(world: World) -> AsyncIterator[Player]:
    """Start supabase-js in a Node process."""
    process = await asyncio.create_subprocess_exec(
        *(PROGRAMS / "node", bundles(world.folder) / "node.mjs"),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        env=on_path()
        | {
            "SUPABASE_URL": world.stack.url,
            "SUPABASE_KEY": world.stack.publishable_key,
            "SUPABASE_SECRET_KEY": world.stack.secret_key,
            "FILMS": str(world.films),
            "UPLOADS": str(world.folder / "uploads.json"),
        },
    )
    assert process.stdin is not None
    assert process.stdout is not None
    stdin, stdout = process.stdin, process.stdout

    async def play(name: str, parameters: Parameters) -> str | None:
        stdin.write(json.dumps({"name": name, "parameters": parameters, "seconds": LIMIT_SECONDS}).encode() + b"\n")
        line = await stdout.readline()
        error: str | None = json.loads(line)["error"] if line else "Node ended unexpectedly."
        return error

    try:
        yield play
    finally:
        stdin.close()
        await process.wait()


@asynccontextmanager
async def supabase_py(world: World) -> AsyncIterator[Player]:
    """Start supabase-py in this process."""

    async def play(name: str, parameters: Parameters) -> str | None:
        scenario = _python_scenario(name)
        stage = Stage(
            world.stack.url, world.stack.publishable_key, world.stack.secret_key, world.films, parameters=parameters
        )
        async with stage.clients:
            try:
                async with asyncio.timeout(LIMIT_SECONDS):
                    await scenario(stage)
            except (Exception, pytest.fail.Exception) as error:  # noqa: BLE001 - any exception is the outcome
                return "".join(traceback.format_exception(error))
        return None

    yield play


def _python_scenario(name: str) -> Callable[[Stage], Awaitable[None]]:
    for module in (accounts, uploads, analyses, limits, others):
        if (found := vars(module).get(name)) is not None:
            scenario: Callable[[Stage], Awaitable[None]] = found
            return scenario
    raise LookupError(f"supabase-py has no scenario {name}")


def bundles(folder: Path) -> Path:
    """Bundle the scenarios with the module of examples/web, for Node and the browser; return the bundles' folder."""
    made = folder / "bundles"
    if not made.exists():
        config = SUPABASE_JS / "rolldown.config.mjs"
        run_node(installed() / "node_modules/rolldown/bin/cli.mjs", "-c", config, BUNDLES=str(made))
    return made


Start = Callable[[World], AbstractAsyncContextManager[Player]]
