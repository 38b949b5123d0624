"""The way from the logits of the windows to one probability and one verdict. Pure arithmetic, no torch."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from sentinel_worker.domain.coverage import Coverage, measure
from sentinel_worker.domain.media_facts import Face, Heard, SkipReason
from sentinel_worker.domain.windows import COVERAGE, CoverageRule, Window

Verdict = Literal["fake", "real", "uncertain", "not_applicable"]
VerdictReason = Literal[SkipReason, "not_covered", "suspicious_window"]
"""Reason of a verdict: what left nothing to judge, or why `real` became `uncertain` (`not_covered`,
`suspicious_window`)."""
Aggregation = Literal["mean", "top_k"]

# A window that leaves out less than this is the whole video: durations are rounded decimals.
_SLACK_SECONDS = 0.001


@dataclass(frozen=True, slots=True)
class VerdictRule:
    """A detector's rule for turning windows into a verdict.

    `mean` averages all logits; `top_k` the k highest, k = min(n, max(2, ceil(n / 4))), never only the highest of many,
    which grows with the number of windows. Logits are divided by `temperature` first. A probability below `real_below`
    is `real`, from `fake_from` on it is `fake`, and between them `uncertain`. `fake` also needs `fake_windows` windows
    that each reach `fake_from`, unless the only window is the whole video.

    `real` also needs every single window to stay below `suspicious_score`, a score as the model gives it (before the
    temperature, 0 to 1), so that a fitted calibration does not move it. None: the other windows may outweigh any one.
    """

    aggregation: Aggregation
    fake_windows: int
    real_below: float = 0.33
    fake_from: float = 0.5
    temperature: float = 1.0
    suspicious_score: float | None = None

    def __post_init__(self) -> None:
        if not 0 < self.real_below <= self.fake_from < 1:
            raise ValueError("a verdict rule needs 0 < real_below <= fake_from < 1")
        if not 0 < self.temperature < math.inf or self.fake_windows < 0:
            raise ValueError("a verdict rule needs a positive temperature and fake_windows of at least 0")
        if self.suspicious_score is not None and not 0 < self.suspicious_score < 1:
            raise ValueError("a verdict rule needs a suspicious_score between 0 and 1")


@dataclass(frozen=True, slots=True)
class WindowScore:
    """Score of one window: log-odds of being fake, one for each of `faces`, or only one without faces.

    Without logits there was nothing to score, for the reason in `skipped`. `heard` is None unless the clip of sound was
    not a full window of all channels.
    """

    window: Window
    logits: tuple[float, ...] = ()
    faces: tuple[Face, ...] = ()
    skipped: SkipReason | None = None
    heard: Heard | None = None

    def __post_init__(self) -> None:
        if not all(math.isfinite(logit) for logit in self.logits):
            raise ValueError("a logit is not finite")
        if bool(self.logits) == (self.skipped is not None):
            raise ValueError("a window must be either scored or skipped for a reason")
        if self.faces and len(self.faces) != len(self.logits):
            raise ValueError(f"{len(self.faces)} faces cannot have {len(self.logits)} logits")


@dataclass(frozen=True, slots=True)
class WindowAnswer:
    """A window's calibrated P(fake), 0 to 1, from its worst face. None if it was skipped.

    `face_probabilities` are in the order of `score.faces`.
    """

    score: WindowScore
    fake_probability: float | None
    face_probabilities: tuple[float, ...]

    @property
    def window(self) -> Window:
        return self.score.window


@dataclass(frozen=True, slots=True)
class Judgement:
    """The answer about one track.

    `fake_probability` is calibrated P(fake), 0 to 1; None, with a `reason`, if the verdict is `not_applicable`.
    `log_odds` are the same before the temperature, for calibration. `windows` are sorted by start; `worst` is the one
    with the highest probability. `is_covered` is True if enough of the track was looked at to call it `real`.
    """

    verdict: Verdict
    fake_probability: float | None
    threshold: float
    windows: tuple[WindowAnswer, ...]
    coverage: Coverage
    is_covered: bool = True
    reason: VerdictReason | None = None
    log_odds: float | None = None
    worst: WindowAnswer | None = None


def judge(
    scores: Iterable[WindowScore],
    duration_seconds: float,
    rule: VerdictRule,
    coverage: CoverageRule = COVERAGE,
    *,
    part_windows: int | None = None,
    unread_seconds: float = 0.0,
) -> Judgement:
    """Judge a track of `duration_seconds` by its windows; raises ValueError without any.

    A window counts with its worst face. Skipped windows are listed but not counted; if all are skipped, the verdict is
    `not_applicable`. Every run of `part_windows` neighbours among the scored windows is judged, and the worst decides:
    more windows must not thin out a short manipulation.

    A track is `real` only if enough of it was looked at, and otherwise `uncertain` with the reason `not_covered`.
    Damaged windows were not looked at, nor were `unread_seconds` that play but cannot be decoded. One window that
    reaches the rule's `suspicious_score` also makes `real` into `uncertain`, with the reason `suspicious_window`, even
    where too little was looked at.
    """
    windows = tuple(_calibrated(score, rule) for score in sorted(scores, key=lambda s: s.window.start_seconds))
    if not windows:
        raise ValueError("a track without windows")
    looked_at = [answer.window for answer in windows if answer.score.skipped != "damaged"]
    found = measure(looked_at, duration_seconds)
    all_was_read = len(looked_at) == len(windows) and unread_seconds <= _SLACK_SECONDS
    is_covered = all_was_read and coverage.allows_real(found.longest_gap_seconds)
    scored = [(max(answer.score.logits) / rule.temperature, answer) for answer in windows if answer.score.logits]
    if not scored:
        reason = Counter(answer.score.skipped for answer in windows).most_common(1)[0][0]
        return Judgement("not_applicable", None, rule.fake_from, windows, found, is_covered, reason)
    parts = _parts([logit for logit, _ in scored], part_windows)
    calibrated = max(_aggregate(part, rule.aggregation) for part in parts)
    probability = sigmoid(calibrated)
    agreed = _covers_all(windows, duration_seconds) or any(_agrees(part, rule) for part in parts)
    verdict = _verdict(probability, rule, fake_allowed=agreed)
    worst = max(scored, key=lambda pair: pair[0])[1]
    doubt = _doubt(worst.score, rule, is_covered=is_covered) if verdict == "real" else None
    return Judgement(
        verdict="uncertain" if doubt else verdict,
        fake_probability=probability,
        threshold=rule.fake_from,
        windows=windows,
        coverage=found,
        is_covered=is_covered,
        reason=doubt,
        log_odds=calibrated * rule.temperature,
        worst=worst,
    )


def sigmoid(logit: float) -> float:
    """Probability of log-odds; does not overflow."""
    if logit >= 0:
        return 1 / (1 + math.exp(-logit))
    return math.exp(logit) / (1 + math.exp(logit))


def _calibrated(score: WindowScore, rule: VerdictRule) -> WindowAnswer:
    probabilities = tuple(sigmoid(logit / rule.temperature) for logit in score.logits)
    faces = probabilities if score.faces else ()
    return WindowAnswer(score, max(probabilities, default=None), faces)


def _parts(logits: Sequence[float], windows: int | None) -> list[Sequence[float]]:
    """Every run of `windows` neighbours, or all of fewer."""
    if windows is None or len(logits) <= windows:
        return [logits]
    return [logits[start : start + windows] for start in range(len(logits) - windows + 1)]


def _agrees(part: Sequence[float], rule: VerdictRule) -> bool:
    """True if the part is fake as a whole, and so are enough of its windows."""
    reached = sum(sigmoid(logit) >= rule.fake_from for logit in part)
    return reached >= rule.fake_windows and sigmoid(_aggregate(part, rule.aggregation)) >= rule.fake_from


def _aggregate(logits: Sequence[float], aggregation: Aggregation) -> float:
    if aggregation == "mean":
        return math.fsum(logits) / len(logits)
    count = min(len(logits), max(2, math.ceil(len(logits) / 4)))
    return math.fsum(sorted(logits, reverse=True)[:count]) / count


def _covers_all(windows: Sequence[WindowAnswer], duration_seconds: float) -> bool:
    return len(windows) == 1 and windows[0].window.duration_seconds >= duration_seconds - _SLACK_SECONDS


def _doubt(worst: WindowScore, rule: VerdictRule, *, is_covered: bool) -> VerdictReason | None:
    """Return why a track is not `real` although its windows as a whole are."""
    if rule.suspicious_score is not None and sigmoid(max(worst.logits)) >= rule.suspicious_score:
        return "suspicious_window"
    return None if is_covered else "not_covered"


def _verdict(probability: float, rule: VerdictRule, *, fake_allowed: bool) -> Verdict:
    if probability < rule.real_below:
        return "real"
    if probability < rule.fake_from or not fake_allowed:
        return "uncertain"
    return "fake"
