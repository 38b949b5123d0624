"""One answer about a file from the judgements of its tracks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from sentinel_worker.domain.coverage import Coverage, worst_of
from sentinel_worker.domain.verdict import Judgement, Verdict, VerdictReason

_SEVERITY: tuple[Verdict, ...] = ("not_applicable", "real", "uncertain", "fake")


@dataclass(frozen=True, slots=True)
class Overall:
    """The answer about a file: the judgement of its pictures, raised by its sound.

    `coverage` is the worst of the tracks that were to be judged.
    """

    verdict: Verdict
    fake_probability: float | None
    threshold: float
    reason: VerdictReason | None
    coverage: Coverage


def fuse(pictures: Judgement | None, sound: Judgement | None, *, unheard_seconds: float = 0.0) -> Overall:
    """Combine the judgements about pictures and sound into one answer; raises ValueError without either.

    The probability is the larger one, the verdict the more severe one, and the threshold comes from the track that
    decided. Sound can only raise: without a face to look at, a real soundtrack does not make the video real. Silence
    decides nothing. `unheard_seconds` of sound were to be judged and could not be read: the file is not `real`. Of two
    reasons against `real`, a suspicious window counts more than a part that was not looked at.
    """
    judged = [track for track in (pictures, sound) if track is not None]
    if not judged:
        raise ValueError("nothing was judged")
    tracks = [track.coverage for track in judged]
    if unheard_seconds > 0:
        tracks.append(Coverage(0.0, unheard_seconds))
    first = judged[0]
    overall = Overall(first.verdict, first.fake_probability, first.threshold, first.reason, worst_of(tracks))
    if pictures is not None and sound is not None:
        overall = _raised(overall, pictures, sound)
    if overall.verdict == "real" and (unheard_seconds > 0 or not all(track.is_covered for track in judged)):
        overall = replace(overall, verdict="uncertain", reason="not_covered")
    if overall.reason == "not_covered":
        overall = replace(overall, reason=_reason(judged))
    return overall


def _reason(judged: Sequence[Judgement]) -> VerdictReason | None:
    """Return why a file is `uncertain` of which too little was looked at: that alone, or something that weighs more."""
    if any(track.reason == "suspicious_window" for track in judged):
        return "suspicious_window"
    uncertain_by_score = any(track.verdict == "uncertain" and track.reason is None for track in judged)
    return None if uncertain_by_score else "not_covered"


def _raised(overall: Overall, pictures: Judgement, sound: Judgement) -> Overall:
    """Raise the answer about the pictures by the sound."""
    if sound.fake_probability is None:
        return overall
    if pictures.fake_probability is None and (sound.verdict == "real" or sound.reason == "not_covered"):
        return overall
    seen = pictures.fake_probability or 0.0
    heard_worse = (_SEVERITY.index(sound.verdict), sound.fake_probability) > (_SEVERITY.index(pictures.verdict), seen)
    overall = replace(overall, fake_probability=max(seen, sound.fake_probability))
    if heard_worse:
        overall = replace(overall, verdict=sound.verdict, threshold=sound.threshold, reason=sound.reason)
    return overall
