"""Choice of the parts of a track to score."""

from __future__ import annotations

import itertools
import math

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from sentinel_worker.domain.coverage import measure
from sentinel_worker.domain.windows import (
    COVERAGE,
    CoverageRule,
    FrameStep,
    Window,
    WindowPolicy,
    frame_times,
    plan_windows,
    refine_windows,
)

RATES = st.sampled_from([1.0, 5.0, 10.0, 23.976, 24.0, 25.0, 30000 / 1001, 30.0, 50.0, 59.94, 60.0, 120.0, 240.0])
STEPS = st.one_of(
    st.integers(1, 8).map(lambda frames: FrameStep(source_frames=frames)),
    st.floats(0.005, 1.0).map(lambda seconds: FrameStep(seconds=seconds)),
)
POLICIES = st.builds(WindowPolicy, frames=st.integers(1, 64), step=STEPS, budget=st.integers(1, 32))
DURATIONS = st.floats(0, 3 * 3600)
KEYFRAMES: st.SearchStrategy[list[float]] = st.one_of(
    st.just([]),
    st.lists(st.floats(0, 7200), max_size=50).map(sorted),
    st.floats(0.5, 20).map(lambda distance: [distance * number for number in range(400)]),
)

DEMO = WindowPolicy(frames=8, step=FrameStep(source_frames=1))
LARGE = WindowPolicy(frames=32, step=FrameStep(seconds=4 / 30))


@given(DURATIONS, RATES, POLICIES)
@example(4.004, 30000 / 1001, LARGE)
@example(0.0, 25.0, DEMO)
@example(1.5, 1.0, WindowPolicy(frames=1, step=FrameStep(source_frames=1)))
@example(1.0, 1.0, WindowPolicy(frames=1, step=FrameStep(seconds=1 / 128), budget=2))
def test_windows_lie_inside_sorted_and_are_not_too_many(duration: float, rate: float, policy: WindowPolicy) -> None:
    windows = plan_windows(duration, rate, policy)
    end = max(duration, 1 / rate)
    assert 1 <= len(windows) <= max(policy.budget, COVERAGE.max_windows)
    if duration <= COVERAGE.max_gap_seconds:
        assert len(windows) <= max(policy.budget, 2)
    assert all(0 <= window.start_seconds < window.end_seconds <= end for window in windows)
    starts = [window.start_seconds for window in windows]
    assert starts == sorted(set(starts))


@given(DURATIONS, RATES, POLICIES)
def test_windows_have_the_trained_duration_unless_the_track_is_shorter(
    duration: float, rate: float, policy: WindowPolicy
) -> None:
    windows = plan_windows(duration, rate, policy)
    length = policy.window_seconds(rate)
    if max(duration, 1 / rate) <= length:
        assert windows == [Window(0.0, max(duration, 1 / rate))]
    else:
        assert all(abs(window.duration_seconds - length) <= 0.02 / rate for window in windows)


@given(DURATIONS, RATES, POLICIES)
def test_several_windows_reach_from_the_start_to_the_last_whole_frame(
    duration: float, rate: float, policy: WindowPolicy
) -> None:
    windows = plan_windows(duration, rate, policy)
    if len(windows) > 1 and (duration <= COVERAGE.max_gap_seconds or windows[0].start_seconds == 0):
        assert windows[0].start_seconds == 0
        assert duration - windows[-1].end_seconds <= 1.01 / rate


@st.composite
def coverage_rules(draw: st.DrawFn) -> CoverageRule:
    gap = draw(st.floats(2, 300))
    return CoverageRule(gap, draw(st.integers(1, 100)), gap * draw(st.floats(1, 4)))


@example(10_800, 30, DEMO, [], COVERAGE)
@example(600, 25, DEMO, [10.0 * number for number in range(60)], COVERAGE)
@example(100, 10, WindowPolicy(10, FrameStep(seconds=0.1), budget=2), [], COVERAGE)
@example(100, 10, WindowPolicy(10, FrameStep(seconds=0.1), budget=1), [45.0], COVERAGE)
@example(200, 10, WindowPolicy(10, FrameStep(seconds=0.1), budget=1), [45.0], COVERAGE)
@given(DURATIONS, RATES, POLICIES, KEYFRAMES, coverage_rules())
def test_gaps_are_as_short_as_promised_with_as_many_windows_as_that_needs(
    duration: float, rate: float, policy: WindowPolicy, keyframes: list[float], rule: CoverageRule
) -> None:
    windows = plan_windows(duration, rate, policy, keyframes, rule)
    longest = measure(windows, duration).longest_gap_seconds
    most = max(rule.max_windows, policy.budget)
    assert longest <= rule.max_gap_seconds + 1e-6 or len(windows) == most
    reach = policy.window_seconds(rate) + rule.max_gap_seconds - 1 / rate
    assert len(windows) <= min(most, max(policy.budget, math.ceil(duration / (0.9 * reach)) + 2))
    plain = plan_windows(duration, rate, policy, coverage=rule)
    if rule.allows_real(measure(plain, duration).longest_gap_seconds):
        assert rule.allows_real(longest), "no window leaves its place for a key frame if that costs a verdict"


@given(st.floats(600, 3 * 3600), RATES, POLICIES)
def test_a_long_track_is_divided_evenly_and_windows_start_on_frames(
    duration: float, rate: float, policy: WindowPolicy
) -> None:
    windows = plan_windows(duration, rate, policy)
    starts = [window.start_seconds for window in windows]
    gaps = [later.start_seconds - earlier.end_seconds for earlier, later in itertools.pairwise(windows)]
    if starts[0] > 0:
        gaps += [starts[0], duration - windows[-1].end_seconds]
    assert max(gaps, default=0.0) - min(gaps, default=0.0) <= 2 / rate, "rounded to frames"
    assert all(abs(start * rate - round(start * rate)) < 1e-6 for start in starts)


@pytest.mark.parametrize(
    ("minutes", "count", "longest"),
    [(1, 8, 8.2), (7, 8, 59.6), (8, 8, 53), (10, 9, 60), (41, 40, 60), (60, 40, 87.5), (123, 40, 180), (180, 40, 263)],
)
def test_the_number_of_windows_grows_with_the_length(minutes: int, count: int, longest: float) -> None:
    """Gaps stay within a minute up to 40 windows; then they grow."""
    windows = plan_windows(60 * minutes, 25, DEMO)
    assert len(windows) == count
    assert measure(windows, 60 * minutes).longest_gap_seconds == pytest.approx(longest, abs=1)


def test_windows_reach_key_frames_in_long_tracks_too() -> None:
    every_six = [6.0 * number for number in range(200)]
    windows = plan_windows(1200, 25, DEMO, every_six)
    assert {window.start_seconds % 6 for window in windows} == {0.0}
    beyond_the_cap = plan_windows(3600, 25, DEMO, [10.0 * number for number in range(360)])
    assert measure(beyond_the_cap, 3600).longest_gap_seconds < 90, "gaps hardly grow for the sake of key frames"


@pytest.mark.parametrize("changes", [(0, 40, 180), (60, 0, 180), (200, 40, 180), (60, 40, math.inf)])
def test_an_impossible_coverage_is_refused(changes: tuple[float, int, float]) -> None:
    with pytest.raises(ValueError, match="coverage rule"):
        CoverageRule(*changes)


@given(st.floats(0.1, 60), RATES, POLICIES)
def test_a_track_within_the_budget_is_covered_without_holes(duration: float, rate: float, policy: WindowPolicy) -> None:
    windows = plan_windows(duration, rate, policy)
    if duration <= policy.window_seconds(rate) * policy.budget:
        gaps = [b.start_seconds - a.end_seconds for a, b in itertools.pairwise(windows)]
        assert all(gap <= 1.01 / rate for gap in gaps)


@given(st.floats(0.5, 3600), RATES, st.integers(1, 32), st.integers(1, 16))
def test_a_step_of_one_source_frame_hits_each_frame_once(
    duration: float, rate: float, frames: int, budget: int
) -> None:
    policy = WindowPolicy(frames=frames, step=FrameStep(source_frames=1), budget=budget)
    for window in plan_windows(duration, rate, policy):
        times = frame_times(window, frames, policy.step.seconds_at(rate), rate)
        if window.duration_seconds >= policy.window_seconds(rate) - 0.001 / rate:
            hit = [math.floor(time * rate) for time in times]
            assert hit == list(range(hit[0], hit[0] + frames))


@given(DURATIONS, RATES, POLICIES)
def test_frame_times_stay_inside_their_window(duration: float, rate: float, policy: WindowPolicy) -> None:
    for window in plan_windows(duration, rate, policy):
        times = frame_times(window, policy.frames, policy.step.seconds_at(rate), rate)
        assert len(times) == policy.frames
        assert times == sorted(times)
        assert all(window.start_seconds <= time < window.end_seconds for time in times)


def test_a_short_track_repeats_its_last_frame() -> None:
    (window,) = plan_windows(4 / 25, 25, DEMO)
    times = frame_times(window, 8, DEMO.step.seconds_at(25), 25)
    assert [math.floor(time * 25) for time in times] == [0, 1, 2, 3, 3, 3, 3, 3]


def test_one_frame_is_one_window_even_without_a_duration() -> None:
    assert plan_windows(0, 30, LARGE) == [Window(0.0, 1 / 30)]
    assert plan_windows(1 / 30, 30, LARGE) == [Window(0.0, 1 / 30)]


def test_a_budget_of_one_takes_the_middle() -> None:
    policy = WindowPolicy(frames=10, step=FrameStep(source_frames=1), budget=1)
    assert plan_windows(9, 10, policy) == [Window(4.0, 5.0)]


def test_the_trained_duration_of_a_step_in_seconds_ignores_the_frame_rate() -> None:
    assert LARGE.window_seconds(24) == LARGE.window_seconds(60) == pytest.approx(4.2667, abs=1e-4)
    assert DEMO.window_seconds(25) == pytest.approx(0.32)


@pytest.mark.parametrize("duration", [-1.0, math.inf, math.nan])
def test_an_invalid_duration_is_refused(duration: float) -> None:
    with pytest.raises(ValueError, match="not a duration"):
        plan_windows(duration, 25, DEMO)


@pytest.mark.parametrize("rate", [0.0, -25.0, math.inf, math.nan])
def test_an_invalid_rate_is_refused(rate: float) -> None:
    with pytest.raises(ValueError, match="not a frame rate"):
        plan_windows(10, rate, DEMO)


def test_impossible_values_are_refused() -> None:
    with pytest.raises(ValueError, match="not a window"):
        Window(2, 2)
    with pytest.raises(ValueError, match="either"):
        FrameStep()
    with pytest.raises(ValueError, match="either"):
        FrameStep(source_frames=1, seconds=1)
    with pytest.raises(ValueError, match="at least one source frame"):
        FrameStep(source_frames=0)
    with pytest.raises(ValueError, match="positive"):
        FrameStep(seconds=math.nan)
    with pytest.raises(ValueError, match="at least one"):
        WindowPolicy(frames=8, step=FrameStep(source_frames=1), budget=0)
    with pytest.raises(ValueError, match="positive step"):
        frame_times(Window(0, 1), 8, 0, 25)


@st.composite
def policies_that_refine(draw: st.DrawFn) -> WindowPolicy:
    budget = draw(st.integers(2, 16))
    return WindowPolicy(draw(st.integers(1, 64)), draw(STEPS), budget, refine=draw(st.integers(0, budget - 1)))


# The track's end cuts the last plain window a little short; the one at the key frame is whole.
@example(2.603244868238562, 10.0, WindowPolicy(2, FrameStep(seconds=0.1516566690493051), budget=2), [2.0])
# The other way round: the middle one is whole, and the key frame is where the last may begin.
@example(2.0999, 10.0, WindowPolicy(1, FrameStep(source_frames=1), budget=2, refine=1), [2.0])
@given(st.floats(1, 7200), RATES, policies_that_refine(), st.lists(st.floats(0, 7200), max_size=50))
def test_key_frames_cost_no_coverage(
    duration: float, rate: float, policy: WindowPolicy, keyframes: list[float]
) -> None:
    plain = plan_windows(duration, rate, policy)
    snapped = plan_windows(duration, rate, policy, sorted(keyframes))
    covered, wanted = (sum(window.duration_seconds for window in windows) for windows in (snapped, plain))
    slack = 0.01 / rate + 1e-6  # of the last start
    assert covered >= wanted - slack
    if len(snapped) == len(plain):  # a long track has more windows where there are key frames, so that they can move
        assert covered <= wanted + slack
    overlap = max((a.end_seconds - b.start_seconds for a, b in itertools.pairwise(plain)), default=0.0)
    for before, after in itertools.pairwise(snapped):
        assert before.start_seconds < after.start_seconds
        assert before.end_seconds - after.start_seconds <= max(overlap, 0.0) + 1e-6
    assert snapped[-1].end_seconds <= duration + 1e-9


def test_windows_move_to_key_frames_only_into_gaps() -> None:
    policy = WindowPolicy(frames=10, step=FrameStep(seconds=0.1), budget=3)
    keyframes = [0.0, 4.0, 9.7, 12.0]
    assert [w.start_seconds for w in plan_windows(10, 10, policy, keyframes)] == [0.0, 4.0, 9.0]
    assert [w.start_seconds for w in plan_windows(3, 10, policy, [0.0, 1.4])] == [0.0, 1.0, 2.0]


@given(st.floats(1, 7200), RATES, policies_that_refine(), st.data())
def test_a_closer_look_stays_inside_the_track_and_takes_what_was_held_back(
    duration: float, rate: float, policy: WindowPolicy, data: st.DataObject
) -> None:
    planned = plan_windows(duration, rate, policy)
    worst = data.draw(st.integers(0, len(planned) - 1))
    more = refine_windows(planned, worst, duration, rate, policy)
    assert len(more) <= policy.refine
    if duration <= COVERAGE.max_gap_seconds:
        assert len(planned) + len(more) <= max(policy.budget, 2)
    length = policy.window_seconds(rate)
    for window in more:
        assert 0 <= window.start_seconds < window.end_seconds <= duration + 1e-6
        assert abs(window.start_seconds - planned[worst].start_seconds) <= 1.5 * length + 1 / rate
        others = [*planned, *(other for other in more if other is not window)]
        assert all(abs(window.start_seconds - other.start_seconds) > length / 4 for other in others)


def test_a_closer_look_goes_around_the_worst_window_and_is_spared_where_all_is_covered() -> None:
    policy = WindowPolicy(frames=10, step=FrameStep(seconds=0.1), budget=5, refine=2)
    planned = plan_windows(20, 10, policy)
    assert [w.start_seconds for w in planned] == pytest.approx([0.0, 9.5, 19.0])
    assert [w.start_seconds for w in refine_windows(planned, 1, 20, 10, policy)] == [9.0, 10.0]
    assert [w.start_seconds for w in refine_windows(planned, 0, 20, 10, policy)] == [0.5, 1.0]
    covered = plan_windows(5, 10, policy)
    assert len(covered) == 5
    assert refine_windows(covered, 0, 5, 10, policy) == []
