"""The metrics on small cases that can be counted by hand."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import pytest

from sentinel_worker.evaluation.scores import Answers

if TYPE_CHECKING:
    from sentinel_worker.evaluation.metrics import Metrics


def measured(labels: Sequence[int], probabilities: Sequence[float], verdicts: Sequence[str] = ()) -> Metrics:
    from sentinel_worker.evaluation.metrics import measure  # imports scikit-learn and torchmetrics: seconds

    verdicts = verdicts or ["fake" if probability >= 0.5 else "real" for probability in probabilities]
    answers = Answers(np.array(probabilities, dtype=np.float64), np.array(verdicts))
    return measure(np.array(labels, dtype=np.bool_), answers)


def test_four_files() -> None:
    # Pairs in order: 0.35 and 0.8 above 0.1, 0.8 above 0.4: three of four.
    found = measured([0, 0, 1, 1], [0.1, 0.4, 0.35, 0.8])
    assert found.auc == pytest.approx(0.75)
    assert found.eer == pytest.approx(0.5)
    assert found.tpr_at_1_fpr == found.tpr_at_5_fpr == 0.5
    assert found.brier == pytest.approx((0.1**2 + 0.4**2 + 0.65**2 + 0.2**2) / 4)
    # Each has its own bin, so the error is the mean distance.
    assert found.ece == pytest.approx((0.1 + 0.4 + 0.65 + 0.2) / 4)
    assert (found.accuracy, found.uncertain, found.false_alarms, found.misses) == (0.75, 0.0, 0.0, 0.5)


def test_classes_that_are_fully_separated() -> None:
    found = measured([0] * 5 + [1] * 5, [0.0] * 5 + [1.0] * 5)
    perfect = {"auc": 1.0, "eer": 0.0, "tpr_at_1_fpr": 1.0, "tpr_at_5_fpr": 1.0, "ece": 0.0, "brier": 0.0}
    verdicts = {"accuracy": 1.0, "uncertain": 0.0, "false_alarms": 0.0, "misses": 0.0}
    assert found.as_dict() == perfect | verdicts


def test_the_equal_error_rate() -> None:
    # At 0.5: one real of five above it, one fake of five below it.
    found = measured([0] * 5 + [1] * 5, [0.1, 0.15, 0.2, 0.25, 0.7, 0.3, 0.8, 0.85, 0.9, 0.95])
    assert found.eer == pytest.approx(0.2)


def test_fakes_found_at_a_rate_of_false_alarms() -> None:
    """Of 100 reals one is above 0.9 and five are above 0.7; of 10 fakes four are above 0.95, six above 0.9, eight
    above 0.7."""
    reals = [0.93] + [0.75] * 4 + [0.72] + [0.1] * 94
    fakes = [0.97] * 4 + [0.91] * 2 + [0.73] * 2 + [0.2] * 2
    found = measured([0] * 100 + [1] * 10, reals + fakes)
    assert found.tpr_at_1_fpr == pytest.approx(0.6)
    assert found.tpr_at_5_fpr == pytest.approx(0.8)


def test_a_threshold_on_a_straight_piece_of_the_curve_counts() -> None:
    """A fake and a real tie at each of 100 probabilities: the curve is one line, with 100 thresholds."""
    ties = np.linspace(0.99, 0.01, 100).tolist()
    found = measured([0] * 100 + [1] * 100, ties + ties)
    assert found.auc == pytest.approx(0.5)
    assert found.tpr_at_1_fpr == pytest.approx(0.01)
    assert found.tpr_at_5_fpr == pytest.approx(0.05)


def test_the_calibration_error_weighs_its_bins() -> None:
    # 8 files at 0.85, of which 4 are fakes: off by 0.35; 2 at 0.05, none a fake: off by 0.05.
    found = measured([1] * 4 + [0] * 4 + [0] * 2, [0.85] * 8 + [0.05] * 2)
    assert found.ece == pytest.approx(0.8 * 0.35 + 0.2 * 0.05)


def test_uncertain_is_neither_right_nor_wrong() -> None:
    verdicts = ["fake", "uncertain", "fake", "real", "uncertain", "real"]
    found = measured([1, 1, 0, 0, 0, 1], [0.9, 0.45, 0.8, 0.1, 0.4, 0.2], verdicts)
    assert found.accuracy == 0.5
    assert found.uncertain == pytest.approx(1 / 3)
    assert found.false_alarms == pytest.approx(1 / 3)
    assert found.misses == pytest.approx(1 / 3)


def test_a_measure_without_a_value_is_left_out() -> None:
    found = measured([0, 1], [0.4, 0.45], ["uncertain", "uncertain"])
    assert math.isnan(found.accuracy)
    assert "accuracy" not in found.as_dict()
    assert found.as_dict()["uncertain"] == 1.0
    assert not any(math.isnan(value) for value in found.as_dict().values())


@pytest.mark.parametrize("label", [0, 1])
def test_one_class_cannot_be_measured(label: int) -> None:
    with pytest.raises(ValueError, match="both classes"):
        measured([label] * 3, [0.1, 0.5, 0.9])
