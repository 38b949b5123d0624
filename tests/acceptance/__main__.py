"""`python -m tests.acceptance`: every scenario with every client, on one page; exits with 1 if one fails.

Names after it choose: of clients, of scenarios, or of both.
"""

import asyncio
import sys
import tempfile
from collections.abc import Sequence
from contextlib import AsyncExitStack
from pathlib import Path

from sentinel_worker.local import samples
from tests.acceptance.browser import browser, missing_browser
from tests.acceptance.page import play_all, render
from tests.acceptance.players import Start, node, supabase_py
from tests.acceptance.scenarios import SCENARIOS, Scenario
from tests.acceptance.world import running_world

CLIENTS: dict[str, Start] = {"node": node, "browser": browser, "supabase-py": supabase_py}


def chosen_clients(names: Sequence[str]) -> dict[str, Start]:
    """Those that are named, or all; without the browser where there is none."""
    wanted = [name for name in CLIENTS if name in names] or list(CLIENTS)
    if "browser" in wanted and (reason := missing_browser()) is not None:
        sys.stderr.write(f"{reason}\n")
        wanted.remove("browser")
    return {name: CLIENTS[name] for name in wanted}


def chosen_scenarios(names: Sequence[str]) -> list[Scenario]:
    """Those that are named, or all."""
    return [scenario for scenario in SCENARIOS if scenario.name in names] or list(SCENARIOS)


async def main(names: Sequence[str]) -> int:
    """The exit status."""
    outcomes = []
    clients = chosen_clients(names)
    with tempfile.TemporaryDirectory(prefix="sentinel-acceptance-") as name:
        folder = Path(name)
        await asyncio.to_thread(samples.make, folder / "films")
        async with AsyncExitStack() as running:
            world = await running.enter_async_context(running_world(folder, folder / "films"))
            players = {name: await running.enter_async_context(start(world)) for name, start in clients.items()}
            async for outcome in play_all(world, players, chosen_scenarios(names)):
                sys.stderr.write("." if outcome.error is None else "F")
                sys.stderr.flush()
                outcomes.append(outcome)
    sys.stdout.write(f"\n{render(outcomes, list(clients))}\n")
    return int(any(outcome.error for outcome in outcomes))


if __name__ == "__main__":
    sys.exit(asyncio.run(main(sys.argv[1:])))
