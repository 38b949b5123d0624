"""The same attacks work on a decoder that trusts its input, and the sandbox holds where the sniffer would not."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from sentinel_worker.errors import Transient
from sentinel_worker.media import running_zygote
from sentinel_worker.media.facts import MediaLimits
from sentinel_worker.media.zygote import Zygote
from tests.integration.attacks import elsewhere
from tests.integration.attacks.target import Target, readings_of

BY_PATH = "import sys; from torchcodec.decoders import VideoDecoder as V; print(V(sys.argv[1]).metadata.width)"
BY_BYTES = (
    "import sys; from pathlib import Path; from torchcodec.decoders import VideoDecoder as V; "
    "print(V(Path(sys.argv[1]).read_bytes()).metadata.width)"
)
CREDULOUS = (
    "import json, os, sys; sys.path[:] = json.loads(sys.argv[3]); "
    "os.environ.update(OPENBLAS_NUM_THREADS='1', OMP_NUM_THREADS='1', MKL_NUM_THREADS='1'); "
    "from sentinel_worker.media import child; from torchcodec.decoders import VideoDecoder; "
    "child._Session._opened = lambda self: VideoDecoder({media}); "
)
COMMENTS = ["", "<!--free-->"]

Film = Callable[..., bytes]


@pytest.fixture
def upload(tmp_path: Path) -> Path:
    """The attacker's file."""
    path = tmp_path / "request-a" / "media"
    path.parent.mkdir(mode=0o700)
    return path


def decoded(script: str, path: Path) -> str:
    """What a decoder without sniffing and without walls prints, in a process of its own; nothing when it fails."""
    ran = subprocess.run([sys.executable, "-c", script, str(path)], capture_output=True, text=True, check=False)
    return ran.stdout.strip()


@pytest.mark.parametrize("comment", COMMENTS)
async def test_dash_in_bytes_sends_a_request(upload: Path, target: Target, comment: str) -> None:
    upload.write_bytes(elsewhere.dash(f"{target.url}/a.mp4", comment))
    loop = asyncio.get_running_loop()
    # The decoder waits for an answer until it is hung up on.
    asked = asyncio.create_task(asyncio.to_thread(decoded, BY_BYTES, upload))
    came = asyncio.Event()
    loop.add_reader(target.stream, came.set)
    async with asyncio.timeout(60):
        await came.wait()
    loop.remove_reader(target.stream)
    target.stream.setblocking(False)
    requests = await asyncio.to_thread(target.requests)
    target.close()
    await asked
    assert requests[0].startswith(b"GET /a.mp4 HTTP/1.1")


@pytest.mark.parametrize("comment", COMMENTS)
def test_dash_by_path_opens_the_neighbour(upload: Path, neighbour: Path, comment: str) -> None:
    upload.write_bytes(elsewhere.dash(f"file://{neighbour}", comment))
    with readings_of(neighbour) as readings:
        assert decoded(BY_PATH, upload) == "176"
        assert readings.seen()


def test_ffconcat_by_path_opens_the_neighbour(upload: Path, neighbour: Path) -> None:
    beside = upload.with_name("other.mp4")
    beside.write_bytes(neighbour.read_bytes())
    upload.write_text(elsewhere.FFCONCAT.format(place="other.mp4"), "utf-8")
    with readings_of(beside) as readings:
        assert decoded(BY_PATH, upload) == "176"
        assert readings.seen()


def test_an_external_track_is_followed_when_ffmpeg_is_told_to(upload: Path, neighbour: Path, film: Film) -> None:
    upload.write_bytes(elsewhere.external_media(film("-c:v", "mjpeg", "-f", "mp4"), str(neighbour)))
    with readings_of(neighbour) as readings:
        for options, opened in ((), False), (("-enable_drefs", "1", "-use_absolute_path", "1"), True):
            subprocess.run(["ffprobe", "-v", "quiet", *options, upload], check=False, capture_output=True)
            assert readings.seen() == opened


@asynccontextmanager
async def credulous(monkeypatch: pytest.MonkeyPatch, media: str) -> AsyncIterator[Zygote]:
    """A zygote whose children hand their file to the decoder unseen, behind all the walls."""
    monkeypatch.setattr(running_zygote, "_BOOT", CREDULOUS.format(media=media) + running_zygote._BOOT)
    running = Zygote()
    await running.start()
    try:
        yield running
    finally:
        await running.stop()


async def reaches_the_decoder(zygote: Zygote, upload: Path) -> None:
    """The decoder fails on the upload, because it is kept from what it wants."""
    async with zygote.open(upload, upload.parent, MediaLimits()) as child:
        with pytest.raises(Transient, match="decoder_failed") as failed:
            await child.probe()
    assert "torchcodec" in str(failed.value.__cause__)


async def test_a_child_without_a_sniffer_makes_no_request(
    upload: Path, target: Target, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with credulous(monkeypatch, "self._path.read_bytes()") as zygote:
        for comment in COMMENTS:
            upload.write_bytes(elsewhere.dash(f"{target.url}/a.mp4", comment))
            await reaches_the_decoder(zygote, upload)
            assert target.requests() == []


async def test_a_child_without_a_sniffer_opens_no_neighbour(
    upload: Path, neighbour: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with credulous(monkeypatch, "str(self._path)") as zygote:
        if "landlock" not in zygote.layers.in_force:
            pytest.skip("this kernel has no Landlock")
        with readings_of(neighbour) as readings:
            upload.write_bytes(elsewhere.dash(f"file://{neighbour}"))
            await reaches_the_decoder(zygote, upload)
            assert not readings.seen()
