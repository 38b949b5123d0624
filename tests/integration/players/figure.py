"""The figure: how many files the players play, and how many of them the worker analyzes."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, fields
from typing import Final, Self

PROPERTY: Final = "players_figure"
"""Property of a test that holds the figure of its file."""


@dataclass(slots=True)
class Figure:
    """Counts of files: those that FFmpeg's command, Chromium, or one of the two plays, those of these that the worker
    analyzes, and those in which nobody differs. `explained` and `unexplained` count differences."""

    files: int = 0
    command: int = 0
    browser: int = 0
    played: int = 0
    analyzed: int = 0
    same: int = 0
    explained: int = 0
    unexplained: int = 0

    def add(self, other: Figure) -> None:
        """Add the counts of another figure."""
        for one in fields(self):
            setattr(self, one.name, getattr(self, one.name) + getattr(other, one.name))

    def packed(self) -> str:
        """The counts as a property of a test."""
        return " ".join(str(getattr(self, one.name)) for one in fields(self))

    @classmethod
    def unpacked(cls, text: str) -> Self:
        """Read what `packed` wrote."""
        return cls(*map(int, text.split()))

    def __str__(self) -> str:
        return (
            f"players: {self.files} files; FFmpeg's command plays {self.command}, Chromium {self.browser}; the worker "
            f"analyzes {self.analyzed} of the {self.played} that either plays, {self.same} without a difference; "
            f"{self.explained} differences are explained, {self.unexplained} are not"
        )


def summary(properties: Iterable[tuple[str, object]]) -> str | None:
    """Return the figure of all tests that recorded one, None if none did."""
    total = Figure()
    for name, value in properties:
        if name == PROPERTY:
            total.add(Figure.unpacked(str(value)))
    return str(total) if total.files else None
