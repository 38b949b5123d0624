"""The pictures that people get of an analysis: which windows they show, and which faces are outlined."""

from __future__ import annotations

from typing import Final

from sentinel_worker.domain.derived import Filmstrip, Picture, Still
from sentinel_worker.domain.verdict import Judgement, WindowAnswer
from sentinel_worker.domain.windows import Window
from sentinel_worker.inference.analysis import Analysis

MOST_WORST: Final = 3
"""Most frames of windows that look fake."""


def wanted_pictures(analysis: Analysis) -> dict[str, Picture]:
    """Return the pictures by name; none for a file with only sound.

    `thumbnail` is of the window in the middle, `filmstrip` of all. `worst_frame` is of the window with the highest
    probability; `worst_frame_2` and `worst_frame_3` follow it if they reach the threshold. `worst_faces` is the first
    of them with its faces outlined.
    """
    facts = analysis.facts
    if facts.kind == "audio":
        return {}
    middle = facts.duration_seconds / 2
    if analysis.pictures is None:
        return {"thumbnail": Still(middle)}
    judgement = analysis.pictures.judgement
    windows = tuple(answer.window for answer in judgement.windows)
    found: dict[str, Picture] = {"thumbnail": Still(middle, min(windows, key=lambda window: _distance(window, middle)))}
    worst = worst_windows(judgement)
    if facts.kind == "video":
        for number, answer in enumerate(worst, 1):
            found["worst_frame" if number == 1 else f"worst_frame_{number}"] = _still(answer)
        found["filmstrip"] = Filmstrip(windows)
    if worst and worst[0].score.faces:
        found["worst_faces"] = _still(worst[0], outlined=True)
    return found


def worst_windows(judgement: Judgement) -> list[WindowAnswer]:
    """The scored windows with the highest probability, the highest first: one, and more that reach the threshold."""
    scored = [(answer.fake_probability, answer) for answer in judgement.windows if answer.fake_probability is not None]
    ranked = sorted(scored, key=lambda pair: -pair[0])[:MOST_WORST]
    return [answer for rank, (value, answer) in enumerate(ranked) if rank == 0 or value >= judgement.threshold]


def _still(answer: WindowAnswer, *, outlined: bool = False) -> Still:
    faces, probabilities = answer.score.faces, answer.face_probabilities
    worst = probabilities.index(max(probabilities)) if outlined and probabilities else None
    return Still(_middle(answer.window), answer.window, faces if outlined else (), worst)


def _middle(window: Window) -> float:
    return (window.start_seconds + window.end_seconds) / 2


def _distance(window: Window, seconds: float) -> float:
    return abs(_middle(window) - seconds)
