"""A short tampered part of a long film is found if it is longer than the longest gap, and mostly if not."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from sentinel_worker.detectors.registry import DEMO_DETECTOR, DETECTORS, find_detector
from sentinel_worker.domain.windows import CoverageRule
from tests.integration.splices import plan
from tests.integration.splices.films import LongFilms
from tests.lazy import lazy
from tests.matrix import sampled

if TYPE_CHECKING:
    from examples.demo_checkpoint import evaluate
    from sentinel_worker.detectors import video
    from tests.integration.splices import decoded
else:  # torch
    evaluate = lazy("examples.demo_checkpoint.evaluate")
    video = lazy("sentinel_worker.detectors.video")
    decoded = lazy("tests.integration.splices.decoded")

CASES = [(minutes, seconds) for minutes in plan.MINUTES for seconds in plan.LENGTHS]
FEW = (10, 90)
"""The case of which a few places are tried in every run."""


@pytest.mark.parametrize("key", [key for key, spec in DETECTORS.items() if spec.media_kind != "image"])
@pytest.mark.parametrize("minutes", plan.MINUTES)
def test_a_window_lands_on_every_splice_that_is_longer_than_a_gap(key: str, minutes: int) -> None:
    spec = DETECTORS[key]
    rate = spec.sample_rate if spec.task == "audio" else plan.RATE
    for seconds in plan.LENGTHS:
        found = plan.planned(minutes, seconds, spec.window_policy, rate=rate)
        print(found.row)  # noqa: T201 - the table is the point
        many = plan.planned(minutes, seconds, spec.window_policy, rate=rate, count=2000)
        assert many.landed / many.places == pytest.approx(many.expected, abs=0.005)
        if seconds == 90:
            assert (found.landed, many.landed, many.expected) == (plan.PLACES, 2000, 1)


def test_eight_windows_would_miss_most() -> None:
    """What all films got before their length counted."""
    found = plan.planned(60, 20, find_detector(DEMO_DETECTOR).window_policy, rule=CoverageRule(1000, 8, 1000))
    assert (found.windows, found.expected < 0.1, found.landed < 10) == (8, True, True)


@pytest.mark.timeout(1200)  # about 2 s of one core for each film of an hour
@pytest.mark.parametrize("case", sampled("splices", [*CASES, "few"], ["few"]), ids=str)
def test_a_splice_that_a_window_lands_on_is_seen(
    clips: dict[str, Path], tmp_path: Path, case: tuple[int, float] | str
) -> None:
    minutes, seconds = FEW if isinstance(case, str) else case
    starts = plan.places(minutes, seconds)
    detector = video.VideoDetector.load(find_detector(DEMO_DETECTOR), "cpu")
    films = LongFilms(tmp_path, clips, minutes)
    found = decoded.answered(detector, films, seconds, starts[::20] if isinstance(case, str) else starts)
    print(decoded.row(minutes, seconds, found))  # noqa: T201 - the table is the point
    for one in found:
        assert all(probability > 0.9 for probability in one.inside)
        assert all(probability < 0.33 for probability in one.outside)
        if not one.landed:
            assert one.demo.verdict == one.top_k.verdict == "real"
        if one.inside:
            assert (one.demo.verdict, one.demo.reason) == ("uncertain", "suspicious_window")
            assert one.top_k.verdict != "real"
        if len(one.inside) > 1:
            assert one.top_k.verdict == "fake"
    if seconds == 90:
        assert all(one.inside for one in found)
    untouched = evaluate.judge_file(detector, films.real)
    assert (untouched.verdict, untouched.reason) == ("real", None)
