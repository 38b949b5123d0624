"""Unmodified supabase-js (Node, Chromium) and supabase-py against the whole product: each plays every scenario."""

import re
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
import pytest_asyncio

from tests.acceptance.browser import browser, missing_browser
from tests.acceptance.page import play, plays_in
from tests.acceptance.players import SUPABASE_JS, Player, Start, node, supabase_py
from tests.acceptance.scenarios import SCENARIOS, Scenario
from tests.acceptance.world import World, running_world

STARTS: dict[str, Start] = {"node": node, "browser": browser, "supabase-py": supabase_py}
PLAYS = [(client, scenario) for client in STARTS for scenario in SCENARIOS if plays_in(scenario, client)]
FRONTEND_PAGE = Path(__file__).parents[2] / "docs" / "frontend.md"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def world(clips: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:
    """Supabase and a worker, for every scenario of every client."""
    films = clips["bikes.mp4"].parent
    async with running_world(tmp_path_factory.mktemp("world"), films) as running:
        yield running


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def players(world: World) -> AsyncIterator[dict[str, Player]]:
    """The clients that can be started here."""
    here = {name: start for name, start in STARTS.items() if name != "browser" or missing_browser() is None}
    async with AsyncExitStack() as running:
        yield {name: await running.enter_async_context(start(world)) for name, start in here.items()}


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize(("client", "scenario"), PLAYS, ids=lambda named: getattr(named, "name", named))
async def test_a_client(world: World, players: dict[str, Player], client: str, scenario: Scenario) -> None:
    if client not in players:
        pytest.skip(missing_browser() or "")
    outcome = await play(world, client, players[client], scenario)
    assert outcome.error is None, outcome.error


def test_the_frontends_page_shows_the_code_that_runs() -> None:
    blocks = re.findall(r"```js\n(.*?)```", FRONTEND_PAGE.read_text(encoding="utf-8"), re.DOTALL)
    assert "\n".join(blocks) == (SUPABASE_JS / "frontend.mjs").read_text(encoding="utf-8")
