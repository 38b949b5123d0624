"""Unmodified supabase-js (Node, Chromium) and supabase-py against the whole product: each plays every scenario."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import pytest
import pytest_asyncio

from tests.acceptance.browser import browser, missing_browser
from tests.acceptance.page import play, plays_in
from tests.acceptance.players import Player, Start, node, supabase_py
from tests.acceptance.scenarios import SCENARIOS
from tests.acceptance.world import World
from tests.matrix import sampled

STARTS: dict[str, Start] = {"node": node, "browser": browser, "supabase-py": supabase_py}
BY_NAME = {scenario.name: scenario for scenario in SCENARIOS}
PLAYS = [(client, name) for client in STARTS for name, scenario in BY_NAME.items() if plays_in(scenario, client)]
IN_THE_BROWSER = ("sign_in", "small_upload", "large_upload", "verdict", "hook", "poll", "errors", "token_refresh")
IN_PYTHON = ("sessions", "large_upload", "verdict", "batch", "quotas", "errors", "remove", "privacy")
SAMPLE = [
    *(("node", name) for name in BY_NAME if name not in IN_THE_BROWSER),
    *(("browser", name) for name in IN_THE_BROWSER),
    *(("supabase-py", name) for name in IN_PYTHON),
]
"""Every scenario in supabase-js, in Node or the browser, and some in supabase-py."""


@pytest_asyncio.fixture(scope="package", loop_scope="session")
async def players(world: World) -> AsyncIterator[dict[str, Player]]:
    """The clients that can be started on this machine."""
    here = {name: start for name, start in STARTS.items() if name != "browser" or missing_browser() is None}
    async with AsyncExitStack() as running:
        yield {name: await running.enter_async_context(start(world)) for name, start in here.items()}


@pytest.mark.asyncio(loop_scope="session")
@pytest.mark.parametrize("played", sampled("clients", PLAYS, SAMPLE), ids="-".join)
async def test_a_client(world: World, players: dict[str, Player], played: tuple[str, str]) -> None:
    client, name = played
    if client not in players:
        pytest.skip(missing_browser() or "")
    outcome = await play(world, client, players[client], BY_NAME[name])
    assert outcome.error is None, outcome.error


def test_the_sample_has_every_scenario_and_every_client() -> None:
    assert {name for client, name in SAMPLE if client != "supabase-py"} == BY_NAME.keys()
    assert {client for client, _ in SAMPLE} == STARTS.keys()
