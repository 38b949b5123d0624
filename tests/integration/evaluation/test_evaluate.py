"""A detector measured and calibrated on files with known labels."""

from __future__ import annotations

import datetime
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from sentinel_worker.detectors import calibration
from sentinel_worker.domain.errors import Fatal
from sentinel_worker.domain.verdict import VerdictRule
from sentinel_worker.evaluation.scores import ScoredFile
from tests.integration.evaluation.synthetic import RULE, overconfident, scored

if TYPE_CHECKING:
    from sentinel_worker.evaluation.evaluate import Evaluation

TODAY = datetime.date(2026, 5, 1)


def evaluated(files: list[ScoredFile], rule: VerdictRule = RULE, **changes: Any) -> Evaluation:
    from sentinel_worker.evaluation.evaluate import evaluate  # imports scikit-learn and torchmetrics: seconds

    options: dict[str, Any] = {"today": TODAY, "replicates": 60} | changes
    return evaluate(files, rule, "demo", **options)


@pytest.fixture(scope="module")
def known() -> Evaluation:
    """400 files of 100 groups, overconfident by a factor of three."""
    return evaluated(overconfident(400, temperature=3.0))


def test_a_calibration_of_other_groups_makes_the_probabilities_right(known: Evaluation) -> None:
    assert known.before.metrics.ece > 0.1
    assert known.after.metrics.ece < known.before.metrics.ece / 2
    assert known.after.metrics.brier < known.before.metrics.brier
    # It hardly changes the order of the files.
    assert known.after.metrics.auc == pytest.approx(known.before.metrics.auc, abs=0.01)


def test_the_temperature_lies_in_its_interval(known: Evaluation) -> None:
    fitted = known.calibration
    lower, upper = fitted.intervals.temperature
    assert lower < 3.0 < upper
    assert lower < fitted.temperature < upper
    assert fitted.weights_sha256 is None
    assert (fitted.fitted_on.files, fitted.fitted_on.groups, fitted.fitted_on.date) == (400, 100, TODAY)
    assert fitted.fitted_on.fakes + fitted.fitted_on.reals == 400


def test_a_long_file_is_judged_in_parts_as_the_worker_does() -> None:
    file = scored(1, True, 6.0, 6.0, *[-6.0] * 30)
    whole, parts = file.judge(RULE), replace(file, part_windows=2).judge(RULE)
    assert whole is not None
    assert parts is not None
    assert (whole.verdict, parts.verdict, parts.log_odds) == ("real", "fake", 6.0)


def test_a_file_with_an_unread_part_is_not_real_as_for_the_worker() -> None:
    file = scored(1, False, -6.0)
    whole, unread = file.judge(RULE), replace(file, unread_seconds=5.0).judge(RULE)
    assert whole is not None
    assert unread is not None
    assert (whole.verdict, unread.verdict, unread.reason) == ("real", "uncertain", "not_covered")


def test_few_are_on_the_wrong_side_of_the_thresholds(known: Evaluation) -> None:
    """The rule allows 5 % on the files of the fit; groups outside the fit do slightly worse."""
    assert known.after.metrics.false_alarms < 0.09
    assert known.after.metrics.misses < 0.09
    assert known.before.metrics.false_alarms > 0.09


def test_each_measure_lies_in_its_interval(known: Evaluation) -> None:
    for measured in (known.before, known.after):
        values = measured.metrics.as_dict()
        assert set(measured.intervals) == set(values)
        # The calibration error of a resample is larger than that of the files, so only that one may lie below.
        for name in set(values) - {"ece"}:
            lower, upper = measured.intervals[name]
            assert lower <= values[name] <= upper, name


def test_each_answer_comes_from_a_fit_without_its_group() -> None:
    """A group that contradicts all others changes the other groups' answers, but not its own."""
    files = overconfident(200, temperature=2.0)
    loud = [
        replace(file, windows=tuple(replace(window, logits=(window.logits[0] * -5,)) for window in file.windows))
        if file.entry.group == "source-0"
        else file
        for file in files
    ]
    before, after = evaluated(files, replicates=2).after.answers, evaluated(loud, replicates=2).after.answers
    own = np.array([file.entry.group == "source-0" for file in files])

    def temperatures(found: list[ScoredFile], probabilities: Any) -> Any:
        logits = np.array([file.windows[0].logits[0] for file in found])
        return logits / np.log(probabilities / (1 - probabilities))

    quiet_own = temperatures(files, before.probabilities)[own]
    assert temperatures(loud, after.probabilities)[own] == pytest.approx(quiet_own)
    assert temperatures(loud, after.probabilities)[~own].max() > temperatures(files, before.probabilities).max()


def test_the_same_seed_gives_the_same_calibration(known: Evaluation) -> None:
    again = evaluated(overconfident(400, temperature=3.0))
    assert again.calibration == known.calibration
    other = evaluated(overconfident(400, temperature=3.0), seed=1)
    assert other.calibration.temperature == known.calibration.temperature
    assert other.calibration.intervals != known.calibration.intervals


def test_the_file_it_writes_can_be_read(known: Evaluation, tmp_path: Any) -> None:
    known.calibration.write(tmp_path / "c.json")
    assert calibration.read(tmp_path / "c.json") == known.calibration
    rule = known.calibration.apply(VerdictRule("top_k", fake_windows=2))
    assert (rule.aggregation, rule.temperature) == ("top_k", known.calibration.temperature)


def test_an_earlier_temperature_does_not_change_the_fit(known: Evaluation) -> None:
    """Log-odds are taken before the temperature, so a detector can be calibrated again."""
    again = evaluated(overconfident(400, temperature=3.0), replace(RULE, temperature=3.0))
    assert again.calibration.temperature == pytest.approx(known.calibration.temperature)
    assert again.before.metrics.ece < known.before.metrics.ece / 2


def test_files_without_a_probability_are_kept_apart() -> None:
    files = overconfident(200, temperature=2.0)
    silent = scored(1000, True, name="silent.mp3", skipped="silence")
    broken = scored(1001, False, name="broken.mp4", failure="The file is damaged.")
    found = evaluated([silent, *files, broken], replicates=2).scores
    assert found.files == tuple(files)
    assert (found.not_applicable, found.failed) == ((silent,), (broken,))


def test_fakes_that_need_several_windows_are_counted_as_the_worker_counts_them() -> None:
    pairs = [scored(n, n % 2 == 0, *((6.0, -1.0, -1.0) if n % 2 == 0 else (-3.0,) * 3)) for n in range(80)]
    assert set(evaluated(pairs, VerdictRule("mean", fake_windows=1), replicates=2).before.answers.verdicts) == {
        "fake",
        "real",
    }
    assert set(evaluated(pairs, VerdictRule("mean", fake_windows=2), replicates=2).before.answers.verdicts) == {
        "uncertain",
        "real",
    }


@pytest.mark.parametrize(
    ("changes", "said"), [({"is_fake": False}, "different labels"), ({"group": "other"}, "different groups")]
)
def test_one_content_under_two_names(changes: dict[str, Any], said: str) -> None:
    files = overconfident(100, temperature=1.0)
    first = next(file for file in files if file.entry.is_fake)
    entry = replace(first.entry, name="copy.mp4", line=102, **changes)
    with pytest.raises(Fatal, match=f"Lines {first.entry.line} and 102 of the manifest name identical files") as error:
        evaluated([*files, replace(first, entry=entry)])
    assert said in error.value.message
    assert error.value.code == "manifest_invalid"
    evaluated([*files, replace(first, entry=replace(first.entry, name="copy.mp4"))], replicates=2)


def test_inverted_labels_and_too_few_files_are_refused() -> None:
    files = overconfident(200, temperature=1.0)
    turned = [replace(file, entry=replace(file.entry, is_fake=not file.entry.is_fake)) for file in files]
    with pytest.raises(Fatal) as refused:
        evaluated(turned)
    assert refused.value.code == "label_polarity_inverted"
    one_group = [replace(file, entry=replace(file.entry, group="one")) for file in files]
    for few in (files[:30], [], one_group):
        with pytest.raises(Fatal) as refused:
            evaluated(few)
        assert refused.value.code == "calibration_impossible"
