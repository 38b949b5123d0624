"""The two pages: complete, closed to the outside, and safe from the names in them."""

from __future__ import annotations

import base64
import io
import re
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from sentinel_worker.evaluation.evaluate import evaluate
from sentinel_worker.reports import analysis_page, evaluation_page
from tests.integration.evaluation.test_evaluate import RULE, TODAY, overconfident

HOSTILE = '<script>alert("x")</script>\udcff.mp4'
DETECTOR = {
    "key": "tiny",
    "repository": "someone/<b>bold</b>",
    "revision": "0" * 40,
    "licence": "MIT",
    "labels": {"0": "real", "1": "fake"},
    "fake_indices": [1],
    "fake_indices_source": "names",
    "real_below": 0.33,
    "calibrated": False,
    "device": "cpu",
    "dtype": "float32",
}
MEDIA = {
    "kind": "video",
    "container": "mp4",
    "video_codec": "h264",
    "width": 64,
    "height": 48,
    "frames_per_second": 25.0,
    "duration_seconds": 12.0,
    "has_audio": True,
    "audio_codec": "aac",
    "sample_rate": 44100,
    "channels": 2,
    "size_bytes": 12345,
    "sha256": "a" * 64,
}
FACE = {"box": [0.1, 0.2, 0.5, 0.7], "score": 0.9, "fake_probability": 0.91}


def document(**changes: Any) -> dict[str, Any]:
    timeline = [
        {"start_seconds": 0.0, "end_seconds": 4.0, "fake_probability": 0.91, "faces": [FACE]},
        {"start_seconds": 4.0, "end_seconds": 8.0, "fake_probability": None, "skipped": "no_face"},
    ]
    answer = {"verdict": "fake", "fake_probability": 0.91, "threshold": 0.5, "reason": None}
    return {
        "source": "film.mp4",
        "verdict": "fake",
        "fake_probability": 0.91,
        "threshold": 0.5,
        "verdict_reason": None,
        "detector": DETECTOR,
        "timeline": timeline,
        "faces": {"windows": 2, "windows_with_faces": 1, "most_in_a_window": 1},
        "frames": answer,
        "audio": answer | {"verdict": "real", "fake_probability": 0.2, "detector": DETECTOR, "timeline": timeline[:1]},
        "media": MEDIA,
        "derived": {},
        "timings": {"fetching": 0.1, "analyzing": 2.0},
        "notice": "Only for <i>tests</i>.",
    } | changes


@pytest.fixture
def jpeg(tmp_path: Path) -> Path:
    path = tmp_path / "worst_frame.jpg"
    Image.new("RGB", (64, 48), "teal").save(path)
    return path


def closed(page: str) -> None:
    """Nothing is fetched, and nothing runs."""
    assert "default-src 'none'" in page
    assert "<script" not in page
    assert not re.findall(r"""(?:src|href|srcset)=["'](?!data:|#)""", page)


def pngs(page: str) -> list[Image.Image]:
    return [
        Image.open(io.BytesIO(base64.b64decode(one))) for one in re.findall(r"data:image/png;base64,([^\"]+)", page)
    ]


def test_names_are_text_and_the_page_stands_alone(jpeg: Path, tmp_path: Path) -> None:
    page = analysis_page.page([(document(source=HOSTILE), {"worst_frame": jpeg})])
    closed(page)
    assert "&lt;script&gt;" in page
    assert "<b>bold" not in page
    assert "<i>tests" not in page
    analysis_page.write(tmp_path / "page.html", [(document(source=HOSTILE), {"worst_frame": jpeg})])
    assert "&lt;script&gt;" in (tmp_path / "page.html").read_text()


def test_evidence_is_on_the_page(jpeg: Path) -> None:
    page = analysis_page.page([(document(), {"worst_frame": jpeg})])
    for said in ("0.910", "film.mp4", "a" * 64, "h264", "0 = real, 1 = fake", "no proof", "left:10.00%", "1 of 2"):
        assert said in page, said
    assert len(pngs(page)) == 4  # pictures and sound, light and dark
    for drawn in pngs(page):
        colours = drawn.convert("RGB").getcolors(1 << 20)
        assert colours is not None
        assert len(colours) > 10


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"verdict": "real", "fake_probability": 0.1}, "below 0.33"),
        ({"verdict": "uncertain", "fake_probability": 0.4, "audio": None}, "not low enough"),
        ({"verdict": "uncertain", "fake_probability": 0.6, "audio": None}, "too few windows"),
        (
            {
                "verdict": "not_applicable",
                "fake_probability": None,
                "verdict_reason": "no_face",
                "audio": None,
                "timeline": [
                    {"start_seconds": 0.0, "end_seconds": 4.0, "fake_probability": None, "skipped": "no_face"}
                ],
            },
            "no face was found",
        ),
        ({"audio": {"error_code": "media_unreadable"}}, "media_unreadable"),
        ({"frames": None, "media": MEDIA | {"kind": "audio", "width": 0}, "faces": None}, "Sound over time"),
        (
            {
                "media": MEDIA | {"kind": "image", "duration_seconds": 0.0, "has_audio": False},
                "audio": None,
                "timeline": [{"start_seconds": 0.0, "end_seconds": 0.0, "fake_probability": 0.91, "faces": [FACE]}],
            },
            "0.910",
        ),
    ],
)
def test_every_kind_of_answer(changes: dict[str, Any], said: str) -> None:
    page = analysis_page.page([(document(**changes), {})])
    closed(page)
    assert said in page


def test_a_failed_file_is_a_row_and_not_a_fault() -> None:
    failed = {"source": "x.txt", "error_code": "media_not_supported", "error_message": "It looks like a text."}
    page = analysis_page.page([(failed, {}), (document(), {})])
    assert "It looks like a text." in page
    assert "Analysis of 2 files" in page


def test_the_page_of_an_evaluation(tmp_path: Path) -> None:
    evaluation = evaluate(overconfident(240), RULE, "tiny", today=TODAY, replicates=20)
    page_path = evaluation_page.write(evaluation, DETECTOR | {"notice": "<b>x</b>"}, tmp_path)
    page = page_path.read_text()
    closed(page)
    assert "<b>x" not in page
    for value in evaluation.after.metrics.as_dict().values():
        assert f"{value:.3f}" in page
    assert f"{evaluation.calibration.temperature:.3f}" in page
    assert "[detectors.tiny]" in page
    assert {path.name for path in tmp_path.iterdir()} == {
        *("report.html", "calibration.json", "reliability.png", "roc.png", "scores.png")
    }
    assert len(pngs(page)) == 6
