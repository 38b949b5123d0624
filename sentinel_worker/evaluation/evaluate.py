"""Measure a detector on labelled files, calibrate it, and measure it again on files that the fit did not see."""

from __future__ import annotations

import datetime
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from sentinel_worker.detectors.calibration import Calibration, FittedOn, Intervals
from sentinel_worker.domain.verdict import VerdictRule
from sentinel_worker.evaluation.fitting import Fit, check_scores, fit
from sentinel_worker.evaluation.metrics import Metrics, measure
from sentinel_worker.evaluation.scores import Answers, ScoredFile, Scores, answer, collect
from sentinel_worker.evaluation.splits import folds, resamples

Interval = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Measured:
    """Answers of a rule, its metrics, and their 95 % intervals by name."""

    answers: Answers
    metrics: Metrics
    intervals: Mapping[str, Interval]


@dataclass(frozen=True, slots=True)
class Evaluation:
    """Result of an evaluation. `before` is measured with `rule`; `after` by cross-validation in `fold_count` folds:
    each file is judged by a calibration fitted without its group. `calibration` is fitted on all files."""

    rule: VerdictRule
    scores: Scores
    before: Measured
    after: Measured
    calibration: Calibration
    fold_count: int


def evaluate(
    files: Sequence[ScoredFile],
    rule: VerdictRule,
    detector: str,
    *,
    today: datetime.date,
    replicates: int,
    weights_sha256: str | None = None,
    seed: int = 0,
) -> Evaluation:
    """Evaluate the detector with the key `detector`, whose verdicts follow `rule`. Takes seconds.

    The intervals come from `replicates` bootstrap samples of whole groups.

    Raises Fatal: 'manifest_invalid' (identical files with different labels or groups), 'calibration_impossible' (too
    few files or groups), 'label_polarity_inverted'.
    """
    scores = collect(files, rule)
    check_scores(scores.labels, scores.log_odds)
    pairs = folds(scores.labels, scores.groups, seed)
    rules = [rule] * len(scores.files)
    for fitted, held in pairs:
        fold_rule = _with(rule, fit(scores.labels[fitted], scores.log_odds[fitted]))
        for index in held:
            rules[index] = fold_rule
    before = _measured(scores, answer(scores.files, [rule] * len(rules)), seed, replicates)
    after = _measured(scores, answer(scores.files, rules), seed, replicates)
    final = fit(scores.labels, scores.log_odds)
    calibration = Calibration(
        detector=detector,
        weights_sha256=weights_sha256,
        temperature=final.temperature,
        real_below=final.real_below,
        fake_from=final.fake_from,
        fitted_on=_fitted_on(scores, today),
        intervals=_fit_intervals(scores, seed, replicates),
        metrics_before=before.metrics.as_dict(),
        metrics_after=after.metrics.as_dict(),
    )
    return Evaluation(rule, scores, before, after, calibration, len(pairs))


def _with(rule: VerdictRule, fitted: Fit) -> VerdictRule:
    return replace(rule, temperature=fitted.temperature, real_below=fitted.real_below, fake_from=fitted.fake_from)


def _fitted_on(scores: Scores, today: datetime.date) -> FittedOn:
    fakes = int(scores.labels.sum())
    return FittedOn(
        files=len(scores.files), groups=scores.group_count, fakes=fakes, reals=len(scores.files) - fakes, date=today
    )


def _measured(scores: Scores, answers: Answers, seed: int, replicates: int) -> Measured:
    samples = (
        measure(scores.labels[drawn], Answers(answers.probabilities[drawn], answers.verdicts[drawn])).as_dict()
        for drawn in resamples(scores.labels, scores.groups, replicates, seed)
    )
    return Measured(answers, measure(scores.labels, answers), _intervals(samples))


def _fit_intervals(scores: Scores, seed: int, replicates: int) -> Intervals:
    fits = (
        fit(scores.labels[drawn], scores.log_odds[drawn])
        for drawn in resamples(scores.labels, scores.groups, replicates, seed)
    )
    spread = _intervals(
        {"temperature": one.temperature, "real_below": one.real_below, "fake_from": one.fake_from} for one in fits
    )
    return Intervals(**spread)


def _intervals(samples: Iterable[Mapping[str, float]]) -> dict[str, Interval]:
    """Return the 2.5th and 97.5th percentile of each value over the samples that have it."""
    drawn: dict[str, list[float]] = {}
    for sample in samples:
        for name, value in sample.items():
            drawn.setdefault(name, []).append(value)
    return {name: tuple(np.percentile(values, (2.5, 97.5)).tolist()) for name, values in drawn.items()}
