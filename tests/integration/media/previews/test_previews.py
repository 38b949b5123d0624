"""Previews: what they show and when, how large and long they may be, and what is left out."""

from __future__ import annotations

from pathlib import Path

import pytest

from sentinel_worker.domain.derived import PreviewLimits
from sentinel_worker.domain.errors import Permanent, Transient
from sentinel_worker.media.previews.film_encoding import LONG_SECONDS, FilmForm
from sentinel_worker.media.zygote import Zygote
from tests.integration.media.films import Make, ffmpeg
from tests.integration.media.previews.made import LIMITS, grey, looked_at, loudness, preview

pytestmark = pytest.mark.asyncio(loop_scope="session")

AVI = ("-c:v", "mjpeg", "-q:v", "2")
HEVC = ("-c:v", "libx265", "-x265-params", "log-level=none", "-crf", "10")
TONE = ("-f", "lavfi", "-i", "sine=f=440:d=2")


@pytest.mark.parametrize(("name", "encoder"), [("preview.avi", AVI), ("preview.mkv", HEVC), ("preview.mp4", ())])
async def test_a_preview_shows_each_frame_at_its_time(
    zygote: Zygote, ramp: Make, tmp_path: Path, name: str, encoder: tuple[str, ...]
) -> None:
    path = await preview(zygote, ramp(name, *encoder), tmp_path)
    seen = looked_at(path)
    facts = seen.facts
    assert (facts.container, facts.video_codec, facts.has_audio) == ("mp4", "h264", False)
    assert (facts.width, facts.height, facts.frame_count) == (64, 48, 50)
    assert facts.duration_seconds == pytest.approx(2.0, abs=0.001)
    for number in (0, 1, 20, 49):
        assert grey(seen, (number + 0.5) / 25) == pytest.approx(number, abs=0.5)
    content = path.read_bytes()
    assert content.index(b"moov") < content.index(b"mdat"), "a browser plays it while it arrives"
    assert path.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    ("size", "rotation", "expected"),
    [("1920x1080", "0", (1280, 720)), ("1920x1080", "90", (720, 1280)), ("2000x500", "0", (1280, 320))],
)
async def test_a_preview_is_at_most_720p_and_upright(
    zygote: Zygote, ramp: Make, tmp_path: Path, size: str, rotation: str, expected: tuple[int, int]
) -> None:
    film = ramp(f"large {size}.mp4", size=size, frames=3)
    ffmpeg("-i", film, "-c", "copy", "-metadata:s:v:0", f"rotate={rotation}", tmp_path / "turned.mp4")
    facts = looked_at(await preview(zygote, tmp_path / "turned.mp4", tmp_path)).facts
    assert (facts.width, facts.height) == expected


def _forms() -> list[tuple[tuple[int, int], float, tuple[int, int], int]]:
    return [
        ((3840, 2160), LONG_SECONDS, (1280, 720), 30),
        ((3840, 2160), LONG_SECONDS + 1, (854, 480), 15),
        ((641, 361), 1.0, (640, 360), 30),
        ((2, 2), 1.0, (16, 16), 30),
    ]


@pytest.mark.parametrize(("size", "seconds", "expected", "rate"), _forms())
async def test_a_long_preview_is_smaller(
    size: tuple[int, int], seconds: float, expected: tuple[int, int], rate: int
) -> None:
    form = FilmForm.of(seconds)
    assert (form.size(*size), form.frames_per_second) == (expected, rate)


async def test_a_fast_film_keeps_at_most_30_frames_a_second(zygote: Zygote, ramp: Make, tmp_path: Path) -> None:
    seen = looked_at(await preview(zygote, ramp("fast.mp4", rate="50"), tmp_path))
    assert seen.facts.frame_count == 25
    assert grey(seen, 0.5) == pytest.approx(25, abs=1.5)


@pytest.mark.parametrize(("offset", "begins"), [("0.5", 0.5), ("-0.5", 0.0)])
async def test_sound_keeps_its_place_beside_the_pictures(
    zygote: Zygote, ramp: Make, tmp_path: Path, offset: str, begins: float
) -> None:
    """It begins later than the pictures, or what plays before them is left out."""
    film = tmp_path / "film.mkv"
    picture = ramp("beside.mp4")
    ffmpeg("-i", picture, "-itsoffset", offset, *TONE, "-c:v", "copy", "-c:a", "pcm_s16le", film)
    seen = looked_at(await preview(zygote, film, tmp_path))
    assert (seen.facts.audio_codec, seen.facts.sample_rate, seen.facts.channels) == ("aac", 48_000, 2)
    assert loudness(seen, begins + 0.05) > 0.05
    assert begins == 0.0 or loudness(seen, begins - 0.2) < 0.01
    assert loudness(seen, float(offset) + 1.7) > 0.05
    assert seen.facts.audio_seconds == pytest.approx(float(offset) + 2.0, abs=0.1)


async def test_sound_alone_has_a_preview_without_pictures(zygote: Zygote, tmp_path: Path) -> None:
    ffmpeg(*TONE, "-c:a", "wmav2", tmp_path / "sound.wma")
    facts = looked_at(await preview(zygote, tmp_path / "sound.wma", tmp_path)).facts
    assert (facts.kind, facts.audio_codec, facts.container) == ("audio", "aac", "mp4")
    assert facts.audio_seconds == pytest.approx(2.0, abs=0.15)


async def test_an_animation_has_a_preview(zygote: Zygote, tmp_path: Path) -> None:
    ffmpeg("-f", "lavfi", "-i", "testsrc=s=32x24:r=5:d=2", tmp_path / "drawn.gif")
    facts = looked_at(await preview(zygote, tmp_path / "drawn.gif", tmp_path)).facts
    assert (facts.kind, facts.frame_count) == ("video", 10)
    assert facts.duration_seconds == pytest.approx(2.0, abs=0.01)


@pytest.mark.parametrize(
    ("limits", "least", "most"),
    [
        (PreviewLimits(film_seconds=1.0), 1.0, 1.0),
        (PreviewLimits(work_seconds=0.0), 0.03, 0.3),
        (PreviewLimits(max_bytes=400_000), 1.0, 18.0),
    ],
    ids=["length", "time", "bytes"],
)
async def test_a_preview_ends_at_its_limits_and_plays(
    zygote: Zygote, tmp_path: Path, limits: PreviewLimits, least: float, most: float
) -> None:
    film = tmp_path / "film.mkv"
    noise = ("-f", "lavfi", "-i", "testsrc2=s=320x240:r=25:d=20,noise=alls=40:allf=t")
    ffmpeg(*noise, "-f", "lavfi", "-i", "sine=f=440:d=20", *AVI, "-c:a", "flac", film)
    path = await preview(zygote, film, tmp_path, limits)
    assert path.stat().st_size <= limits.max_bytes
    seen = looked_at(path)
    assert least - 0.05 <= seen.facts.duration_seconds <= most + 0.05
    assert seen.frames().at(0.0) is not None
    assert not seen.facts.truncated


async def test_what_cannot_be_decoded_has_no_preview(zygote: Zygote, ramp: Make, tmp_path: Path) -> None:
    film = bytearray(ramp("spoilt.mp4").read_bytes())
    begin = film.index(b"mdat") + 4
    end = film.index(b"moov") - 4
    film[begin:end] = bytes(end - begin)
    (tmp_path / "film.mp4").write_bytes(film)
    with pytest.raises(Permanent, match="media_unreadable"):
        await preview(zygote, tmp_path / "film.mp4", tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["film.mp4", "media"]


async def test_a_child_answers_only_the_questions_of_its_profile(zygote: Zygote, request_folder: Path) -> None:
    media = request_folder / "media"
    async with zygote.open(media, request_folder, LIMITS, profile="preview") as child:
        with pytest.raises(Transient, match="decoder_failed"):
            await child.probe()
        assert (await child.preview(PreviewLimits(), name="preview.mp4")).is_file()
    async with zygote.open(media, request_folder, LIMITS) as child:
        with pytest.raises(Transient, match="decoder_failed"):
            await child.preview(PreviewLimits(), name="preview.mp4")
        assert (await child.probe()).kind == "video"
