"""A file's size is no measure of the memory that it takes."""

from pathlib import Path

import pytest

from sentinel_worker.media.facts import MediaLimits
from sentinel_worker.media.windows import Window
from sentinel_worker.media.zygote import Zygote
from tests.integration.media.films import ffmpeg, geometry

pytestmark = pytest.mark.asyncio(loop_scope="session")

MEBIBYTE = 1024**2
ALLOWED_MORE = 100 * MEBIBYTE


async def peak_bytes(zygote: Zygote, path: Path) -> int:
    """The most resident memory that the child of `path` ever had."""
    async with zygote.open(path, path.parent, MediaLimits()) as child:
        facts = await child.probe()
        windows = [Window(start * facts.duration_seconds, (start + 0.2) * facts.duration_seconds) for start in (0, 0.8)]
        _ = [clip async for clip in child.clips(windows, geometry(8, 0.04, size=224))]
        await child.derive(at_seconds=[0.0], names=["first.jpg"])
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
