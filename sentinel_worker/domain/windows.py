"""Choice of the scored parts of a track: windows of the trained duration, evenly spread, within a budget.

All times are seconds from the first frame of the track, not the container's timestamps: a decoder whose stream begins
at 1.4 s adds 1.4 to them.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

# Durations come from containers as rounded decimals; a window that overhangs by less than this fits.
_SLACK_FRAMES = 0.01


@dataclass(frozen=True, slots=True)
class Window:
    """The half-open span `[start_seconds, end_seconds)` of a track, scored once."""

    start_seconds: float
    end_seconds: float

    def __post_init__(self) -> None:
        if not 0 <= self.start_seconds < self.end_seconds < math.inf:
            raise ValueError(f"not a window: [{self.start_seconds}, {self.end_seconds})")

    @property
    def duration_seconds(self) -> float:
        return self.end_seconds - self.start_seconds


@dataclass(frozen=True, slots=True)
class FrameStep:
    """The distance between two frames of a clip: in source frames, or in seconds. Exactly one is set."""

    source_frames: int | None = None
    seconds: float | None = None

    def __post_init__(self) -> None:
        if (self.source_frames is None) == (self.seconds is None):
            raise ValueError("a frame step must be either in source frames or in seconds")
        if self.source_frames is not None and self.source_frames < 1:
            raise ValueError("a frame step must be at least one source frame")
        if self.seconds is not None and not 0 < self.seconds < math.inf:
            raise ValueError("a frame step in seconds must be positive")

    def seconds_at(self, frames_per_second: float) -> float:
        """The step in seconds for a source of `frames_per_second`."""
        if self.seconds is not None:
            return self.seconds
        assert self.source_frames is not None
        return self.source_frames / _checked_rate(frames_per_second)


@dataclass(frozen=True, slots=True)
class WindowPolicy:
    """A detector's rule for cutting a track: `frames` per clip, `step` apart, at most `budget` windows.

    On a track longer than the budget covers, `refine` of the budget are held back, and are then spent around the window
    that looked most fake.
    """

    frames: int
    step: FrameStep
    budget: int = 8
    refine: int = 0

    def __post_init__(self) -> None:
        if self.frames < 1 or self.budget < 1:
            raise ValueError("a window policy needs at least one frame and one window")
        if not 0 <= self.refine < self.budget:
            raise ValueError("a window policy must hold back fewer windows than its budget")

    def window_seconds(self, frames_per_second: float) -> float:
        """Trained duration: `frames` steps."""
        return self.frames * self.step.seconds_at(frames_per_second)


def plan_windows(
    duration_seconds: float, frames_per_second: float, policy: WindowPolicy, keyframes: Sequence[float] = ()
) -> list[Window]:
    """Cut `[0, duration_seconds)` into at most `policy.budget` windows, sorted by start.

    As many windows as cover the track, up to the budget, the first at its start and the last at its end; a budget of
    one takes the middle. Starts lie on source frames. If the windows leave gaps, each start moves to the nearest of the
    sorted `keyframes` (seconds) in its share of the gaps, because decoding begins there. A track no longer than one
    window gives a single window over all of it, and `frame_times` repeats its last frame to fill the clip. A duration
    below one source frame (a still, a track of one frame) counts as one source frame.
    """
    rate = _checked_rate(frames_per_second)
    if not 0 <= duration_seconds < math.inf:
        raise ValueError(f"not a duration: {duration_seconds} s")
    duration = max(duration_seconds, 1 / rate)
    length = policy.window_seconds(rate)
    slack = _SLACK_FRAMES / rate
    if duration <= length + slack:
        return [Window(0.0, duration)]
    needed = math.ceil((duration - slack) / length)
    count = needed if needed <= policy.budget else policy.budget - policy.refine
    last_frame = math.ceil(duration * rate - _SLACK_FRAMES) - 1
    last_start_frame = min(math.floor((duration - length) * rate + _SLACK_FRAMES), last_frame)
    if count == 1:
        start_frames = {last_start_frame // 2}
    else:
        start_frames = {round(i * last_start_frame / (count - 1)) for i in range(count)}
    starts = [frame / rate for frame in sorted(start_frames)]
    starts = _snapped(starts, length, last_start_frame / rate, keyframes)
    return [Window(start, min(start + length, duration)) for start in starts]


def _snapped(starts: list[float], length: float, last_start: float, keyframes: Sequence[float]) -> list[float]:
    """Move each start to the nearest key frame, if one lies within half of the gap between two windows."""
    if not keyframes:
        return starts
    room = min((later - earlier - length for earlier, later in pairwise(starts)), default=0.0) / 2
    if len(starts) == 1:
        room = last_start / 2
    moved = []
    for start in starts:
        place = bisect_left(keyframes, start)
        near = [k for k in keyframes[max(place - 1, 0) : place + 1] if abs(k - start) <= room and k <= last_start]
        moved.append(min(near, key=lambda k: abs(k - start)) if near else start)
    return moved


def refine_windows(
    planned: Sequence[Window], worst: int, duration_seconds: float, frames_per_second: float, policy: WindowPolicy
) -> list[Window]:
    """Add at most `policy.refine` windows, half a window's length around `planned[worst]`, sorted by start.

    Adds none if the planned windows already cover the track. Windows within a quarter of their length of a planned one
    would add nothing, and are left out.
    """
    rate = _checked_rate(frames_per_second)
    length = policy.window_seconds(rate)
    last_start = math.floor((duration_seconds - length) * rate + _SLACK_FRAMES) / rate
    if policy.refine == 0 or length * len(planned) >= duration_seconds - _SLACK_FRAMES / rate:
        return []
    taken = [window.start_seconds for window in planned]
    chosen: list[float] = []
    for halves in (1, -1, 2, -2, 3, -3):
        start = round((taken[worst] + halves * length / 2) * rate) / rate
        is_new = all(abs(start - other) > length / 4 for other in (*taken, *chosen))
        if len(chosen) < policy.refine and 0 <= start <= last_start and is_new:
            chosen.append(start)
    return [Window(start, start + length) for start in sorted(chosen)]


def frame_times(window: Window, frames: int, step_seconds: float, frames_per_second: float) -> list[float]:
    """Times at which the `frames` frames of a window's clip are on screen, in seconds from the first frame.

    `t_i = start + i * step + half a source frame`: the middle of a frame's display time, so that rounding never picks
    its neighbour and a step of one source frame hits each frame once. Times after the middle of the window's last frame
    are clamped to it: a short window repeats its last frame.
    """
    if frames < 1 or not 0 < step_seconds < math.inf:
        raise ValueError("a clip needs at least one frame and a positive step")
    half_frame = 0.5 / _checked_rate(frames_per_second)
    last = max(window.end_seconds - half_frame, window.start_seconds)
    return [min(window.start_seconds + i * step_seconds + half_frame, last) for i in range(frames)]


def _checked_rate(frames_per_second: float) -> float:
    if not 0 < frames_per_second < math.inf:
        raise ValueError(f"not a frame rate: {frames_per_second} frames per second")
    return frames_per_second
