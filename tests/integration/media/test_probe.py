"""Files that are refused before they are decoded, and their errors."""

from dataclasses import replace
from pathlib import Path

import pytest

from sentinel_worker.domain.errors import Permanent
from sentinel_worker.domain.media_facts import MediaLimits, SoundGeometry
from sentinel_worker.domain.windows import Window
from sentinel_worker.media.expected_clips import beyond_limits
from sentinel_worker.media.probe import open_media
from sentinel_worker.media.sound.clips import decode_sounds
from tests.integration.attacks.iso import body_of, replaced, words
from tests.integration.media.films import Make, ffmpeg

LIMITS = MediaLimits()


def refusal(path: Path, limits: MediaLimits = LIMITS) -> Permanent:
    with pytest.raises(Permanent) as refused:
        open_media(path, limits)
    assert str(path) not in refused.value.message
    assert "\n" not in refused.value.message
    return refused.value


def written(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


def test_facts_of_a_video_with_sound(media: Path) -> None:
    path = media / "sound.mp4"
    ffmpeg(
        "-f",
        "lavfi",
        "-i",
        "testsrc=s=128x96:r=30:d=2",
        "-f",
        "lavfi",
        "-i",
        "sine=d=2",
        "-pix_fmt",
        "yuv420p",
        path,
    )
    facts = open_media(path, LIMITS).facts
    assert (facts.container, facts.video_codec, facts.audio_codec) == ("mp4", "h264", "aac")
    assert (facts.has_video, facts.has_audio, facts.truncated) == (True, True, False)
    assert (facts.width, facts.height, facts.frame_count) == (128, 96, 60)
    assert facts.frames_per_second == pytest.approx(30)
    assert facts.duration_seconds == pytest.approx(2)
    assert facts.size_bytes == path.stat().st_size
    assert facts.kind == "video"
    assert facts.audio_seconds == pytest.approx(2, abs=0.05)
    assert (facts.sample_rate, facts.channels) == (44_100, 1)


def test_key_frames_are_named(ramp: Make) -> None:
    # One in twelve frames of this film, at 25 a second.
    assert open_media(ramp("stride.mp4"), LIMITS).facts.keyframe_seconds == (0.0, 0.48, 0.96, 1.44, 1.92)


def test_many_key_frames_are_thinned(media: Path) -> None:
    path = media / "intra.avi"
    ffmpeg("-f", "lavfi", "-i", "color=gray:s=16x16:r=100:d=50", "-c:v", "mjpeg", path)
    facts = open_media(path, LIMITS).facts
    assert facts.frame_count == 5000
    assert facts.keyframe_seconds == pytest.approx([index / 50 for index in range(2500)])


def test_a_file_with_neither_pictures_nor_sound(media: Path) -> None:
    subtitles = written(media / "words.srt", b"1\n00:00:00,000 --> 00:00:01,000\nhello\n")
    path = media / "words.mkv"
    ffmpeg("-i", subtitles, "-c:s", "srt", path)
    assert refusal(path).code == "no_tracks"


def test_files_that_are_not_media(media: Path) -> None:
    assert refusal(written(media / "empty", b"")).code == "media_empty"
    for content in (b"hello", b"#EXTM3U\nsegment.ts\n", b"ffconcat version 1.0\nfile flat.mp4\n", b"<MPD/>"):
        assert refusal(written(media / "text", content)).code == "media_not_supported"


def test_a_cut_without_an_index(ramp: Make, media: Path) -> None:
    content = ramp("stride.mp4").read_bytes()
    assert refusal(written(media / "cut", content[: len(content) // 2])).code == "media_truncated"


def test_a_recording_that_begins_late_is_not_cut(media: Path) -> None:
    """Matroska's length counts from 0, the first packet of a live recording may come hours later."""
    path = media / "late.mkv"
    ffmpeg("-f", "lavfi", "-i", "testsrc=s=64x48:r=25:d=5", "-output_ts_offset", "40000", "-g", "5", path)
    whole = open_media(path, LIMITS).facts
    assert whole.duration_seconds == pytest.approx(5)
    assert not whole.truncated
    content = path.read_bytes()
    half = open_media(written(media / "late-half", content[: len(content) // 2]), LIMITS).facts
    assert half.truncated


def test_the_size_is_that_of_the_first_frame(media: Path) -> None:
    """FFmpeg tells the size of the last frames that it probed."""
    for name, size in (("small", "64x48"), ("large", "96x96")):
        ffmpeg(
            "-f",
            "lavfi",
            "-i",
            f"testsrc=s={size}:r=25:d=0.2",
            "-bf",
            "0",
            "-pix_fmt",
            "yuv420p",
            media / f"{name}.mkv",
        )
    parts = written(media / "parts.txt", b"file small.mkv\nfile large.mkv\n")
    ffmpeg("-f", "concat", "-i", parts, "-c", "copy", media / "resized.mkv")
    facts = open_media(media / "resized.mkv", LIMITS).facts
    assert (facts.width, facts.height) == (64, 48)


def test_the_shortest_film_has_a_rate_within_the_limits(ramp: Make, media: Path) -> None:
    """One frame, on screen for one tick of the fastest clock that MP4 has."""
    content = ramp("one.mp4", frames=1).read_bytes()
    track = (b"moov", b"trak", b"mdia")
    clock = body_of(content, *track, b"mdhd")
    content = replaced(content, *track, b"mdhd", body=clock[:12] + words(2**31 - 1, 1) + clock[20:])
    times = words(0, 1, 1, 1)
    content = replaced(content, *track, b"minf", b"stbl", b"stts", body=times)
    facts = open_media(written(media / "shortest.mp4", content), LIMITS).facts
    assert (facts.frames_per_second, facts.planning_rate) == (240.0, 240.0)
    assert beyond_limits(facts, LIMITS) is None, "the worker believes the child"


def test_a_damaged_header(ramp: Make, media: Path) -> None:
    content = bytearray(ramp("stride.mkv", rate="30000/1001").read_bytes())
    content[60:] = bytes(len(content) - 60)
    assert refusal(written(media / "damaged", bytes(content))).code == "media_unreadable"


@pytest.mark.parametrize(
    ("limit", "code"),
    [
        ({"max_duration_seconds": 1.0}, "media_too_long"),
        ({"max_frames": 10}, "media_too_long"),
        ({"max_pixels": 1000}, "media_too_large"),
        ({"max_bytes": 100}, "media_too_large"),
        ({"max_frames_per_second": 10.0}, "media_too_large"),
        ({"max_streams": 0}, "media_too_large"),
        ({"max_side_ratio": 1.2}, "media_too_large"),
    ],
)
def test_limits(ramp: Make, limit: dict[str, float], code: str) -> None:
    refused = refusal(ramp("stride.mp4"), replace(LIMITS, **limit))  # type: ignore[arg-type]
    assert refused.code == code
    assert refused.params["limit"] == next(iter(limit.values()))


def test_only_paths_of_our_own_making(media: Path) -> None:
    for path in (Path("relative.mp4"), media / "frame%03d.png"):
        with pytest.raises(ValueError, match="absolute"):
            open_media(path, LIMITS)


def renamed(path: Path, kind: bytes) -> Path:
    """Make the film of two tracks one of whose codecs nobody knows."""
    other = path.with_name(f"{kind.decode()}.mp4")
    before, after = path.read_bytes().rsplit(kind, 1)  # the first may be a brand of the file
    other.write_bytes(before + b"xxxx" + after)
    return other


def test_a_track_that_nobody_can_decode_is_not_left_out_in_silence(media: Path) -> None:
    both = media / "both.mp4"
    ffmpeg("-f", "lavfi", "-i", "testsrc2=d=2", "-f", "lavfi", "-i", "sine=d=2", "-c:a", "ac3", both)
    silent = open_media(renamed(both, b"ac-3"), LIMITS)
    facts = silent.facts
    assert (facts.kind, facts.has_audio, facts.audio_codec, facts.audio_seconds) == ("video", True, "unknown", 2.0)
    with pytest.raises(Permanent) as unheard:
        list(decode_sounds(silent, [Window(0, 1)], SoundGeometry(16_000)))
    assert unheard.value.code == "media_not_supported"
    unseen = open_media(renamed(both, b"avc1"), LIMITS).facts
    assert (unseen.kind, unseen.has_video, unseen.video_tracks) == ("audio", False, 1)
    assert unseen.unread_seconds == unseen.audio_seconds > 1.9
