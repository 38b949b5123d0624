"""Choice of the scored parts of a track: windows of the trained duration, evenly spread, close enough to each other.

All times are seconds from the first frame of the track, not the container's timestamps: a decoder whose stream begins
at 1.4 s adds 1.4 to them.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass

# Durations come from containers as rounded decimals; a window that overhangs by less than this fits.
_SLACK_FRAMES = 0.01
# Shares of the longest gap by which windows may move apart to reach key frames: with enough windows, and without.
_ROOM_FOR_KEYFRAMES, _ROOM_BEYOND = 0.1, 0.025
_ROUNDING_SECONDS = 1e-6


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
    """A detector's rule for cutting a track: `frames` per clip, `step` apart, `budget` windows.

    On a track longer than the budget covers, `refine` of the budget are held back, and are then spent around the window
    that looked most fake. A long track gets more windows than the budget (`CoverageRule`).
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


@dataclass(frozen=True, slots=True)
class CoverageRule:
    """Rule for how closely every detector looks at a track.

    Windows leave no gap longer than `max_gap_seconds`, as long as `max_windows` are enough for that (a closer look not
    counted). A track with a longer gap than `real_max_gap_seconds` is never called `real`.
    """

    max_gap_seconds: float = 60.0
    max_windows: int = 40
    real_max_gap_seconds: float = 180.0

    def __post_init__(self) -> None:
        if not 0 < self.max_gap_seconds <= self.real_max_gap_seconds < math.inf or self.max_windows < 1:
            raise ValueError("a coverage rule needs 0 < max_gap_seconds <= real_max_gap_seconds and one window")

    def allows_real(self, longest_gap_seconds: float) -> bool:
        """True if a track with this longest gap may be called `real`."""
        return longest_gap_seconds <= self.real_max_gap_seconds + _ROUNDING_SECONDS

    def may_grow_to(self, longest_gap_seconds: float) -> float:
        """Largest gap that may result when the windows of a track move to key frames, given the longest one before.

        By the default rule, a gap of 45 s may become one of 60 s, the limit that it keeps. One of 100 s may become one
        of 102.5 s, and one of 179 s one of 180 s, so that the track may still be called `real`.
        """
        if longest_gap_seconds <= self.max_gap_seconds:
            return self.max_gap_seconds
        longer = longest_gap_seconds * (1 + _ROOM_BEYOND)
        return min(longer, self.real_max_gap_seconds) if self.allows_real(longest_gap_seconds) else longer


COVERAGE = CoverageRule()
"""The default rule."""


def plan_windows(
    duration_seconds: float,
    frames_per_second: float,
    policy: WindowPolicy,
    keyframes: Sequence[float] = (),
    coverage: CoverageRule = COVERAGE,
) -> list[Window]:
    """Cut `[0, duration_seconds)` into windows, sorted by start, which lie on source frames.

    As many windows as cover the track, up to the budget. On a longer track the budget, without what is held back, from
    its start to its end; if that leaves gaps longer than `coverage` allows, as many windows as keep them shorter, with
    the same gap before the first and after the last. If there are gaps, each window moves to the nearest of the sorted
    `keyframes` (seconds), because decoding begins there, as far as it takes no more than half of a gap and `coverage`
    allows. A track no longer than one window gives a single window over all of it, and `frame_times` repeats its last
    frame to fill the clip. A duration below one source frame (a still, a track of one frame) counts as one source
    frame.
    """
    rate = _checked_rate(frames_per_second)
    if not 0 <= duration_seconds < math.inf:
        raise ValueError(f"not a duration: {duration_seconds} s")
    duration = max(duration_seconds, 1 / rate)
    length = policy.window_seconds(rate)
    if duration <= length + _SLACK_FRAMES / rate:
        return [Window(0.0, duration)]
    last_frame = math.ceil(duration * rate - _SLACK_FRAMES) - 1
    last_start = min(math.floor((duration - length) * rate + _SLACK_FRAMES), last_frame)
    gap = coverage.max_gap_seconds * (1 - _ROOM_FOR_KEYFRAMES if keyframes else 1)
    frames = _start_frames(duration * rate, length * rate, last_start, gap * rate, policy, coverage.max_windows)
    starts = [frame / rate for frame in sorted({min(frame, last_start) for frame in frames})]
    starts = _snapped(starts, length, duration, last_start / rate, keyframes, coverage)
    return [Window(start, min(start + length, duration)) for start in starts]


def _start_frames(
    total: float, length: float, last_start: int, gap: float, policy: WindowPolicy, most: int
) -> list[int]:
    """Frames at which the windows of a track start. All lengths are in source frames."""
    whole, least = math.ceil((total - _SLACK_FRAMES) / length), policy.budget - policy.refine
    if whole <= policy.budget:
        count = whole
    elif least > 1 and (total - least * length) / (least - 1) + 1 <= gap:
        count = least
    else:
        shorter = max(gap - 1, gap / 2)  # starts are rounded to frames
        count = max(least, min(math.ceil((total - shorter) / (length + shorter)), most))
        if count < whole:
            free = (total - count * length) / (count + 1)
            return [round(free + place * (free + length)) for place in range(count)]
        count = whole
    return [round(place * last_start / (count - 1)) for place in range(count)]


def _snapped(
    starts: list[float],
    length: float,
    duration: float,
    last_start: float,
    keyframes: Sequence[float],
    coverage: CoverageRule,
) -> list[float]:
    """Move each start to the nearest key frame, by at most half of the shortest gap or of the room that is allowed."""
    if not keyframes:
        return starts
    ends = [start + length for start in starts]
    inner = [start - end for end, start in zip(ends, starts[1:], strict=False)]
    longest = max([starts[0], *inner, duration - ends[-1]])
    allowed = coverage.may_grow_to(longest) - longest
    room = min([*inner, allowed] if inner else [last_start, allowed]) / 2
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
