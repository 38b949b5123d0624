"""Fit a temperature and two thresholds to the log-odds of labelled files."""

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
# The band of `uncertain` is never narrower than this, even if a set of files separates the classes well.
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
    """Raise Fatal('calibration_impossible') if a class (True: fake) has too few files."""
    fakes, reals = sum(labels), len(labels) - sum(labels)
    if min(fakes, reals) < LEAST_OF_A_CLASS:
        raise Fatal(
            "calibration_impossible",
            f"Only {fakes} fakes and {reals} reals can be used; a calibration needs {LEAST_OF_A_CLASS} of each.",
        )


def check_scores(labels: Booleans, log_odds: Floats) -> None:
    """Raise Fatal if nothing can be fitted: 'calibration_impossible', or 'label_polarity_inverted' if fakes score
    below reals."""
    check_counts(labels.tolist())
    auc, slope = float(roc_auc_score(labels, log_odds)), _slope(labels, log_odds)
    if auc < _CHANCE or slope <= 0:
        raise Fatal(
            "label_polarity_inverted",
            f"The detector scores these fakes below these reals (AUC {auc:.3f}, slope {slope:.3g}): its labels are "
            "probably swapped; set the detector's fake_indices. Another cause can be a detector that does no better "
            "than chance on these files.",
        )


def fit(labels: Booleans, log_odds: Floats) -> Fit:
    """Fit all three values on files of both classes."""
    temperature = fit_temperature(labels, log_odds)
    real_below, fake_from = fit_thresholds(labels, expit(log_odds / temperature))
    return Fit(temperature, real_below, fake_from)


def fit_temperature(labels: Booleans, log_odds: Floats) -> float:
    """Return the maximum-likelihood temperature, at most 100, which puts every file near 0.5.

    The limit is reached if the scores carry no information, as in some resamples of a weak detector's files.
    """
    return 1 / max(_slope(labels, log_odds), 1 / HOTTEST)


def _slope(labels: Booleans, log_odds: Floats) -> float:
    """Return 1 / temperature: the coefficient of a logistic regression without intercept.

    Targets are Platt's, (n + 1) / (n + 2) instead of 1, so that perfectly separated classes do not give certainty.
    """
    targets = np.where(labels, (labels.sum() + 1) / (labels.sum() + 2), 1 / ((~labels).sum() + 2))
    model = LogisticRegression(C=np.inf, fit_intercept=False, solver="newton-cholesky")
    features = np.concatenate([log_odds, log_odds])[:, None]
    classes = np.repeat([1, 0], len(labels))
    model.fit(features, classes, sample_weight=np.concatenate([targets, 1 - targets]))
    return float(model.coef_[0, 0])


def fit_thresholds(labels: Booleans, probabilities: Floats) -> tuple[float, float]:
    """Return (real_below, fake_from) for calibrated P(fake).

    `fake_from` is the smallest threshold, at least 0.5, that at most 5 % of the reals reach; `real_below` the
    largest, at most 0.33, that at most 5 % of the fakes stay below.
    """
    fake_from = max(WIDEST_FAKE, _smallest_from(probabilities[~labels], probabilities))
    real_below = min(WIDEST_REAL, 1 - _smallest_from(1 - probabilities[labels], 1 - probabilities))
    return max(real_below, _EDGE), min(fake_from, 1 - _EDGE)


def _smallest_from(wrong: Floats, everything: Floats) -> float:
    """Return the smallest threshold that at most the allowed share of `wrong` reaches: the middle of the gap above the
    highest value that must stay below."""
    allowed = int(ALLOWED_ERRORS * len(wrong))
    below = np.sort(wrong)[-1 - allowed]
    above = everything[everything > below]
    return float(below + (above.min() if len(above) else 1.0)) / 2
