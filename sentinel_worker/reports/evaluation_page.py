"""Output of an evaluation: a page, its pictures, and the calibration file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from sentinel_worker.evaluation.evaluate import Evaluation, Measured
from sentinel_worker.evaluation.fitting import ALLOWED_ERRORS, WIDEST_FAKE, WIDEST_REAL
from sentinel_worker.evaluation.metrics import ECE_BINS
from sentinel_worker.evaluation.scores import ScoredFile
from sentinel_worker.reports import html
from sentinel_worker.reports.drawing import LIGHT
from sentinel_worker.reports.evaluation_plots import PLOTS

REPORT, CALIBRATION = "report.html", "calibration.json"

_WORST = 10
_MEASURES = {
    "auc": "AUC: chance that a fake scores above a real",
    "eer": "Equal error rate",
    "tpr_at_1_fpr": "Fakes found when 1 % of reals are called fake",
    "tpr_at_5_fpr": "Fakes found when 5 % of reals are called fake",
    "ece": f"Expected calibration error ({ECE_BINS} bins)",
    "brier": "Brier score",
    "accuracy": "Correct, of the verdicts fake and real",
    "uncertain": "Uncertain, of all files",
    "false_alarms": "Reals called fake",
    "misses": "Fakes called real",
}
_WORDS = {
    "reliability": "The share of fakes against the predicted probability, before and after the calibration.",
    "roc": "Fakes found against reals called fake, with the two thresholds.",
    "scores": "The distribution of calibrated probabilities of fakes and reals, with the bands of the verdicts.",
}


@dataclass(frozen=True, slots=True)
class _Row:
    """A row of the table: a metric before and after, each with its interval."""

    words: str
    before: str
    after: str


def write(evaluation: Evaluation, detector: Mapping[str, Any], folder: Path) -> Path:
    """Write the page, PNG files and calibration to `folder`, and return the page's path; raises OSError.

    `detector` is its description in a result (`Detector.describe`).
    """
    folder.mkdir(parents=True, exist_ok=True)
    for name, draw in PLOTS.items():
        (folder / f"{name}.png").write_bytes(draw(evaluation, LIGHT))
    evaluation.calibration.write(folder / CALIBRATION)
    html.write(folder / REPORT, page(evaluation, detector))
    return folder / REPORT


def page(evaluation: Evaluation, detector: Mapping[str, Any]) -> str:
    """Render the evaluation as HTML."""
    plots = {
        name: html.picture(lambda theme, draw=draw: draw(evaluation, theme), _WORDS[name])  # type: ignore[misc]
        for name, draw in PLOTS.items()
    }
    values = {
        "calibration": evaluation.calibration,
        "calibration_file": CALIBRATION,
        "rule": evaluation.rule,
        "detector": _detector(detector, evaluation),
        "notice": detector.get("notice"),
        "scores": evaluation.scores,
        "fold_count": evaluation.fold_count,
        "rows": [_row(name, words, evaluation) for name, words in _MEASURES.items()],
        "plots": plots,
        "worst": _worst(evaluation),
        "allowed": ALLOWED_ERRORS,
        "widest": (WIDEST_REAL, WIDEST_FAKE),
        "without": _without(evaluation),
    }
    return html.render("evaluation.html.j2", values)


def _detector(detector: Mapping[str, Any], evaluation: Evaluation) -> list[tuple[str, str]]:
    labels = ", ".join(f"{index} = {name}" for index, name in detector.get("labels", {}).items())
    fake = ", ".join(str(index) for index in detector.get("fake_indices", ()))
    rows = [
        ("Detector", evaluation.calibration.detector),
        ("Repository", detector.get("repository") or "a folder"),
        ("Revision", detector.get("revision")),
        ("SHA-256 of the weights", evaluation.calibration.weights_sha256),
        ("Licence of the weights", detector.get("licence")),
        ("Labels", labels),
        ("Outputs that mean fake", f"{fake} (by {detector.get('fake_indices_source')})" if fake else None),
        ("Windows are combined by", str(evaluation.rule.aggregation).replace("_", " ")),
    ]
    return [(name, str(value)) for name, value in rows if value]


def _row(name: str, words: str, evaluation: Evaluation) -> _Row:
    return _Row(words, _cell(name, evaluation.before), _cell(name, evaluation.after))


def _cell(name: str, measured: Measured) -> str:
    values = measured.metrics.as_dict()
    if name not in values:
        return "none"
    lower, upper = measured.intervals[name]
    return f"{values[name]:.3f} [{lower:.3f}, {upper:.3f}]"


def _worst(evaluation: Evaluation) -> Sequence[tuple[ScoredFile, float, str]]:
    """Return the files farthest on the wrong side of 0.5: file, calibrated P(fake), verdict."""
    labels, answers = evaluation.scores.labels, evaluation.after.answers
    wrong_by = np.where(labels, 0.5 - answers.probabilities, answers.probabilities - 0.5)
    order = [int(index) for index in np.argsort(-wrong_by, kind="stable")[:_WORST] if wrong_by[index] > 0]
    return [
        (evaluation.scores.files[index], float(answers.probabilities[index]), str(answers.verdicts[index]))
        for index in order
    ]


def _without(evaluation: Evaluation) -> list[tuple[ScoredFile, str]]:
    """Return the files that were left out, with the reasons."""
    skipped = [
        (file, str(judgement.reason).replace("_", " "))
        for file in evaluation.scores.not_applicable
        if (judgement := file.judge(evaluation.rule)) is not None
    ]
    return skipped + [(file, file.failure or "") for file in evaluation.scores.failed]
