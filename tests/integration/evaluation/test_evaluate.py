"""Measures against cases counted by hand; calibrations on scores whose truth is known."""

from __future__ import annotations

import datetime
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sentinel_worker.errors import Fatal
from sentinel_worker.evaluation.evaluate import Evaluation, evaluate
from sentinel_worker.evaluation.manifest import Entry
from sentinel_worker.evaluation.metrics import measure
from sentinel_worker.evaluation.scores import Answers, ScoredFile
from sentinel_worker.evaluation.splits import folds
from sentinel_worker.media.windows import Window
from sentinel_worker.verdict import VerdictRule, WindowScore

RULE = VerdictRule("mean", fake_windows=0)
TODAY = datetime.date(2026, 11, 24)
WINDOW = Window(0, 1)


def test_measures_of_eight_files() -> None:
    labels = np.array([False] * 4 + [True] * 4)
    probabilities = np.array([0.1, 0.2, 0.3, 0.7, 0.4, 0.6, 0.8, 0.9])
    verdicts = np.array(["real", "real", "real", "fake", "uncertain", "fake", "fake", "fake"])
    found = measure(labels, Answers(probabilities, verdicts))
    assert found.auc == pytest.approx(14 / 16)  # two of sixteen pairs are the wrong way around
    assert found.eer == pytest.approx(0.25)
    assert found.tpr_at_1_fpr == found.tpr_at_5_fpr == pytest.approx(0.5)
    assert found.brier == pytest.approx(np.mean((probabilities - labels) ** 2))
    assert found.accuracy == pytest.approx(6 / 7)
    assert found.uncertain == pytest.approx(1 / 8)
    assert (found.false_alarms, found.misses) == (0.25, 0.0)
    # Each file has a bin of its own, so each is off by how far it is from its label.
    assert found.ece == pytest.approx(np.mean(np.abs(probabilities - labels)))


def test_one_class_cannot_be_measured_and_no_verdict_is_no_accuracy() -> None:
    answers = Answers(np.array([0.4, 0.45]), np.array(["uncertain", "uncertain"]))
    assert "accuracy" not in measure(np.array([True, False]), answers).as_dict()
    with pytest.raises(ValueError, match="one class"):
        measure(np.array([True, True]), answers)


@given(st.lists(st.tuples(st.integers(0, 9), st.booleans()), min_size=20, max_size=80), st.integers(0, 5))
def test_no_group_is_on_both_sides_and_each_file_is_held_out_once(files: list[tuple[int, bool]], seed: int) -> None:
    groups, labels = np.array([group for group, _ in files]), np.array([label for _, label in files])
    if min(len(set(groups[labels])), len(set(groups[~labels]))) < 2:
        with pytest.raises(Fatal, match="calibration_impossible"):
            folds(labels, groups, seed)
        return
    try:
        pairs = folds(labels, groups, seed)
    except Fatal:  # for instance two groups, one of which has nearly all of a class
        return
    held = np.concatenate([held for _, held in pairs])
    assert sorted(held) == list(range(len(files)))
    for fitted, out in pairs:
        assert not set(groups[fitted]) & set(groups[out])
        assert len(set(labels[fitted])) == 2


def files(log_odds: npt.NDArray[Any], labels: npt.NDArray[Any], groups: npt.NDArray[Any]) -> list[ScoredFile]:
    return [
        ScoredFile(
            Entry(Path(f"/{number}.mp4"), f"{number}.mp4", bool(label), str(group), number + 2),
            (WindowScore(WINDOW, (float(odds),)),),
            1.0,
            f"{number:064x}",
        )
        for number, (odds, label, group) in enumerate(zip(log_odds, labels, groups, strict=True))
    ]


def overconfident(count: int = 600, times: float = 4.0) -> list[ScoredFile]:
    """Log-odds that tell the truth, made `times` as large: the right temperature is `times`."""
    rng = np.random.default_rng(5)
    truth = rng.normal(0, 2, count)
    labels = rng.random(count) < 1 / (1 + np.exp(-truth))
    return files(truth * times, labels, np.arange(count) // 3)


@pytest.fixture(scope="module")
def evaluation() -> Evaluation:
    return evaluate(overconfident(), RULE, "tiny", today=TODAY, replicates=100)


def test_the_temperature_is_found_and_lowers_the_error_on_other_groups(evaluation: Evaluation) -> None:
    low, high = evaluation.calibration.intervals.temperature
    assert low <= 4.0 <= high
    assert evaluation.after.metrics.ece < 0.5 * evaluation.before.metrics.ece
    assert evaluation.before.metrics.auc == pytest.approx(evaluation.after.metrics.auc, abs=0.01)
    assert evaluation.fold_count == 5


def test_thresholds_keep_their_promise(evaluation: Evaluation) -> None:
    fitted = evaluation.calibration
    assert 0 < fitted.real_below <= 0.33
    assert 0.5 <= fitted.fake_from < 1
    probabilities = 1 / (1 + np.exp(-evaluation.scores.log_odds / fitted.temperature))
    labels = evaluation.scores.labels
    assert (probabilities[~labels] >= fitted.fake_from).mean() <= 0.05
    assert (probabilities[labels] < fitted.real_below).mean() <= 0.05


def test_the_same_seed_gives_the_same_calibration(evaluation: Evaluation) -> None:
    again = evaluate(overconfident(), RULE, "tiny", today=TODAY, replicates=100)
    assert again.calibration == evaluation.calibration


def test_swapped_labels_are_refused() -> None:
    swapped = [
        ScoredFile(file.entry, (WindowScore(WINDOW, (-file.windows[0].logits[0],)),), 1.0, file.sha256)
        for file in overconfident(120)
    ]
    with pytest.raises(Fatal) as refused:
        evaluate(swapped, RULE, "tiny", today=TODAY)
    assert refused.value.code == "label_polarity_inverted"
    assert "fake_indices" in refused.value.message


def test_too_few_files_and_too_few_groups_are_refused() -> None:
    with pytest.raises(Fatal) as few:
        evaluate(overconfident(12), RULE, "tiny", today=TODAY)
    assert few.value.code == "calibration_impossible"
    rng = np.random.default_rng(1)
    labels = np.arange(80) % 2 == 0
    one_source = files(np.where(labels, 1.0, -1.0) + rng.normal(0, 1, 80), labels, np.where(labels, 1, 2))
    with pytest.raises(Fatal) as together:
        evaluate(one_source, RULE, "tiny", today=TODAY)
    assert together.value.code == "calibration_impossible"


def test_one_content_with_two_labels_is_refused() -> None:
    some = overconfident(60)
    other = Entry(Path("/copy.mp4"), "copy.mp4", not some[0].entry.is_fake, "else", 99)
    with pytest.raises(Fatal) as refused:
        evaluate([*some, ScoredFile(other, some[0].windows, 1.0, some[0].sha256)], RULE, "tiny", today=TODAY)
    assert refused.value.code == "manifest_invalid"
    assert "99" in refused.value.message


def test_files_without_a_probability_are_in_no_number() -> None:
    nothing = Entry(Path("/n.mp4"), "n.mp4", True, "n", 700)
    broken = Entry(Path("/b.mp4"), "b.mp4", True, "b", 701)
    more = [ScoredFile(nothing, (WindowScore(WINDOW, skipped="no_face"),), 1.0), ScoredFile(broken, failure="Broken.")]
    found = evaluate([*overconfident(240), *more], RULE, "tiny", today=TODAY, replicates=20)
    assert [file.entry for file in found.scores.not_applicable] == [nothing]
    assert [file.entry for file in found.scores.failed] == [broken]
    assert found.calibration.fitted_on.files == 240
