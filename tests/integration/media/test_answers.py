"""The worker accepts from a child only answers to its question."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sentinel_worker.domain.derived import PreviewLimits
from sentinel_worker.domain.media_facts import (
    Clip,
    ClipGeometry,
    Face,
    FaceSearch,
    Heard,
    MediaLimits,
    Skipped,
    SoundGeometry,
)
from sentinel_worker.domain.windows import Window
from sentinel_worker.media.derived_protocol import MAX_PICTURE_BYTES, picture_bytes, preview_bytes
from sentinel_worker.media.expected_clips import ExpectedClips, beyond_limits, check_values
from sentinel_worker.media.protocol import MAX_KEYFRAMES, ProbedFacts, ProtocolError, read_facts
from sentinel_worker.media.received_files import keep_file

WINDOWS = [Window(0.0, 1.0), Window(1.0, 2.0)]
PICTURES = ClipGeometry(2, 0.1, "squash", 4, 4, 4, 4)
SOUND = SoundGeometry(samples=8)
WEBP = b"RIFF\x10\x00\x00\x00WEBPVP8 and so on"
MP4 = b"\x00\x00\x00\x20ftypisom and so on"
FACE = [0.1, 0.2, 0.3, 0.4, 0.9]
FACTS = asdict(
    ProbedFacts(
        kind="video",
        container="mp4",
        duration_seconds=2.0,
        size_bytes=10,
        has_video=True,
        has_audio=False,
        frames_per_second=25.0,
        keyframe_seconds=(0.0, 1.0),
    )
) | {"keyframe_seconds": [0.0, 1.0]}


def clip(window: int, **changes: Any) -> dict[str, Any]:
    expected = {"answer": "clip", "window": window, "shape": [2, 3, 4, 4], "dtype": "uint8", "payload_bytes": 96}
    return expected | changes


def sound(window: int, **changes: Any) -> dict[str, Any]:
    expected = {"answer": "clip", "window": window, "shape": [8], "dtype": "float32", "payload_bytes": 32}
    return expected | changes


def skipped(window: int, reason: str) -> dict[str, Any]:
    return {"answer": "skipped", "window": window, "reason": reason, "payload_bytes": 0}


def test_pictures_and_sounds_have_the_type_that_was_asked_for() -> None:
    taken = ExpectedClips.pictures(WINDOWS, PICTURES, None).take(clip(1))
    assert isinstance(taken, Clip)
    assert (taken.window, taken.values.shape, taken.values.dtype.name) == (WINDOWS[1], (2, 3, 4, 4), "uint8")
    taken = ExpectedClips.sounds(WINDOWS, SOUND).take(sound(0))
    assert isinstance(taken, Clip)
    assert (taken.values.shape, taken.values.dtype.name, taken.face) == ((8,), "float32", None)


@pytest.mark.parametrize(
    "answer",
    [
        clip(2),
        clip(-1),
        clip(0, dtype="float32"),
        clip(0, shape=[2, 3, 4, 5]),
        clip(0, payload_bytes=95),
        skipped(0, "no_face"),
        skipped(0, "silence"),
    ],
)
def test_pictures_that_were_not_asked_for(answer: dict[str, Any]) -> None:
    with pytest.raises(ProtocolError):
        ExpectedClips.pictures(WINDOWS, PICTURES, None).take(answer)


@pytest.mark.parametrize("answer", [sound(0, dtype="uint8"), sound(0, shape=[9]), skipped(0, "no_face")])
def test_sound_that_was_not_asked_for(answer: dict[str, Any]) -> None:
    with pytest.raises(ProtocolError):
        ExpectedClips.sounds(WINDOWS, SOUND).take(answer)


def test_a_window_is_answered_once() -> None:
    expected = ExpectedClips.pictures(WINDOWS, PICTURES, None)
    expected.take(clip(0))
    with pytest.raises(ProtocolError):
        expected.take(clip(0))
    silent = ExpectedClips.sounds(WINDOWS, SOUND)
    assert silent.take(skipped(0, "silence")) == Skipped(WINDOWS[0], "silence")
    with pytest.raises(ProtocolError):
        silent.take(sound(0))


def test_the_faces_of_a_window_come_in_a_row_and_are_bounded() -> None:
    expected = ExpectedClips.pictures(WINDOWS, PICTURES, FaceSearch(max_faces=2))
    for _ in range(2):
        taken = expected.take(clip(0, face=FACE))
        assert isinstance(taken, Clip)
        assert taken.face == Face(*FACE)
    with pytest.raises(ProtocolError):
        expected.take(clip(0, face=FACE))
    assert expected.take(skipped(1, "no_face")) == Skipped(WINDOWS[1], "no_face")
    with pytest.raises(ProtocolError):
        expected.take(clip(0, face=FACE))


@pytest.mark.parametrize(
    "face", [[0.1, 0.2, 0.3, 0.4], [0.3, 0.2, 0.1, 0.4, 1], [0, 0, 1, 1, 1.5], [0, 0, 1, float("nan"), 1], []]
)
def test_impossible_faces_are_refused(face: list[float]) -> None:
    with pytest.raises(ProtocolError):
        ExpectedClips.pictures(WINDOWS, PICTURES, FaceSearch()).take(clip(0, face=face))


@pytest.mark.parametrize(
    ("heard", "meant"), [([0.0001, None], Heard(0.0001)), ([None, 2], Heard(channel=2)), ([0, 64], Heard(0.0, 64))]
)
def test_what_was_heard_comes_with_the_sound(heard: list[Any], meant: Heard) -> None:
    taken = ExpectedClips.sounds(WINDOWS, SOUND).take(sound(0, heard=heard))
    assert isinstance(taken, Clip)
    assert taken.heard == meant


@pytest.mark.parametrize(
    "heard",
    [[None, None], [0.0005, None], [-1, 1], [float("nan"), 1], ["1", 1], [None, 0], [None, 65], [None, 1.0], [1], 3],
)
def test_impossible_claims_about_what_was_heard_are_refused(heard: Any) -> None:
    # As `Child` treats them: eight samples are half a millisecond.
    with pytest.raises((ProtocolError, TypeError, ValueError)):
        ExpectedClips.sounds(WINDOWS, SOUND).take(sound(0, heard=heard))
    with pytest.raises((ProtocolError, TypeError, ValueError)):
        ExpectedClips.pictures(WINDOWS, PICTURES, None).take(clip(0, heard=heard))


@pytest.mark.parametrize("value", [np.nan, np.inf, 1.5])
def test_impossible_samples_are_refused(value: float) -> None:
    with pytest.raises(ProtocolError):
        check_values(Clip(WINDOWS[0], np.array([0.0, value], dtype=np.float32)))


def test_facts() -> None:
    facts = read_facts({"facts": FACTS})
    assert (facts.kind, facts.keyframe_seconds) == ("video", (0.0, 1.0))
    whole = read_facts({"facts": FACTS | {"duration_seconds": 2, "frames_per_second": 25}})
    assert [type(value) for value in (whole.duration_seconds, whole.frames_per_second)] == [float, float]


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({}, None),
        ({"duration_seconds": 1e6}, "length"),
        ({"audio_seconds": 1e6}, "length"),
        ({"frames_per_second": 1e-7}, "frame rate"),
        ({"kind": "image", "frames_per_second": 1e15}, "frame rate"),
        ({"typical_rate": 1e-7}, "frame rate"),
        ({"typical_rate": 1e15}, "frame rate"),
        ({"typical_rate": 1000.0}, None),
        ({"width": 2**31, "height": 2**31}, "picture size"),
        ({"size_bytes": 2**50}, "file size"),
        ({"frame_count": 2**50}, "number of frames"),
    ],
)
def test_facts_beyond_the_limits(change: dict[str, Any], what: str | None) -> None:
    assert beyond_limits(read_facts({"facts": FACTS | change}), MediaLimits()) == what


@pytest.mark.parametrize("count", [-1, 5, pytest.param(10**4000, id="huge"), 1.0, True, "1", None])
def test_a_count_of_damaged_frames_that_was_not_asked_for(count: object) -> None:
    for most in (0, 4):
        assert ExpectedClips.pictures(WINDOWS, PICTURES, None).unreadable_frames({"unreadable_frames": most}) == most
    with pytest.raises(ProtocolError):
        ExpectedClips.pictures(WINDOWS, PICTURES, None).unreadable_frames({"unreadable_frames": count})
    with pytest.raises(ProtocolError):
        ExpectedClips.sounds(WINDOWS, SOUND).unreadable_frames({"unreadable_frames": 1})


@pytest.mark.parametrize("seconds", [-0.1, float("nan"), float("inf"), "much", None, [1]])
def test_a_length_of_further_sound_that_no_file_has(seconds: object) -> None:
    sounds = ExpectedClips.sounds(WINDOWS, SOUND)
    assert (sounds.unheard_seconds({}), sounds.unheard_seconds({"unheard_seconds": 2.5})) == (0, 2.5)
    with pytest.raises((ProtocolError, ValueError, TypeError)):
        sounds.unheard_seconds({"unheard_seconds": seconds})
    with pytest.raises(ProtocolError):
        ExpectedClips.pictures(WINDOWS, PICTURES, None).unheard_seconds({"unheard_seconds": 1.0})


@pytest.mark.parametrize(
    "change",
    [
        {"kind": "text"},
        {"frames_per_second": 0.0},
        {"duration_seconds": -1.0},
        {"duration_seconds": float("inf")},
        {"audio_seconds": float("nan")},
        {"channels": True},
        {"keyframe_seconds": [1.0, 0.0]},
        {"keyframe_seconds": [0.0, float("nan")]},
        {"keyframe_seconds": ["0"]},
        {"keyframe_seconds": [0.0] * (MAX_KEYFRAMES + 1)},
        {"keyframe_seconds": None},
        {"container": "x" * 1000},
        {"width": 10**4000},
        {"width": 2**53},
        {"duration_seconds": 10**400},
        {"duration_seconds": 1e300},
        {"frames_per_second": 10**400},
        {"keyframe_seconds": [0, 10**400]},
    ],
)
def test_facts_that_make_no_sense(change: dict[str, Any]) -> None:
    with pytest.raises(ProtocolError):
        read_facts({"facts": FACTS | change})


@pytest.mark.parametrize("size", [0, 12, MAX_PICTURE_BYTES + 1])
def test_pictures_for_people_have_a_sensible_size(size: int) -> None:
    assert picture_bytes({"answer": "picture", "payload_bytes": MAX_PICTURE_BYTES}) == MAX_PICTURE_BYTES
    with pytest.raises(ProtocolError):
        picture_bytes({"answer": "picture", "payload_bytes": size})


@pytest.mark.parametrize("size", [0, 12, 1001])
def test_a_preview_has_at_most_the_bytes_that_it_may_have(size: int) -> None:
    limits = PreviewLimits(max_bytes=1000)
    assert preview_bytes({"answer": "preview", "payload_bytes": 1000}, limits) == 1000
    with pytest.raises(ProtocolError):
        preview_bytes({"answer": "preview", "payload_bytes": size}, limits)


@pytest.mark.parametrize(
    ("sent", "name"),
    [
        (b"<svg onload=...>", "first.webp"),
        (b"<html>ftyp</html>", "first.mp4"),
        (WEBP, "first.mp4"),
        (MP4, "first.webp"),
        (WEBP, "../first.webp"),
        (WEBP, "first.html"),
        (WEBP, "/first.webp"),
    ],
)
def test_only_a_picture_or_a_film_is_kept_and_only_in_its_folder(tmp_path: Path, sent: bytes, name: str) -> None:
    folder = tmp_path / "own"
    folder.mkdir()
    with pytest.raises(ProtocolError):
        keep_file(bytearray(sent), folder, name)
    assert [*folder.iterdir(), *tmp_path.iterdir()] == [folder]


def test_a_link_in_place_of_a_picture_is_not_followed(tmp_path: Path) -> None:
    """A kernel without Landlock lets a child make one."""
    elsewhere = tmp_path / "elsewhere"
    elsewhere.write_bytes(b"kept")
    (tmp_path / "first.webp").symlink_to(elsewhere)
    path = keep_file(bytearray(WEBP), tmp_path, "first.webp")
    assert elsewhere.read_bytes() == b"kept"
    assert not path.is_symlink()
    assert (path.read_bytes(), path.stat().st_mode & 0o777) == (WEBP, 0o600)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["elsewhere", "first.webp"]
