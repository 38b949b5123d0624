"""Play every scenario with every client, and render a page of the outcomes."""

import time
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass

from tests.acceptance.players import Player
from tests.acceptance.scenarios import SCENARIOS, Scenario
from tests.acceptance.world import World


@dataclass(frozen=True, slots=True)
class Outcome:
    """Outcome of a scenario with one client: `error` is None if it passed."""

    scenario: Scenario
    client: str
    seconds: float
    error: str | None


async def play(world: World, client: str, player: Player, scenario: Scenario) -> Outcome:
    """Arrange a scenario and play it; the seconds cover only the playing."""
    async with scenario.arrange(world.stack) as parameters:
        begin = time.monotonic()
        error = await player(scenario.name, parameters)
        return Outcome(scenario, client, time.monotonic() - begin, error)


def plays_in(scenario: Scenario, client: str) -> bool:
    """Return True if a client has to play the scenario."""
    return not (scenario.server_only if client == "browser" else scenario.browser_only)


async def play_all(
    world: World, players: Mapping[str, Player], scenarios: Sequence[Scenario] = SCENARIOS
) -> AsyncIterator[Outcome]:
    """Play all in sequence, because the clients share a worker."""
    for client, player in players.items():
        for scenario in scenarios:
            if plays_in(scenario, client):
                yield await play(world, client, player, scenario)


def render(outcomes: list[Outcome], clients: list[str]) -> str:
    """Render the page: a row for each scenario, a column for each client, and errors below."""
    found = {(outcome.scenario.name, outcome.client): outcome for outcome in outcomes}
    shown = [scenario for scenario in SCENARIOS if any(outcome.scenario is scenario for outcome in outcomes)]
    width = max(len(scenario.title) for scenario in shown)
    lines = [" " * width + "".join(f"{client:>14}" for client in clients)]
    for scenario in shown:
        cells = "".join(f"{_cell(found.get((scenario.name, client))):>14}" for client in clients)
        lines.append(f"{scenario.title:<{width}}{cells}")
    failed = [outcome for outcome in outcomes if outcome.error is not None]
    lines += ["", f"{len(outcomes) - len(failed)} of {len(outcomes)} as they should be"]
    for outcome in failed:
        lines += ["", f"{outcome.client}, {outcome.scenario.name}:", str(outcome.error).rstrip()]
    return "\n".join(lines)


def _cell(outcome: Outcome | None) -> str:
    if outcome is None:
        return "–"
    return f"{'✓' if outcome.error is None else '✗'} {outcome.seconds * 1000:.0f} ms"
