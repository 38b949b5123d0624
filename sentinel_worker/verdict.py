"""From the logits of the windows to one probability and one verdict. Pure arithmetic, no torch."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from sentinel_worker.media.windows import Window

Verdict = Literal["fake", "real", "uncertain", "not_applicable"]
Aggregation = Literal["mean", "top_k"]

# A window that leaves out less than this is the whole video: durations are rounded decimals.
_SLACK_SECONDS = 0.001


@dataclass(frozen=True, slots=True)
class VerdictRule:
    """How a detector's windows become a verdict.

    `mean` averages all logits; `top_k` the k highest, k = min(n, max(2, ceil(n / 4))), never the single
    highest of many, which grows with the length of the video. Logits are divided by `temperature` first.
    A probability below `real_below` is `real`, one of at least `fake_from` is `fake`, between them
    `uncertain`. `fake` also needs `fake_windows` windows that reach `fake_from` by themselves, unless the
    only window is the whole video.
    """

    aggregation: Aggregation
    fake_windows: int
    real_below: float = 0.33
    fake_from: float = 0.5
    temperature: float = 1.0

    def __post_init__(self) -> None:
        if not 0 < self.real_below <= self.fake_from < 1:
            raise ValueError("a verdict rule needs 0 < real_below <= fake_from < 1")
        if not 0 < self.temperature < math.inf or self.fake_windows < 0:
            raise ValueError("a verdict rule needs a positive temperature and a count of windows")


@dataclass(frozen=True, slots=True)
class Judgement:
    """The answer about one track. Probabilities are calibrated P(fake) in 0..1; `worst_window` is the index
    of the window with the highest one."""

    verdict: Verdict
    fake_probability: float
    threshold: float
    windows: tuple[Window, ...]
    window_probabilities: tuple[float, ...]
    worst_window: int


def judge(windows: Sequence[Window], logits: Sequence[float], duration_seconds: float, rule: VerdictRule) -> Judgement:
    """Judge a track of `duration_seconds` by its windows' log-odds of being fake, in the same order.

    Raises ValueError without windows, or when a logit is missing or not finite.
    """
    if not windows or len(windows) != len(logits):
        raise ValueError(f"{len(windows)} windows have {len(logits)} logits")
    if not all(math.isfinite(logit) for logit in logits):
        raise ValueError("a logit is not finite")
    calibrated = [logit / rule.temperature for logit in logits]
    probabilities = tuple(sigmoid(logit) for logit in calibrated)
    probability = sigmoid(_aggregate(calibrated, rule.aggregation))
    worst = max(range(len(windows)), key=probabilities.__getitem__)
    enough = _covers_all(windows, duration_seconds) or (
        sum(p >= rule.fake_from for p in probabilities) >= rule.fake_windows
    )
    return Judgement(
        verdict=_verdict(probability, rule, fake_allowed=enough),
        fake_probability=probability,
        threshold=rule.fake_from,
        windows=tuple(windows),
        window_probabilities=probabilities,
        worst_window=worst,
    )


def sigmoid(logit: float) -> float:
    """The probability of log-odds; does not overflow."""
    if logit >= 0:
        return 1 / (1 + math.exp(-logit))
    return math.exp(logit) / (1 + math.exp(logit))


def _aggregate(logits: Sequence[float], aggregation: Aggregation) -> float:
    if aggregation == "mean":
        return math.fsum(logits) / len(logits)
    count = min(len(logits), max(2, math.ceil(len(logits) / 4)))
    return math.fsum(sorted(logits, reverse=True)[:count]) / count


def _covers_all(windows: Sequence[Window], duration_seconds: float) -> bool:
    return len(windows) == 1 and windows[0].duration_seconds >= duration_seconds - _SLACK_SECONDS


def _verdict(probability: float, rule: VerdictRule, *, fake_allowed: bool) -> Verdict:
    if probability < rule.real_below:
        return "real"
    if probability < rule.fake_from or not fake_allowed:
        return "uncertain"
    return "fake"
