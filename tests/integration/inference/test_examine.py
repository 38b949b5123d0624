"""From a file to its answer and evidence, through a real decoding child."""

from __future__ import annotations

import os
import signal
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from examples.samples import film_path
from sentinel_worker.domain.errors import Permanent
from sentinel_worker.domain.windows import CoverageRule
from sentinel_worker.media.child_client import Child
from tests.integration.inference.conftest import Examine
from tests.integration.media.sound_files import retimed, with_longer_packets

WORST_FRAMES = ("worst_frame", "worst_frame_2", "worst_frame_3")
pytestmark = pytest.mark.asyncio(loop_scope="module")

BLACK, WHITE = "color=black:s=64x48:r=25", "color=white:s=64x48:r=25"
LOW, SHRILL, SILENT = "sine=100", "sine=4000", "anullsrc=r=44100"


def film(path: Path, pictures: str, sound: str | None = None, seconds: float = 2, *options: str) -> Path:
    """Make a film from these pictures and this sound, both named as lavfi sources."""
    inputs = ["-f", "lavfi", "-i", pictures] + (["-f", "lavfi", "-i", sound] if sound else [])
    codecs = ["-c:v", "libx264", "-pix_fmt", "yuv420p", "-g", "25", "-c:a", "aac"]
    command = ["ffmpeg", "-v", "error", "-nostdin", "-y", *inputs, "-t", str(seconds), *codecs, *options, str(path)]
    subprocess.run(command, check=True)
    return path


def tone(path: Path, sound: str, seconds: float) -> Path:
    subprocess.run(["ffmpeg", "-v", "error", "-f", "lavfi", "-i", sound, "-t", str(seconds), str(path)], check=True)
    return path


def picture(path: Path, colour: str) -> Path:
    Image.new("RGB", (40, 30), colour).save(path)
    return path


async def test_a_still_picture_has_one_window_without_length(examine: Examine, tmp_path: Path) -> None:
    found = await examine(picture(tmp_path / "white.png", "white"), "stills")
    document = found.document
    assert (document["verdict"], document["media"]["kind"]) == ("fake", "image")
    (window,) = document["timeline"]
    assert (window["start_seconds"], window["end_seconds"]) == (0, 0)
    assert document["audio"] == {"reason": "no_sound"}
    assert (document["coverage"], document["longest_gap_seconds"]) == (1, 0)
    assert document["frames"]["verdict"] == "fake"
    assert (await examine(picture(tmp_path / "black.jpg", "black"), "stills")).document["verdict"] == "real"


async def test_pictures_for_people_are_kept_where_it_is_asked_for(examine: Examine, tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    kept.mkdir()
    moving = await examine(film(tmp_path / "f.mp4", WHITE), "clips", keep=kept)
    assert list(moving.document["derived"]) == ["thumbnail", *WORST_FRAMES, "filmstrip"]
    assert all(path.read_bytes()[8:12] == b"WEBP" for path in moving.pictures.values())
    still = await examine(picture(tmp_path / "p.png", "white"), "stills", keep=kept)
    assert set(still.document["derived"]) == {"thumbnail"}


async def test_an_animation_asked_for_as_an_image_is_looked_at_frame_by_frame(examine: Examine, tmp_path: Path) -> None:
    path = film(tmp_path / "a.gif", WHITE, None, 2, "-c:v", "gif", "-pix_fmt", "rgb8")
    found = await examine(path, "stills", kind="image")
    assert found.document["verdict"] == "fake"
    assert len(found.document["timeline"]) == 4


@pytest.mark.parametrize(
    ("pictures", "sound", "verdict", "parts"),
    [
        (BLACK, LOW, "real", ("real", "real")),
        (BLACK, SHRILL, "fake", ("real", "fake")),
        (WHITE, LOW, "fake", ("fake", "real")),
        (BLACK, SILENT, "real", ("real", "not_applicable")),
    ],
)
async def test_sound_is_judged_beside_the_pictures_and_both_are_kept(
    examine: Examine, tmp_path: Path, pictures: str, sound: str, verdict: str, parts: tuple[str, str]
) -> None:
    document = (await examine(film(tmp_path / "t.mp4", pictures, sound), "clips", "sound")).document
    assert document["verdict"] == verdict
    assert (document["frames"]["verdict"], document["audio"]["verdict"]) == parts
    probabilities = [document[name]["fake_probability"] for name in ("frames", "audio")]
    assert document["fake_probability"] == max(p for p in probabilities if p is not None)
    assert document["audio"]["detector"]["key"] == "sound"
    assert len(document["audio"]["timeline"]) >= 2
    assert document["notice"] == "Tones alone."
    if sound == SILENT:
        assert document["audio"]["reason"] == "silence"
        assert {window["skipped"] for window in document["audio"]["timeline"]} == {"silence"}


@pytest.mark.parametrize(("fate", "code"), [(signal.SIGSEGV, "media_unreadable"), (signal.SIGSTOP, "decoder_timeout")])
async def test_a_decoder_that_dies_of_the_sound_or_hangs_costs_neither_verdict_nor_request(
    examine: Examine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fate: signal.Signals, code: str
) -> None:
    listen = Child.sounds

    def deadly(child: Child, *arguments: Any) -> Any:
        os.kill(child.pid, fate)
        if fate == signal.SIGSTOP:  # only here: a crash may take longer to be noticed
            child._limits = replace(child._limits, max_wall_seconds=0.1)
        return listen(child, *arguments)

    monkeypatch.setattr(Child, "sounds", deadly)
    document = (await examine(film(tmp_path / "t.mp4", BLACK, LOW), "closer", "sound", keep=tmp_path)).document
    assert (document["frames"]["verdict"], document["frames"]["reason"]) == ("real", None)
    assert (document["verdict"], document["verdict_reason"]) == ("uncertain", "not_covered"), "the sound plays"
    unheard = {"coverage": 0, "longest_gap_seconds": pytest.approx(2, abs=0.1)}
    assert document["audio"] == {"reason": "unreadable", "error_code": code} | unheard
    assert {name: document[name] for name in unheard} == unheard
    assert document["derived"] == {}


async def test_the_end_of_sound_is_heard_whatever_its_stamps_say(examine: Examine, tmp_path: Path) -> None:
    path, last_is_shrill = tmp_path / "squeezed.mkv", "aevalsrc=0.5*sin(2*PI*if(gt(t\\,6)\\,4000\\,100)*t)"
    retimed(8, 10, "-c:a", "flac", source=last_is_shrill)(path)
    document = (await examine(path, "sound")).document
    assert [window["fake_probability"] > 0.5 for window in document["timeline"]] == [False] * 3 + [True]


async def test_sound_that_plays_behind_its_length_is_never_real(examine: Examine, tmp_path: Path) -> None:
    with_longer_packets(path := tmp_path / "lengthening.mka")
    document = (await examine(path, "sound")).document
    assert (document["verdict"], document["verdict_reason"]) == ("uncertain", "not_covered")


async def test_sound_that_no_detector_is_loaded_for_was_not_looked_at(examine: Examine, tmp_path: Path) -> None:
    document = (await examine(film(tmp_path / "t.mp4", BLACK, LOW), "clips")).document
    assert (document["verdict"], document["coverage"]) == ("real", document["frames"]["coverage"])
    unheard = {"coverage": 0, "longest_gap_seconds": pytest.approx(2, abs=0.1)}
    assert document["audio"] == {"reason": "no_detector"} | unheard
    assert (await examine(film(tmp_path / "mute.mp4", BLACK), "clips")).document["audio"] == {"reason": "no_sound"}
    named = (await examine(tmp_path / "t.mp4", "clips", "sound", key="clips")).document
    assert named["audio"] == {"reason": "not_asked"} | unheard


@pytest.mark.parametrize(
    ("most", "windows", "longest", "verdict", "reason"),
    [(100, 21, 2, "real", None), (16, 16, 3, "real", None), (9, 9, 4.3, "uncertain", "not_covered")],
)
async def test_a_long_film_is_looked_at_as_closely_as_promised(
    examine: Examine, tmp_path: Path, most: int, windows: int, longest: float, verdict: str, reason: str | None
) -> None:
    path, rule = film(tmp_path / "long.mp4", BLACK, LOW, 45), CoverageRule(2, most, 3)
    document = (await examine(path, "clips", "sound", coverage=rule)).document
    assert (document["verdict"], document["verdict_reason"]) == (verdict, reason)
    assert len(document["timeline"]) == windows
    for track in (document["frames"], document["audio"]):
        assert longest - 1.2 <= track["longest_gap_seconds"] <= longest
        assert (track["verdict"], track["reason"]) == (verdict, reason)
    assert document["coverage"] == document["frames"]["coverage"] == pytest.approx(windows * 0.32 / 45, rel=0.02)
    assert document["audio"]["coverage"] > document["coverage"]


async def test_one_damaged_window_is_listed_and_leaves_no_real(examine: Examine, tmp_path: Path) -> None:
    path = film(tmp_path / "noise.mp4", "nullsrc=s=320x240:r=25,geq=random(1)*60:128:128", None, 8, "-g", "10")
    assert (await examine(path, "clips")).document["verdict"] == "real"
    content = bytearray(path.read_bytes())
    start, length = content.index(b"mdat") + 4, len(content) // 4
    content[start + length : start + length + 2 * length] = bytes(2 * length)
    path.write_bytes(content)
    document = (await examine(path, "clips")).document
    skipped = [window.get("skipped") for window in document["timeline"]]
    assert len(skipped) == 8
    assert skipped.count("damaged") >= 3
    assert (document["verdict"], document["verdict_reason"]) == ("uncertain", "not_covered")
    assert document["longest_gap_seconds"] > 3


async def test_a_file_with_only_sound_is_answered_without_pictures(examine: Examine, tmp_path: Path) -> None:
    path = tone(tmp_path / "tone.mp3", SHRILL, 0.4)
    found = await examine(path, "clips", "sound", keep=tmp_path)
    assert (found.document["verdict"], found.document["frames"], found.document["derived"]) == ("fake", None, {})
    (window,) = found.document["timeline"]
    assert window["end_seconds"] == pytest.approx(0.4, abs=0.1)
    assert window["heard_seconds"] == pytest.approx(0.4, abs=0.05), "it was repeated to fill the window"
    assert "channel" not in window


async def test_what_was_heard_of_a_window_stands_in_the_timeline(examine: Examine, tmp_path: Path) -> None:
    inverted = "aevalsrc='0.5*sin(8000*PI*t)|-0.5*sin(8000*PI*t)':s=44100:d=2.1"
    windows = (await examine(tone(tmp_path / "t.wav", inverted, 2.1), "sound")).document["timeline"]
    assert len(windows) > 1
    assert [window["channel"] for window in windows] == [1] * len(windows)
    assert not any("heard_seconds" in window for window in windows)
    beside_pictures = (await examine(film(tmp_path / "t.mp4", BLACK, inverted), "clips", "sound")).document["audio"]
    assert all(window["channel"] in (1, 2) for window in beside_pictures["timeline"])


async def test_the_film_of_a_request_for_sound_is_only_listened_to(examine: Examine, tmp_path: Path) -> None:
    found = await examine(film(tmp_path / "t.mp4", WHITE, LOW), "clips", "sound", kind="audio")
    assert (found.document["verdict"], found.document["frames"]) == ("real", None)


async def test_one_picture_in_a_film_is_looked_at_by_the_detector_of_frames(examine: Examine, tmp_path: Path) -> None:
    path = film(tmp_path / "one.mp4", WHITE, None, 2, "-frames:v", "1")
    document = (await examine(path, "clips", "frames")).document
    assert (document["verdict"], document["detector"]["key"]) == ("fake", "frames")
    assert document["detector"]["instead_of"] == "clips"
    alone = (await examine(path, "clips")).document
    assert (alone["verdict"], alone["detector"]["key"]) == ("fake", "clips")
    assert "instead_of" not in alone["detector"]


async def test_a_closer_look_goes_where_it_looked_most_fake(examine: Examine, tmp_path: Path) -> None:
    ends_white = "color=black:s=64x48:r=25,drawbox=t=fill:c=white:enable='gt(t,9)'"
    document = (
        await examine(film(tmp_path / "end.mp4", ends_white, None, 10, "-g", "999", "-sc_threshold", "0"), "closer")
    ).document
    starts = [window["start_seconds"] for window in document["timeline"]]
    assert starts == pytest.approx([0.0, 9.36, 9.52, 9.68], abs=0.041)
    assert [window["fake_probability"] > 0.5 for window in document["timeline"]] == [False, True, True, True]


async def test_faces_are_scored_apart_and_windows_without_one_are_marked(examine: Examine) -> None:
    document = (await examine(film_path("carphone_pristine.mp4"), "faces")).document
    assert document["faces"]["windows_with_faces"] == document["faces"]["windows"] == len(document["timeline"])
    for window in document["timeline"]:
        assert len(window["faces"]) == 1
        left, top, right, bottom = window["faces"][0]["box"]
        assert 0 <= left < right <= 1
        assert 0 <= top < bottom <= 1
        assert window["fake_probability"] == max(face["fake_probability"] for face in window["faces"])
    assert document["verdict"] != "not_applicable"


async def test_without_a_face_the_answer_is_not_applicable_and_never_real(examine: Examine, tmp_path: Path) -> None:
    path = film(tmp_path / "mandelbrot.mp4", "mandelbrot=s=320x240:r=25", None, 2)
    document = (await examine(path, "faces")).document
    assert (document["verdict"], document["fake_probability"]) == ("not_applicable", None)
    assert document["verdict_reason"] == "no_face"
    assert {window["skipped"] for window in document["timeline"]} == {"no_face"}
    assert document["faces"]["windows_with_faces"] == 0


async def test_progress_rises_to_the_end(examine: Examine, tmp_path: Path) -> None:
    seen: list[float] = []
    await examine(film(tmp_path / "t.mp4", BLACK, LOW, 4), "clips", "sound", on_progress=seen.append)
    assert seen == sorted(seen)
    assert seen[-1] == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("keys", "code"), [(("stills",), "detector_unavailable"), (("sound",), "detector_unavailable")]
)
async def test_a_film_that_no_detector_here_takes(
    examine: Examine, tmp_path: Path, keys: tuple[str, ...], code: str
) -> None:
    with pytest.raises(Permanent) as refused:
        await examine(film(tmp_path / "f.mp4", BLACK), *keys)
    assert refused.value.code == code


async def test_the_evidence_is_json_of_a_known_shape(examine: Examine, tmp_path: Path) -> None:
    document: dict[str, Any] = (await examine(film(tmp_path / "t.mp4", BLACK, LOW), "clips", "sound")).document
    assert set(document) == {
        *("verdict", "fake_probability", "threshold", "verdict_reason", "coverage", "longest_gap_seconds"),
        *("detector", "timeline", "faces", "frames"),
        *("audio", "media", "derived", "timings", "notice"),
    }
    assert "keyframe_seconds" not in document["media"]
    assert len(document["media"]["sha256"]) == 64
    assert set(document["timings"]) == {"fetching", "probing", "analyzing", "deriving"}
