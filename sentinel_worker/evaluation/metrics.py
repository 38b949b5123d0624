"""Metrics of a detector on labelled files, computed with scikit-learn and torchmetrics."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass

import numpy as np
import torch
from sklearn.metrics import auc, brier_score_loss, roc_curve  # type: ignore[import-untyped]
from torchmetrics.functional.classification import binary_calibration_error, binary_eer

from sentinel_worker.evaluation.scores import Answers, Booleans

ECE_BINS = 10
_ONE_PERCENT, _FIVE_PERCENT = 0.01, 0.05


@dataclass(frozen=True, slots=True)
class Metrics:
    """Metrics over the files that have a probability, all from 0 to 1.

    Of the order of the files: `auc` (the chance that a fake scores above a real), `eer` (the rate at which false
    alarms and misses are equal), `tpr_at_1_fpr` and `tpr_at_5_fpr` (fakes found at a threshold with at most 1 or 5 %
    of the reals above it). Of the probabilities: `ece` (expected calibration error over 10 bins of equal width),
    `brier` (mean squared error). Of the verdicts: `accuracy` (share of correct ones among `fake` and `real`; NaN
    without any), `uncertain` (of all files), `false_alarms` (reals called fake), `misses` (fakes called real).
    """

    auc: float
    eer: float
    tpr_at_1_fpr: float
    tpr_at_5_fpr: float
    ece: float
    brier: float
    accuracy: float
    uncertain: float
    false_alarms: float
    misses: float

    def as_dict(self) -> dict[str, float]:
        """Return the metrics that have a value, by name."""
        return {name: value for name, value in asdict(self).items() if not math.isnan(value)}


def measure(labels: Booleans, answers: Answers) -> Metrics:
    """Measure `answers` against `labels` (True: fake); raises ValueError unless `labels` has both classes."""
    if labels.all() or not labels.any():
        raise ValueError("metrics need files of both classes")
    probabilities, verdicts = answers.probabilities, answers.verdicts
    # Keep all points: collinear ones are thresholds, too.
    false_rate, true_rate, _ = roc_curve(labels, probabilities, drop_intermediate=False)
    tensors = torch.from_numpy(probabilities), torch.from_numpy(labels.astype(np.int64))
    called_fake, called_real = verdicts == "fake", verdicts == "real"
    decided = called_fake | called_real
    right = (called_fake & labels) | (called_real & ~labels)
    return Metrics(
        auc=float(auc(false_rate, true_rate)),
        eer=float(binary_eer(*tensors)),
        # torchmetrics' sensitivity_at_specificity compares 1 - FPR in float32, and can miss a rate of exactly 5 %.
        tpr_at_1_fpr=float(true_rate[false_rate <= _ONE_PERCENT].max()),
        tpr_at_5_fpr=float(true_rate[false_rate <= _FIVE_PERCENT].max()),
        ece=float(binary_calibration_error(*tensors, n_bins=ECE_BINS)),
        brier=float(brier_score_loss(labels, probabilities)),
        accuracy=float(right.sum() / decided.sum()) if decided.any() else math.nan,
        uncertain=float((~decided).mean()),
        false_alarms=float(called_fake[~labels].mean()),
        misses=float(called_real[labels].mean()),
    )
