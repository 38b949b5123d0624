"""Tampered splices of several lengths at many places of long films: which of them a window lands on, by the plan alone.

No film is decoded here: a splice is found only if a window lies in it, so the plan decides what can be found at all.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from sentinel_worker.domain.coverage import measure
from sentinel_worker.domain.windows import COVERAGE, CoverageRule, Window, WindowPolicy, plan_windows

MINUTES: Final = (10, 60)
LENGTHS: Final = (2, 20, 90)
PLACES: Final = 50
RATE: Final = 30000 / 1001


@dataclass(frozen=True, slots=True)
class Landed:
    """Splices of one length in films of one length: how many a window lands on, and how many it should."""

    minutes: int
    splice_seconds: float
    windows: int
    longest_gap_seconds: float
    places: int
    landed: int
    expected: float

    @property
    def row(self) -> str:
        """A row of the table."""
        share = "all" if self.expected == 1 else f"{100 * self.expected:.0f} %"
        film = f"| {self.minutes} min | {self.windows} | {self.longest_gap_seconds:.1f} s | {self.splice_seconds:g} s "
        return f"{film}| {self.landed} of {self.places} | {share} |"


HEADINGS: Final = (
    "| film | windows | longest gap | splice | a window lands on it | expected |\n| --- | --- | --- | --- | --- | --- |"
)


def places(minutes: int, splice_seconds: float, count: int = PLACES) -> list[float]:
    """Starts of the splices: one drawn from each of `count` parts of the film, the same ones every time."""
    drawn = random.Random(f"{minutes} minutes, {splice_seconds} s")
    room = 60 * minutes - splice_seconds
    return [(place + drawn.random()) * room / count for place in range(count)]


def lands(windows: Sequence[Window], start: float, end: float) -> bool:
    """True if a window shows a part of `[start, end)`."""
    return any(window.start_seconds < end and window.end_seconds > start for window in windows)


def expected(splice_seconds: float, windows: Sequence[Window], longest_gap: float, seconds: float) -> float:
    """Share of all places at which a window lands on such a splice: all, if it is longer than every gap."""
    if splice_seconds > longest_gap:
        return 1.0
    room = seconds - splice_seconds
    starts = (min(one.end_seconds, room) - max(one.start_seconds - splice_seconds, 0) for one in windows)
    return sum(starts) / room


def planned(
    minutes: int,
    splice_seconds: float,
    policy: WindowPolicy,
    *,
    rule: CoverageRule = COVERAGE,
    rate: float = RATE,
    count: int = PLACES,
) -> Landed:
    """Count the splices of one length in a film of `minutes` that the windows of `policy` land on."""
    seconds = 60.0 * minutes
    windows = plan_windows(seconds, rate, policy, coverage=rule)
    gap = measure(windows, seconds).longest_gap_seconds
    landed = sum(lands(windows, start, start + splice_seconds) for start in places(minutes, splice_seconds, count))
    return Landed(
        minutes, splice_seconds, len(windows), gap, count, landed, expected(splice_seconds, windows, gap, seconds)
    )
