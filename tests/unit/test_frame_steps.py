"""Clips of frames that are a number of source frames apart."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sentinel_worker.domain.windows import Window, frame_times
from sentinel_worker.media.films.frame_steps import stepped_times, typical_rate

STILL_THEN_MOVING = np.concatenate([[0.0], 20 + np.arange(90) / 30])
"""One frame for 20 s, then three seconds at 30 frames a second."""
DISTANCES = st.lists(st.floats(0.001, 30), min_size=1, max_size=200)


def numbers_at(starts: np.ndarray, times: list[float]) -> list[int]:
    return [int(number) for number in np.searchsorted(starts, times, side="right") - 1]


@pytest.mark.parametrize("rate", [24, 25, 30000 / 1001, 60])
@pytest.mark.parametrize("digits", [3, 6, 12])
def test_a_constant_rate_gives_what_steps_in_seconds_give(rate: float, digits: int) -> None:
    starts = np.round(np.arange(500) / rate, digits)
    for first in range(0, 480, 7):
        for step in (1, 2):
            window = Window(first / rate, (first + 8 * step) / rate)
            by_frames = numbers_at(starts, stepped_times(starts, window, 8, step, rate))
            assert by_frames == numbers_at(starts, frame_times(window, 8, step / rate, rate))


def test_steps_follow_the_frames_where_the_rate_varies() -> None:
    still = stepped_times(STILL_THEN_MOVING, Window(10.0, 10.27), 8, 1, 30)
    assert numbers_at(STILL_THEN_MOVING, still) == list(range(8))
    moving = stepped_times(STILL_THEN_MOVING, Window(21.0, 21.27), 8, 2, 30)
    assert numbers_at(STILL_THEN_MOVING, moving) == list(range(31, 47, 2))


def test_the_last_frame_is_repeated_at_the_end_of_the_track() -> None:
    end = stepped_times(STILL_THEN_MOVING, Window(22.9, 23.0), 8, 1, 30)
    assert numbers_at(STILL_THEN_MOVING, end) == [88, 89, 90, 90, 90, 90, 90, 90]


def test_a_window_is_looked_at_to_its_end_where_the_track_is_faster() -> None:
    """A frame every 20 s, then five minutes at 0.8 frames a second: steps in frames would end after 20 s."""
    starts = np.concatenate([np.arange(130) * 20.0, 2600 + np.arange(258) * 1.2])
    shown = stepped_times(starts, Window(2600, 2920), 16, 1, 0.05)
    assert shown[0] < 2620
    assert shown[-1] > 2890
    assert max(np.diff(shown)) < 30


@given(DISTANCES, st.integers(1, 32), st.integers(1, 4), st.floats(1, 240), st.floats(0, 1))
def test_each_time_shows_its_own_frame_and_no_window_ends_unseen(
    distances: list[float], frames: int, step: int, rate: float, place: float
) -> None:
    starts = np.concatenate([[0.0], np.cumsum(distances)])
    window = Window(begin := place * starts[-1], begin + frames * step / rate)
    times = stepped_times(starts, window, frames, step, rate)
    numbers = numbers_at(starts, times)
    assert times == sorted(times)
    stepped = [min(numbers[0] + step * place, len(starts) - 1) for place in range(frames)]
    assert numbers == stepped or set(np.diff(numbers)) != {step}
    seen_until = starts[min(numbers[-1] + step, len(starts) - 1)]
    assert seen_until >= min(begin + 0.7 * window.duration_seconds - step * max(distances), starts[-1])
    assert abs(starts[numbers[0]] - begin) <= max(distances) + 1 / rate


def test_the_typical_rate_is_that_of_the_part_that_moves() -> None:
    assert typical_rate(STILL_THEN_MOVING, 91 / 23) == pytest.approx(30)
    assert typical_rate(np.round(np.arange(300) / 30, 3), 30.0) == 30.0, "33 ms are rounded"
    assert typical_rate(np.array([0.0]), 25.0) == 25.0
    assert typical_rate(np.array([0.0, 0.0, 0.0]), 25.0) == 25.0
    assert typical_rate(np.array([0.0, 1e-7, 2e-7, 3e-7, 1.0]), 5.0) == pytest.approx(1.0, rel=1e-3), (
        "a ten-millionth of a second is no distance"
    )
