"""Share of a track that was looked at, and its gaps."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sentinel_worker.domain.coverage import Coverage, measure, worst_of
from sentinel_worker.domain.windows import Window

TENTHS = st.integers(0, 300)
WINDOWS = st.lists(
    st.builds(lambda start, length: Window(start / 10, (start + length) / 10), TENTHS, st.integers(1, 50))
)


@pytest.mark.parametrize(
    ("spans", "duration", "share", "longest"),
    [
        ([], 10, 0, 10),
        ([(0, 10)], 10, 1, 0),
        ([(0, 1), (4, 5), (9, 10)], 10, 0.3, 4),
        ([(4, 5)], 10, 0.1, 5),
        ([(3, 6), (5, 8), (4, 5)], 10, 0.5, 3),
        ([(8, 12)], 10, 0.2, 8),
        ([(0, 1)], 0, 1, 0),
        ([], 0, 0, 0),
    ],
    ids=["none", "all", "gaps", "ends", "overlap", "beyond the end", "a still picture", "a still that was not read"],
)
def test_coverage(spans: list[tuple[float, float]], duration: float, share: float, longest: float) -> None:
    found = measure([Window(*span) for span in spans], duration)
    assert [found.share, found.longest_gap_seconds] == pytest.approx([share, longest])


@given(WINDOWS, st.integers(1, 300))
def test_coverage_counts_each_moment_once(windows: list[Window], tenths: int) -> None:
    seen = [any(w.start_seconds <= (t + 0.5) / 10 < w.end_seconds for w in windows) for t in range(tenths)]
    runs = "".join("x" if one else " " for one in seen).split("x")
    found = measure(windows, tenths / 10)
    assert found.share == pytest.approx(sum(seen) / tenths)
    assert found.longest_gap_seconds == pytest.approx(max(map(len, runs)) / 10)


def test_the_worst_of_several_tracks() -> None:
    assert worst_of([Coverage(0.5, 1.0), Coverage(0.2, 0.5)]) == Coverage(0.2, 1.0)
