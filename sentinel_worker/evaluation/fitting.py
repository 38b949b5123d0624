"""A temperature and two thresholds from the log-odds of labelled files."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import expit  # type: ignore[import-untyped]
from sklearn.linear_model import LogisticRegression  # type: ignore[import-untyped]
from sklearn.metrics import roc_auc_score  # type: ignore[import-untyped]

from sentinel_worker.domain.errors import Fatal
from sentinel_worker.evaluation.scores import Booleans, Floats

LEAST_OF_A_CLASS = 20
ALLOWED_ERRORS = 0.05
# The band of `uncertain` is never narrower than this, however well the classes are apart in one set of files.
WIDEST_REAL, WIDEST_FAKE = 0.33, 0.5
HOTTEST = 100.0
_EDGE = 0.001
_CHANCE = 0.5


@dataclass(frozen=True, slots=True)
class Fit:
    """The fitted values of a `VerdictRule`."""

    temperature: float
    real_below: float
    fake_from: float


def check_counts(labels: Sequence[bool]) -> None:
    """Raise Fatal('calibration_impossible') where there are too few files of a class (True: fake)."""
    fakes, reals = sum(labels), len(labels) - sum(labels)
    if min(fakes, reals) < LEAST_OF_A_CLASS:
        raise Fatal(
            "calibration_impossible",
            f"There are {fakes} fakes and {reals} reals to go by; a calibration needs {LEAST_OF_A_CLASS} of each.",
        )


def check_scores(labels: Booleans, log_odds: Floats) -> None:
    """Raise Fatal where nothing can be fitted: 'calibration_impossible', or 'label_polarity_inverted' where fakes
    score below reals."""
    check_counts(labels.tolist())
    auc, slope = float(roc_auc_score(labels, log_odds)), _slope(labels, log_odds)
    if auc < _CHANCE or slope <= 0:
        raise Fatal(
            "label_polarity_inverted",
            f"The detector scores these fakes below these reals (AUC {auc:.3f}, slope {slope:.3g}): its labels are "
            "probably swapped; set the detector's fake_indices. A detector that knows nothing of these files can "
            "look like this, too.",
        )


def fit(labels: Booleans, log_odds: Floats) -> Fit:
    """Fit all three on files with both classes."""
    temperature = fit_temperature(labels, log_odds)
    real_below, fake_from = fit_thresholds(labels, expit(log_odds / temperature))
    return Fit(temperature, real_below, fake_from)


def fit_temperature(labels: Booleans, log_odds: Floats) -> float:
    """The temperature that makes the labels likeliest, at most 100, where every file is near 0.5.

    It is reached where the scores say nothing, as they can in a resample of files that a weak detector scored.
    """
    return 1 / max(_slope(labels, log_odds), 1 / HOTTEST)


def _slope(labels: Booleans, log_odds: Floats) -> float:
    """1 / temperature: the coefficient of a logistic regression without intercept.

    Targets are Platt's, (n + 1) / (n + 2) instead of 1, so that classes that are wholly apart do not give
    certainty.
    """
    targets = np.where(labels, (labels.sum() + 1) / (labels.sum() + 2), 1 / ((~labels).sum() + 2))
    model = LogisticRegression(C=np.inf, fit_intercept=False, solver="newton-cholesky")
    features = np.concatenate([log_odds, log_odds])[:, None]
    classes = np.repeat([1, 0], len(labels))
    model.fit(features, classes, sample_weight=np.concatenate([targets, 1 - targets]))
    return float(model.coef_[0, 0])


def fit_thresholds(labels: Booleans, probabilities: Floats) -> tuple[float, float]:
    """(real_below, fake_from) for calibrated P(fake).

    `fake_from` is the smallest threshold, from 0.5, that at most 5 % of the reals reach; `real_below` the largest,
    up to 0.33, that at most 5 % of the fakes stay below.
    """
    fake_from = max(WIDEST_FAKE, _smallest_from(probabilities[~labels], probabilities))
    real_below = min(WIDEST_REAL, 1 - _smallest_from(1 - probabilities[labels], 1 - probabilities))
    return max(real_below, _EDGE), min(fake_from, 1 - _EDGE)


def _smallest_from(wrong: Floats, everything: Floats) -> float:
    """The smallest threshold that at most the allowed share of `wrong` reaches, in the middle of the gap above
    the highest one that may not reach it."""
    allowed = int(ALLOWED_ERRORS * len(wrong))
    below = np.sort(wrong)[-1 - allowed]
    above = everything[everything > below]
    return float(below + (above.min() if len(above) else 1.0)) / 2
