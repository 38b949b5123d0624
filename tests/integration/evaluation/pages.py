"""Results of every kind that the pages of `analyze` and `evaluate` may show.

`python -m tests.integration.evaluation.pages FOLDER` writes both pages there for a look.
"""

from __future__ import annotations

import datetime
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PIL import Image, ImageDraw

from sentinel_worker.domain.verdict import VerdictRule
from tests.integration.evaluation.synthetic import overconfident, scored
from tests.lazy import lazy

if TYPE_CHECKING:
    from sentinel_worker.evaluation import evaluate
    from sentinel_worker.reports import analysis_page, evaluation_page
else:  # scikit-learn, torchmetrics and matplotlib
    evaluate = lazy("sentinel_worker.evaluation.evaluate")
    analysis_page = lazy("sentinel_worker.reports.analysis_page")
    evaluation_page = lazy("sentinel_worker.reports.evaluation_page")

HOSTILE = "<script>alert('x')</script>\"'&--><img src=x onerror=alert(1)>\udcff.mp4"
REVISION = "0123456789abcdef0123456789abcdef01234567"
DETECTOR: Mapping[str, Any] = {
    "key": "our-clips",
    "repository": "our-company/<b>clips</b>",
    "revision": REVISION,
    "licence": "Apache-2.0 & more",
    "labels": {"0": "<i>REAL</i>", "1": "FAKE"},
    "fake_indices": [1],
    "fake_indices_source": "label names",
    "calibrated": False,
    "real_below": 0.33,
    "fake_from": 0.5,
    "device": "cpu",
    "dtype": "float32",
}
SOUND_DETECTOR = {**DETECTOR, "key": "our-sound", "calibrated": True, "real_below": 0.21}

Result = dict[str, Any]
Found = tuple[Result, Mapping[str, Path]]


def window(start: float, probability: float | None, **more: Any) -> Result:
    return {"start_seconds": start, "end_seconds": start + 4.3, "fake_probability": probability, **more}


def face(left: float, top: float, right: float, bottom: float, probability: float) -> Result:
    return {"box": [left, top, right, bottom], "score": 0.9, "fake_probability": probability}


LOOKED_AT = {"coverage": 0.0412, "longest_gap_seconds": 15.0}
UNHEARD = {"error_code": "media_unreadable", "coverage": 0.0, "longest_gap_seconds": 75.5}


def media(kind: str, **more: Any) -> Result:
    facts = {"kind": kind, "container": "mp4", "sha256": "ab" * 32, "size_bytes": 1_234_567}
    if kind == "audio":
        facts |= {"container": "mp3", "duration_seconds": 75.5}
    else:
        facts |= {"width": 640, "height": 360, "video_codec": "h264", "duration_seconds": 75.5}
    return facts | more


def result(source: str, verdict: str, probability: float | None, **changes: Any) -> Result:
    """A document of a video whose sound was not scored."""
    timeline = [window(start * 15.0, share) for start, share in enumerate((0.123, 0.234, 0.345, 0.456, 0.567))]
    return {
        "source": source,
        "verdict": verdict,
        "fake_probability": probability,
        "threshold": 0.5,
        "verdict_reason": None,
        **LOOKED_AT,
        "detector": DETECTOR,
        "timeline": timeline,
        "faces": None,
        "frames": {"verdict": verdict, "fake_probability": probability, "threshold": 0.5, "reason": None} | LOOKED_AT,
        "audio": {"reason": "no_sound"},
        "media": media("video", frames_per_second=29.97),
        "derived": {},
        "timings": {"fetching": 0.12, "analyzing": 3.45},
        "notice": None,
    } | changes


def sound(verdict: str, probability: float | None, **changes: Any) -> Result:
    return {
        "verdict": verdict,
        "fake_probability": probability,
        "threshold": 0.6,
        "reason": None,
        "coverage": 0.151,
        "longest_gap_seconds": 35.7,
        "detector": SOUND_DETECTOR,
        "timeline": [window(0.0, 0.11), window(20.0, None, skipped="silence"), window(40.0, 0.876)],
    } | changes


def webp(path: Path, width: int = 640, height: int = 360) -> Path:
    picture = Image.linear_gradient("L").resize((width, height)).convert("RGB")
    ImageDraw.Draw(picture).ellipse((width * 0.55, height * 0.1, width * 0.7, height * 0.6), fill=(200, 160, 140))
    picture.save(path)
    return path


def found(folder: Path) -> list[Found]:
    """One result of each kind."""
    frame, portrait = webp(folder / "worst_frame.webp"), webp(folder / "thumbnail.webp", 360, 480)
    faces = [face(0.55, 0.1, 0.7, 0.6, 0.961), face(0.93, 0.0, 1.0, 0.12, 0.302)]
    windows = [
        window(0.0, 0.961, faces=faces),
        window(30.0, None, skipped="no_face"),
        window(60.0, 0.04, faces=[face(0.2, 0.2, 0.4, 0.5, 0.04)]),
    ]
    nothing = {"verdict": "not_applicable", "fake_probability": None, "threshold": 0.5, "reason": "no_face"}
    unjudged = [window(0.0, None, skipped="no_face"), window(30.0, None, skipped="no_face")]
    return [
        (
            result(
                HOSTILE,
                "fake",
                0.9612,
                timeline=windows,
                faces={"windows": 3, "windows_with_faces": 2, "most_in_a_window": 2},
                audio=sound("uncertain", 0.432),
                media=media("video", has_audio=True, audio_codec="aac", sample_rate=44100, channels=2),
                notice="Not for commercial use <u>at all</u>.",
            ),
            {"worst_frame": frame, "thumbnail": frame},
        ),
        (result("unsure.mp4", "uncertain", 0.4123), {}),
        (result("few.mp4", "uncertain", 0.777), {}),
        (result("plain.mp4", "uncertain", 0.00001, verdict_reason="not_covered", audio=UNHEARD), {}),
        (result("mute.mp4", "real", 0.00001, audio={"coverage": 0.0, "longest_gap_seconds": 75.5}), {}),
        (result("sparse.mp4", "uncertain", 0.1, verdict_reason="not_covered", longest_gap_seconds=200.0), {}),
        (
            result(
                "faceless.mp4",
                "not_applicable",
                None,
                verdict_reason="no_face",
                timeline=unjudged,
                frames=nothing,
                audio=sound("real", 0.101),
            ),
            {"thumbnail": frame},
        ),
        (
            result(
                "portrait.png",
                "fake",
                0.99999,
                timeline=[{**window(0.0, 0.99999, faces=[face(0.5, 0.1, 0.75, 0.6, 0.99999)]), "end_seconds": 0.0}],
                media=media("image", width=360, height=480, duration_seconds=0.0, frames_per_second=0.0),
            ),
            {"thumbnail": portrait},
        ),
        (
            result(
                "speech.mp3",
                "fake",
                0.876,
                frames=None,
                detector=SOUND_DETECTOR,
                timeline=sound("fake", 0.876)["timeline"],
                audio=sound("fake", 0.876),
                media=media("audio", has_audio=True, audio_codec="mp3", sample_rate=16000, channels=1),
            ),
            {},
        ),
        (
            {
                "source": "broken<b>.mp4",
                "error_code": "media_unreadable",
                "error_message": "The file <b> cannot be decoded.",
            },
            {},
        ),
    ]


def evaluation() -> evaluate.Evaluation:
    """200 files, one with a hostile name and a wrong verdict, and some without a probability."""
    files = [
        *overconfident(200, temperature=3.0, seed=4),
        scored(900, True, -30.0, name=HOSTILE, group="<em>group</em>"),
        scored(901, True, name="silent<b>.mp3", skipped="silence"),
        scored(902, False, name="broken<b>.mp4", failure="The file <b> is damaged."),
    ]
    rule = VerdictRule("top_k", fake_windows=2)
    today = datetime.date(2026, 5, 1)
    return evaluate.evaluate(files, rule, "our.clips", today=today, replicates=40, weights_sha256="ab" * 32)


def main() -> None:
    """Write both pages."""
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    analysis_page.write(folder / "analysis.html", found(folder))
    evaluation_page.write(evaluation(), DETECTOR, folder)


if __name__ == "__main__":
    main()
