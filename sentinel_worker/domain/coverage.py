"""Parts of a track that were looked at, and the gaps between them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from sentinel_worker.domain.windows import Window


@dataclass(frozen=True, slots=True)
class Coverage:
    """The share of a track that lies in windows (0 to 1), and the longest part of it outside them, in seconds."""

    share: float
    longest_gap_seconds: float


def measure(looked_at: Iterable[Window], duration_seconds: float) -> Coverage:
    """Measure the windows of a track of `duration_seconds`; a still picture, without a duration, needs only one."""
    reached = covered = longest = 0.0
    spans = sorted((window.start_seconds, window.end_seconds) for window in looked_at)
    for start, end in spans:
        stop = min(end, duration_seconds)
        longest = max(longest, min(start, duration_seconds) - reached)
        covered += max(0.0, stop - max(start, reached))
        reached = max(reached, stop)
    if duration_seconds <= 0:
        return Coverage(1.0 if spans else 0.0, 0.0)
    longest = max(longest, duration_seconds - reached)
    return Coverage(min(1.0, covered / duration_seconds), longest)


def worst_of(tracks: Iterable[Coverage]) -> Coverage:
    """The smallest share and the longest gap of several tracks; raises ValueError without any."""
    found = list(tracks)
    return Coverage(min(one.share for one in found), max(one.longest_gap_seconds for one in found))
