"""The memory that a file takes does not grow with its size."""

import time
from pathlib import Path

import pytest

from examples.samples import film_path
from sentinel_worker.domain.derived import Still
from sentinel_worker.domain.media_facts import Clip, FaceSearch, MediaLimits, SoundGeometry
from sentinel_worker.domain.windows import Window
from sentinel_worker.media.child_client import Child
from sentinel_worker.media.zygote import Zygote
from tests.integration.media.films import ffmpeg, geometry
from tests.matrix import sampled

pytestmark = pytest.mark.asyncio(loop_scope="session")

MEBIBYTE = 1024**2
ALLOWED_MORE = 100 * MEBIBYTE


async def peak_bytes(zygote: Zygote, path: Path) -> int:
    """Peak resident memory of the child for `path`."""
    async with zygote.open(path, path.parent, MediaLimits()) as child:
        facts = await child.probe()
        windows = [Window(start * facts.duration_seconds, (start + 0.2) * facts.duration_seconds) for start in (0, 0.8)]
        _ = [clip async for clip in child.clips(windows, geometry(8, 0.04, size=224))]
        await child.derive([Still(0.0)], names=["first.webp"])
        return high_water(child)


def high_water(child: Child) -> int:
    """Peak resident memory of a child in bytes, including pages shared with the zygote."""
    status = Path(f"/proc/{child.pid}/status").read_text("utf-8")
    return next(int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith("VmHWM"))


async def test_a_large_file_takes_no_more_than_a_small_one(
    zygote: Zygote, bikes: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    small, large = tmp_path / "small.mp4", tmp_path / "large.mp4"
    # Noise does not compress: real pictures at several hundred megabits a second.
    ffmpeg(
        "-i",
        bikes,
        "-vf",
        "scale=1920:1080,noise=alls=20:allf=t",
        "-t",
        "0.4",
        "-c:v",
        "libx264",
        "-preset",
        "ultrafast",
        "-qp",
        "8",
        "-pix_fmt",
        "yuv420p",
        tmp_path / "part.mp4",
    )
    ffmpeg("-i", tmp_path / "part.mp4", "-c", "copy", "-frames:v", "3", small)
    ffmpeg("-stream_loop", "11", "-i", tmp_path / "part.mp4", "-c", "copy", large)
    assert small.stat().st_size < 10 * MEBIBYTE
    assert large.stat().st_size > 200 * MEBIBYTE
    peaks = [await peak_bytes(zygote, path) for path in (small, large)]
    with capsys.disabled():
        sizes = [path.stat().st_size // MEBIBYTE for path in (small, large)]
        print(f"\npeak of a child: {[peak // MEBIBYTE for peak in peaks]} MiB for files of {sizes} MiB")  # noqa: T201
    assert peaks[1] - peaks[0] < ALLOWED_MORE


async def test_the_trial_of_a_film_keeps_one_frame(zygote: Zygote, tmp_path: Path) -> None:
    """AVI says nothing of the order of frames, so 24 are decoded before the first window; each has 12 MB here."""
    peaks = []
    for frames in (2, 24):
        path = tmp_path / f"{frames}.avi"
        source = ("-f", "lavfi", "-i", f"color=gray:s=2048x2048:r=25:d={frames / 25}")
        ffmpeg(*source, "-pix_fmt", "yuvj444p", "-c:v", "mjpeg", path)
        async with zygote.open(path, tmp_path, MediaLimits()) as child:
            assert (await child.probe()).frame_count == frames
            peaks.append(high_water(child))
    assert peaks[1] - peaks[0] < ALLOWED_MORE


async def test_hours_of_sound_take_no_more_than_minutes(
    zygote: Zygote, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    minutes, hours = tmp_path / "minutes.m4a", tmp_path / "hours.m4a"
    ffmpeg("-f", "lavfi", "-i", "sine=f=440:r=16000:d=180", "-c:a", "aac", "-b:a", "24k", minutes)
    ffmpeg("-stream_loop", "59", "-i", minutes, "-c", "copy", hours)
    peaks, seconds = [], []
    for path, expected in ((minutes, 180), (hours, 3 * 3600)):
        async with zygote.open(path, tmp_path, MediaLimits(max_duration_seconds=4 * 3600)) as child:
            begun = time.perf_counter()
            facts = await child.probe()
            assert facts.audio_seconds == pytest.approx(expected, abs=10)  # each copy ends with part of a frame
            # The first and the last four seconds: everything between is decoded and dropped.
            windows = [Window(0.0, 4.0), Window(facts.audio_seconds - 4, facts.audio_seconds)]
            answers = [answer async for answer in child.sounds(windows, SoundGeometry(samples=64_000))]
            assert [isinstance(answer, Clip) for answer in answers] == [True, True]
            seconds.append(time.perf_counter() - begun)
            peaks.append(high_water(child))
    with capsys.disabled():
        shown = [round(value, 1) for value in seconds]
        print(f"\npeak for 3 minutes and 3 hours of sound: {[peak // MEBIBYTE for peak in peaks]} MiB, {shown} s")  # noqa: T201
    # The table of packets grows with the length: about 130 bytes for each of 170,000 packets while it is worked out.
    assert peaks[1] - peaks[0] < 32 * MEBIBYTE


@pytest.mark.parametrize("size", sampled("media", ["1920x1080", "3840x2160"], ["1920x1080"]))
async def test_searching_faces_is_bounded(
    zygote: Zygote, tmp_path: Path, capsys: pytest.CaptureFixture[str], size: str
) -> None:
    path = tmp_path / "large.mp4"
    scale = ("-vf", f"scale={size.replace('x', ':')}", "-c:v", "libx264", "-preset", "ultrafast")
    ffmpeg("-i", film_path("carphone_pristine.mp4"), *scale, "-t", "2.6", "-pix_fmt", "yuv420p", path)
    async with zygote.open(path, tmp_path, MediaLimits()) as child:
        await child.probe()
        before = high_water(child)  # libraries of a CUDA build of torch are larger
        windows = [Window(0.0, 1.0), Window(1.1, 2.1)]
        clips = [clip async for clip in child.clips(windows, geometry(32, 0.0334, size=224), FaceSearch())]
        assert [isinstance(clip, Clip) for clip in clips] == [True, True]
        peak = high_water(child) - before
    with capsys.disabled():
        print(f"\npeak of a child that searches faces in {size}: {peak // MEBIBYTE} MiB more than before")  # noqa: T201
    assert peak < (400 if size == "1920x1080" else 550) * MEBIBYTE
