"""The committed checkpoint, measured through the production path on footage that it has never seen."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from examples import samples
from sentinel_worker.detectors.registry import DEMO_DETECTOR, find_detector
from sentinel_worker.detectors.video import VideoDetector
from tests.lazy import lazy
from tests.matrix import sampled

if TYPE_CHECKING:
    from examples import measuring
    from examples.demo_checkpoint import evaluate as of_films
else:  # torchcodec, which imports torch's compiler
    measuring = lazy("examples.measuring")
    of_films = lazy("examples.demo_checkpoint.evaluate")

SEED = 300
SAMPLE, ALL = 12, 100
"""Pairs of a clean and a tampered clip. Both sizes have similar shares of each kind of tampering."""
MAX_BYTES = 3_000_000


@pytest.fixture(scope="module")
def detector() -> VideoDetector:
    return VideoDetector.load(find_detector(DEMO_DETECTOR), "cpu")


@pytest.mark.timeout(300)  # about 75 s of one core for all of them: footage and encodes
@pytest.mark.parametrize("pairs", sampled("detectors", [SAMPLE, ALL], [SAMPLE]))
def test_at_least_nine_of_ten_unseen_clips_are_right(detector: VideoDetector, pairs: int) -> None:
    answers = of_films.evaluate(detector, SEED, pairs, processes=1 if pairs == SAMPLE else 2)
    print(measuring.table(answers))  # noqa: T201  # the measurement is the point of the test
    assert len(answers) == 2 * pairs
    assert all(len(answer.judgement.windows) >= 3 for answer in answers)
    assert measuring.accuracy(answers) >= 0.9, measuring.table(answers)
    assert measuring.area_under_curve(answers) >= 0.95, measuring.table(answers)
    alarms = [one for one in answers if one.group == "clean" and one.judgement.reason == "suspicious_window"]
    assert len(alarms) <= 0.01 * pairs, "a suspicious window costs hardly any clean clip its `real`"


def test_all_six_samples_are_right(detector: VideoDetector, clips: dict[str, Path]) -> None:
    expected_of = {name: "fake" if "tampered" in name else "real" for name in clips}
    judged = [(name, expected_of[name], of_films.judge_file(detector, path)) for name, path in clips.items()]
    print(*(f"{name} {expected} {judgement.fake_probability:.3f}" for name, expected, judgement in judged), sep="\n")  # noqa: T201
    assert [judgement.verdict for _, _, judgement in judged] == [expected for _, expected, _ in judged]


def test_samples_are_the_same_bytes_every_time(clips: dict[str, Path], tmp_path: Path) -> None:
    for path, _ in samples.make(tmp_path):
        assert path.read_bytes() == clips[path.name].read_bytes(), path.name


def test_the_files_are_small_and_the_card_is_honest(detector: VideoDetector) -> None:
    folder = detector.spec.folder
    assert folder is not None
    assert (folder / "model.safetensors").stat().st_size <= MAX_BYTES
    assert detector.spec.notice is not None
    assert detector.spec.notice in (folder / "README.md").read_text()
    assert json.loads((folder / "config.json").read_text())["id2label"] == {"0": "real", "1": "fake"}
