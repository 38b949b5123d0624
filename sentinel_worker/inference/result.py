"""The evidence of a verdict, as `analysis_results` keeps it. Times are seconds, probabilities are P(fake), 0 to 1."""

import platform
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import torch

from sentinel_worker import __version__
from sentinel_worker.domain.coverage import Coverage
from sentinel_worker.domain.media_facts import Face, Heard
from sentinel_worker.domain.verdict import Judgement, WindowAnswer
from sentinel_worker.inference.analysis import Analysis
from sentinel_worker.inference.track_scoring import TrackAnalysis
from sentinel_worker.sources.fetched import Fetched

_NOT_EVIDENCE = frozenset({"keyframe_seconds"})


def document(
    analysis: Analysis, fetched: Fetched, derived: Mapping[str, str], seconds: Mapping[str, float]
) -> dict[str, Any]:
    """Return the `result` for `sentinel_finish`, as docs/frontend.md describes it."""
    overall, facts, main = analysis.overall, asdict(analysis.facts), analysis.main
    instead = {"instead_of": analysis.instead_of} if analysis.instead_of else {}
    return {
        "verdict": overall.verdict,
        "fake_probability": overall.fake_probability,
        "threshold": overall.threshold,
        "verdict_reason": overall.reason,
        **_coverage(overall.coverage),
        "detector": main.scorer.describe() | instead,
        "timeline": _timeline(
            main.judgement, analysis.facts.duration_seconds if analysis.pictures else analysis.facts.audio_seconds
        ),
        "faces": _faces(analysis.pictures),
        "frames": _answer(analysis.pictures.judgement) if analysis.pictures else None,
        "audio": _audio(analysis),
        "media": {name: value for name, value in facts.items() if name not in _NOT_EVIDENCE}
        | {"sha256": fetched.sha256, "size_bytes": fetched.size_bytes}
        | ({"source_url": fetched.source_url, "etag": fetched.etag} if fetched.source_url else {})
        | {"unreadable_frames": analysis.unreadable_frames},
        "derived": dict(derived),
        "timings": dict(seconds),
        "notice": " ".join(_notices(analysis, fetched)) or None,
    }


def software() -> dict[str, str]:
    """Versions behind a result, for operators: `document` goes to users and has none."""
    return {"worker": __version__, "torch": str(torch.__version__), "python": platform.python_version()}


def _answer(judgement: Judgement) -> dict[str, Any]:
    return {
        "verdict": judgement.verdict,
        "fake_probability": judgement.fake_probability,
        "threshold": judgement.threshold,
        "reason": judgement.reason,
        **_coverage(judgement.coverage),
    }


def _coverage(coverage: Coverage) -> dict[str, float]:
    return {"coverage": round(coverage.share, 6), "longest_gap_seconds": round(coverage.longest_gap_seconds, 3)}


def _timeline(judgement: Judgement, duration_seconds: float) -> list[dict[str, Any]]:
    """Return the windows in order. A still picture has one, from 0 to 0."""
    return [_window(answer, duration_seconds) for answer in judgement.windows]


def _window(answer: WindowAnswer, duration_seconds: float) -> dict[str, Any]:
    entry: dict[str, Any] = {
        "start_seconds": round(answer.window.start_seconds, 3),
        "end_seconds": round(min(answer.window.end_seconds, duration_seconds), 3),
        "fake_probability": answer.fake_probability,
    }
    if answer.score.skipped:
        entry["skipped"] = answer.score.skipped
    if answer.score.heard is not None:
        entry |= _heard(answer.score.heard)
    if answer.score.faces:
        found = zip(answer.score.faces, answer.face_probabilities, strict=True)
        entry["faces"] = [_face(face) | {"fake_probability": probability} for face, probability in found]
    return entry


def _heard(heard: Heard) -> dict[str, Any]:
    """Name what differs from a full window of all channels."""
    named = {"heard_seconds": heard.seconds, "channel": heard.channel}
    return {name: value for name, value in named.items() if value is not None}


def _face(face: Face) -> dict[str, Any]:
    """`box` is left, top, right, bottom, as fractions of the picture."""
    box = [round(side, 4) for side in (face.left, face.top, face.right, face.bottom)]
    return {"box": box, "score": round(face.score, 3)}


def _faces(pictures: TrackAnalysis | None) -> dict[str, Any] | None:
    """Count the windows with faces; None for detectors that do not look for faces."""
    if pictures is None or pictures.scorer.spec.faces is None:
        return None
    found = [len(answer.score.faces) for answer in pictures.judgement.windows]
    return {
        "windows": len(found),
        "windows_with_faces": sum(count > 0 for count in found),
        "most_in_a_window": max(found),
    }


def _audio(analysis: Analysis) -> dict[str, Any]:
    """Return the judgement of the sound, or the reason why it has none."""
    if not analysis.facts.has_audio:
        return {"reason": "no_sound"}
    if analysis.sound is None:
        failed = {"error_code": analysis.sound_error} if analysis.sound_error is not None else {}
        reason = "unreadable" if failed else analysis.unheard
        return {"reason": reason} | failed | _coverage(Coverage(0.0, analysis.facts.audio_seconds))
    judgement = analysis.sound.judgement
    timeline = _timeline(judgement, analysis.facts.audio_seconds)
    return _answer(judgement) | {"detector": analysis.sound.scorer.describe(), "timeline": timeline}


def _notices(analysis: Analysis, fetched: Fetched) -> list[str]:
    tracks = (track for track in (analysis.pictures, analysis.sound) if track is not None)
    said = [fetched.notice, *(track.scorer.spec.notice for track in tracks)]
    return list(dict.fromkeys(notice for notice in said if notice))
