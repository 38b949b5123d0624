"""What is said about one file: its differences, each with its explanation."""

from __future__ import annotations

from tests.integration.players.asking import Asked
from tests.integration.players.explained import explanations
from tests.integration.players.figure import Figure


def unexplained(asked: Asked) -> list[str]:
    """Differences that no explanation covers."""
    expected = explanations(asked.name)
    return [f"{one.player}, {one.kind}: {one.detail}" for one in asked.differences if one.place not in expected]


def not_needed(asked: Asked) -> list[str]:
    """Explanations of differences that are not there."""
    found = {one.place for one in asked.differences}
    expected = explanations(asked.name)
    return [
        f"{player}, {kind}" for (player, kind), one in expected.items() if one.always and (player, kind) not in found
    ]


def lines(asked: Asked) -> list[str]:
    """The file's name, who plays it, and the differences."""
    expected = explanations(asked.name)
    told = [
        f"  {one.player}, {one.kind} ({one.detail}): "
        f"{expected[one.place].reason if one.place in expected else 'NOT EXPLAINED'}"
        for one in asked.differences
    ]
    answers = {"FFmpeg": asked.command, "Chromium": asked.browser, "the worker": asked.worker.answer}
    players = ", ".join(player for player, answer in answers.items() if answer.plays) or "nobody"
    return [
        f"{asked.name} ({players})",
        *told,
        *(f"  {place}: EXPLAINED, BUT THERE IS NO DIFFERENCE" for place in not_needed(asked)),
    ]


def figure_of(asked: Asked) -> Figure:
    """Count one file."""
    played = asked.command.plays or asked.browser.plays
    new = len(unexplained(asked))
    return Figure(
        files=1,
        command=int(asked.command.plays),
        browser=int(asked.browser.plays),
        played=int(played),
        analyzed=int(played and asked.worker.answer.plays),
        same=int(not asked.differences),
        explained=len(asked.differences) - new,
        unexplained=new,
    )
