"""`python -m tests.acceptance`: play every scenario with every client, and print one page.

Arguments choose clients, scenarios, or both. It exits with 1 if a scenario failed or the browser was not played
without `--without-browser`, and with 2 for an unknown name.
"""

import argparse
import asyncio
import sys
import tempfile
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from pathlib import Path

from examples import samples
from tests.acceptance.browser import browser, missing_browser
from tests.acceptance.page import play_all, plays_in, render
from tests.acceptance.players import Start, node, supabase_py
from tests.acceptance.scenarios import SCENARIOS, Scenario
from tests.acceptance.world import World, running_world

CLIENTS: dict[str, Start] = {"node": node, "browser": browser, "supabase-py": supabase_py}


def chosen(argv: Sequence[str]) -> tuple[dict[str, Start], list[Scenario]]:
    """Return the clients and scenarios named on the command line, or all. Raises SystemExit for an unknown name."""
    scenarios = [scenario.name for scenario in SCENARIOS]
    parser = argparse.ArgumentParser(prog="python -m tests.acceptance")
    parser.add_argument(
        "names", nargs="*", metavar="NAME", help=f"clients: {', '.join(CLIENTS)}; scenarios: {', '.join(scenarios)}"
    )
    parser.add_argument("--without-browser", action="store_true", help="leave the browser out")
    given = parser.parse_args(argv)
    if unknown := [name for name in given.names if name not in (*CLIENTS, *scenarios)]:
        parser.error(
            f"no client or scenario is named {', '.join(unknown)}; the clients are {', '.join(CLIENTS)}, "
            f"the scenarios {', '.join(scenarios)}"
        )
    clients = {name: CLIENTS[name] for name in CLIENTS if name in given.names} or dict(CLIENTS)
    if given.without_browser:
        clients.pop("browser", None)
    wanted = [scenario for scenario in SCENARIOS if scenario.name in given.names] or list(SCENARIOS)
    if not any(plays_in(scenario, client) for client in clients for scenario in wanted):
        parser.error("nothing is left to play: the browser does not play a server's scenarios")
    return clients, wanted


OpenWorld = Callable[[], AbstractAsyncContextManager[World]]


@asynccontextmanager
async def own_world() -> AsyncIterator[World]:
    """Yield a world in a temporary folder."""
    with tempfile.TemporaryDirectory(prefix="sentinel-acceptance-") as name:
        folder = Path(name)
        await asyncio.to_thread(samples.make, folder / "films")
        async with running_world(folder, folder / "films") as world:
            yield world


async def main(argv: Sequence[str], open_world: OpenWorld = own_world) -> int:
    """Play the clients and scenarios of `argv` in a world; return the exit status."""
    clients, scenarios = chosen(argv)
    missing = missing_browser() if "browser" in clients else None
    if missing is not None:
        clients.pop("browser")
    page, failed = await played(clients, scenarios, open_world) if clients else ("", False)
    sys.stdout.write(f"\n{page}\n")
    if missing is not None:
        sys.stdout.write(f"\nThe browser's column was not played. {missing}, or use --without-browser\n")
    return int(failed or missing is not None)


async def played(
    clients: Mapping[str, Start], scenarios: Sequence[Scenario], open_world: OpenWorld
) -> tuple[str, bool]:
    """Play and return the page, and True if anything failed."""
    outcomes = []
    async with AsyncExitStack() as running:
        world = await running.enter_async_context(open_world())
        players = {name: await running.enter_async_context(start(world)) for name, start in clients.items()}
        async for outcome in play_all(world, players, scenarios):
            sys.stderr.write("." if outcome.error is None else "F")
            sys.stderr.flush()
            outcomes.append(outcome)
    return render(outcomes, list(clients)), any(outcome.error for outcome in outcomes)


if __name__ == "__main__":
    sys.exit(asyncio.run(main(sys.argv[1:])))
