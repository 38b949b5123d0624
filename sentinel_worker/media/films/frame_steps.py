"""Times of a clip's frames that are a number of source frames apart, whatever the distances of these in time.

`starts` are the sorted times at which the frames of the track appear, float64 [N], in seconds from the first one.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import numpy.typing as npt

from sentinel_worker.domain.windows import Window

_SAME_RATE: Final = 0.05
_LEAST_SEEN: Final = 0.75
_SAME_MOMENT_SECONDS: Final = 1e-6


def typical_rate(starts: npt.NDArray[np.floating[Any]], average: float) -> float:
    """Frames a second where the track moves: by the median distance of two frames.

    It is the `average` if the two agree within 5 %, because rounded timestamps make the median a little wrong; a screen
    recording that stands still for long has a much lower average.
    """
    distances = np.diff(starts)
    apart = distances[distances > _SAME_MOMENT_SECONDS]
    median = float(np.median(apart)) if len(apart) else 0.0
    if median <= 0 or abs(1 / median - average) <= _SAME_RATE * average:
        return average
    return 1 / median


def stepped_times(
    starts: npt.NDArray[np.floating[Any]], window: Window, frames: int, step_frames: int, rate: float
) -> list[float]:
    """Times at which `frames` frames of the track are on screen, each `step_frames` after the one before.

    The first is on screen half a typical frame (`rate` a second) after the start of the window. Frames after the last
    one of the track are that one. Where the track is faster than that, so that the frames would end within the first
    three quarters of the window, they are spread over all of it: a window that was looked at has no part that was not.
    A time lies in the middle of its frame, or half a typical frame after its start if it stays longer, so that rounding
    never picks its neighbour.
    """
    half_frame = 0.5 / rate
    first = int(_on_screen(starts, window.start_seconds + half_frame))
    last = len(starts) - 1
    numbers = np.minimum(first + step_frames * np.arange(frames), last)
    seen_until = starts[min(int(numbers[-1]) + step_frames, last)]
    if numbers[-1] < last and seen_until < window.start_seconds + _LEAST_SEEN * window.duration_seconds:
        spread = window.start_seconds + half_frame + window.duration_seconds / frames * np.arange(frames)
        numbers = _on_screen(starts, spread)
    stays = np.where(numbers < last, starts[np.minimum(numbers + 1, last)] - starts[numbers], np.inf)
    times: list[float] = (starts[numbers] + np.minimum(stays / 2, half_frame)).tolist()
    return times


def _on_screen(starts: npt.NDArray[np.floating[Any]], seconds: Any) -> npt.NDArray[np.int64]:
    """Numbers of the frames on screen at these times."""
    numbers: npt.NDArray[np.int64] = np.maximum(np.searchsorted(starts, seconds, side="right") - 1, 0)
    return numbers
