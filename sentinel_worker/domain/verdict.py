"""The way from the logits of the windows to one probability and one verdict. Pure arithmetic, no torch."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from sentinel_worker.domain.media_facts import Face, Heard, SkipReason
from sentinel_worker.domain.windows import Window

Verdict = Literal["fake", "real", "uncertain", "not_applicable"]
Aggregation = Literal["mean", "top_k"]

_SEVERITY: tuple[Verdict, ...] = ("not_applicable", "real", "uncertain", "fake")
# A window that leaves out less than this is the whole video: durations are rounded decimals.
_SLACK_SECONDS = 0.001


@dataclass(frozen=True, slots=True)
class VerdictRule:
    """A detector's rule for turning windows into a verdict.

    `mean` averages all logits; `top_k` the k highest, k = min(n, max(2, ceil(n / 4))), never only the highest of many,
    which grows with the length of the video. Logits are divided by `temperature` first. A probability below
    `real_below` is `real`, from `fake_from` on it is `fake`, and between them `uncertain`. `fake` also needs
    `fake_windows` windows that each reach `fake_from`, unless the only window is the whole video.
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
            raise ValueError("a verdict rule needs a positive temperature and fake_windows of at least 0")


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
    with the highest probability.
    """

    verdict: Verdict
    fake_probability: float | None
    threshold: float
    windows: tuple[WindowAnswer, ...]
    reason: SkipReason | None = None
    log_odds: float | None = None
    worst: WindowAnswer | None = None


@dataclass(frozen=True, slots=True)
class Overall:
    """The answer about a file: the judgement of its pictures, raised by its sound."""

    verdict: Verdict
    fake_probability: float | None
    threshold: float
    reason: SkipReason | None


def judge(scores: Iterable[WindowScore], duration_seconds: float, rule: VerdictRule) -> Judgement:
    """Judge a track of `duration_seconds` by its windows; raises ValueError without any.

    A window counts with its worst face. Skipped windows are listed but not counted; if all are skipped, the verdict is
    `not_applicable`. If most windows are damaged, the rest cannot make it `real`.
    """
    windows = tuple(_calibrated(score, rule) for score in sorted(scores, key=lambda s: s.window.start_seconds))
    if not windows:
        raise ValueError("a track without windows")
    scored = [(max(answer.score.logits) / rule.temperature, answer) for answer in windows if answer.score.logits]
    if not scored:
        reasons = Counter(answer.score.skipped for answer in windows)
        return Judgement("not_applicable", None, rule.fake_from, windows, reason=reasons.most_common(1)[0][0])
    logits = [logit for logit, _ in scored]
    calibrated = _aggregate(logits, rule.aggregation)
    probability = sigmoid(calibrated)
    enough = _covers_all(windows, duration_seconds) or (
        sum(sigmoid(logit) >= rule.fake_from for logit in logits) >= rule.fake_windows
    )
    verdict = _verdict(probability, rule, fake_allowed=enough)
    if verdict == "real" and 2 * sum(answer.score.skipped == "damaged" for answer in windows) > len(windows):
        verdict = "uncertain"
    return Judgement(
        verdict=verdict,
        fake_probability=probability,
        threshold=rule.fake_from,
        windows=windows,
        log_odds=calibrated * rule.temperature,
        worst=max(scored, key=lambda pair: pair[0])[1],
    )


def fuse(pictures: Judgement | None, sound: Judgement | None) -> Overall:
    """Combine the judgements about pictures and sound into one answer; raises ValueError without either.

    The probability is the larger one, the verdict the more severe one, and the threshold comes from the track that
    decided. Sound can only raise: without a face to look at, a real soundtrack does not make the video real. Silence
    decides nothing.
    """
    first = pictures or sound
    if first is None:
        raise ValueError("nothing was judged")
    overall = Overall(first.verdict, first.fake_probability, first.threshold, first.reason)
    if pictures is None or sound is None or sound.fake_probability is None:
        return overall
    if pictures.fake_probability is None and sound.verdict == "real":
        return overall
    seen = pictures.fake_probability or 0.0
    heard_worse = (_SEVERITY.index(sound.verdict), sound.fake_probability) > (_SEVERITY.index(pictures.verdict), seen)
    overall = replace(overall, fake_probability=max(seen, sound.fake_probability))
    if heard_worse:
        overall = replace(overall, verdict=sound.verdict, threshold=sound.threshold, reason=None)
    return overall


def sigmoid(logit: float) -> float:
    """Probability of log-odds; does not overflow."""
    if logit >= 0:
        return 1 / (1 + math.exp(-logit))
    return math.exp(logit) / (1 + math.exp(logit))


def _calibrated(score: WindowScore, rule: VerdictRule) -> WindowAnswer:
    probabilities = tuple(sigmoid(logit / rule.temperature) for logit in score.logits)
    faces = probabilities if score.faces else ()
    return WindowAnswer(score, max(probabilities, default=None), faces)


def _aggregate(logits: Sequence[float], aggregation: Aggregation) -> float:
    if aggregation == "mean":
        return math.fsum(logits) / len(logits)
    count = min(len(logits), max(2, math.ceil(len(logits) / 4)))
    return math.fsum(sorted(logits, reverse=True)[:count]) / count


def _covers_all(windows: Sequence[WindowAnswer], duration_seconds: float) -> bool:
    return len(windows) == 1 and windows[0].window.duration_seconds >= duration_seconds - _SLACK_SECONDS


def _verdict(probability: float, rule: VerdictRule, *, fake_allowed: bool) -> Verdict:
    if probability < rule.real_below:
        return "real"
    if probability < rule.fake_from or not fake_allowed:
        return "uncertain"
    return "fake"
