"""The same attacks succeed on a decoder that trusts its input, and the sandbox stops those that pass the sniffer."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Literal

import pytest
import pytest_asyncio

from sentinel_worker.domain.errors import Transient
from sentinel_worker.domain.media_facts import MediaLimits
from sentinel_worker.media import zygote_process
from sentinel_worker.media.zygote import Zygote
from tests.integration.attacks import elsewhere
from tests.integration.attacks.target import Target, readings_of

NAIVE = """
import sys
from pathlib import Path
from torchcodec.decoders import VideoDecoder
for line in sys.stdin:
    how, path = line.rstrip("\\n").split(" ", 1)
    try:
        print(VideoDecoder(Path(path).read_bytes() if how == "bytes" else path).metadata.width, flush=True)
    except Exception:
        print(flush=True)
"""
CREDULOUS = (
    "import json, os, sys; sys.path[:] = json.loads(sys.argv[3]); "
    "os.environ.update(OPENBLAS_NUM_THREADS='1', OMP_NUM_THREADS='1', MKL_NUM_THREADS='1'); "
    "from sentinel_worker.media import child_main; from torchcodec.decoders import VideoDecoder; "
    "child_main._Session._opened = lambda self: "
    "VideoDecoder(str(self._path) if self._path.name == 'path' else self._path.read_bytes()); "
)
COMMENTS = ["", "<!--free-->"]

Film = Callable[..., bytes]


@pytest.fixture
def upload(tmp_path: Path) -> Path:
    """The attacker's file."""
    path = tmp_path / "request-a" / "media"
    path.parent.mkdir(mode=0o700)
    return path


class Naive:
    """A decoder without sniffing or sandbox, in one process that imports it once."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def decoded(self, how: Literal["bytes", "path"], path: Path) -> str:
        """Return the width that the decoder finds, or None if it fails."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        print(how, path, file=self._process.stdin, flush=True)
        return self._process.stdout.readline().strip()


@pytest.fixture(scope="module")
def naive() -> Iterator[Naive]:
    command = [sys.executable, "-c", NAIVE]
    pipe, nowhere = subprocess.PIPE, subprocess.DEVNULL
    with subprocess.Popen(command, text=True, stdin=pipe, stdout=pipe, stderr=nowhere) as process:
        yield Naive(process)


@pytest.mark.parametrize("comment", COMMENTS)
async def test_dash_in_bytes_sends_a_request(naive: Naive, upload: Path, target: Target, comment: str) -> None:
    upload.write_bytes(elsewhere.dash(f"{target.url}/a.mp4", comment))
    loop = asyncio.get_running_loop()
    # The decoder waits for an answer until the connection closes.
    asked = asyncio.create_task(asyncio.to_thread(naive.decoded, "bytes", upload))
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
def test_dash_by_path_opens_the_neighbour(naive: Naive, upload: Path, neighbour: Path, comment: str) -> None:
    upload.write_bytes(elsewhere.dash(f"file://{neighbour}", comment))
    with readings_of(neighbour) as readings:
        assert naive.decoded("path", upload) == "176"
        assert readings.seen()


def test_ffconcat_by_path_opens_the_neighbour(naive: Naive, upload: Path, neighbour: Path) -> None:
    beside = upload.with_name("other.mp4")
    beside.write_bytes(neighbour.read_bytes())
    upload.write_text(elsewhere.FFCONCAT.format(place="other.mp4"), "utf-8")
    with readings_of(beside) as readings:
        assert naive.decoded("path", upload) == "176"
        assert readings.seen()


def test_an_external_track_is_followed_when_ffmpeg_is_told_to(upload: Path, neighbour: Path, film: Film) -> None:
    upload.write_bytes(elsewhere.external_media(film("-c:v", "mjpeg", "-f", "mp4"), str(neighbour)))
    with readings_of(neighbour) as readings:
        for options, opened in ((), False), (("-enable_drefs", "1", "-use_absolute_path", "1"), True):
            subprocess.run(["ffprobe", "-v", "quiet", *options, upload], check=False, capture_output=True)
            assert readings.seen() == opened


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def credulous() -> AsyncIterator[Zygote]:
    """A sandboxed zygote whose children pass their file to the decoder unchecked: its bytes, or its path."""
    running = Zygote()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(zygote_process, "_BOOT", CREDULOUS + zygote_process._BOOT)
        await running.start()
    yield running
    await running.stop()


async def reaches_the_decoder(zygote: Zygote, upload: Path) -> None:
    """The decoder fails because the sandbox denies it what the upload asks for."""
    async with zygote.open(upload, upload.parent, MediaLimits()) as child:
        with pytest.raises(Transient, match="decoder_failed") as failed:
            await child.probe()
    assert "torchcodec" in str(failed.value.__cause__)


@pytest.mark.asyncio(loop_scope="session")
async def test_a_child_without_a_sniffer_makes_no_request(credulous: Zygote, upload: Path, target: Target) -> None:
    for comment in COMMENTS:
        upload.write_bytes(elsewhere.dash(f"{target.url}/a.mp4", comment))
        await reaches_the_decoder(credulous, upload)
        assert target.requests() == []


@pytest.mark.asyncio(loop_scope="session")
async def test_a_child_without_a_sniffer_opens_no_neighbour(credulous: Zygote, upload: Path, neighbour: Path) -> None:
    if "landlock" not in credulous.layers.in_force:
        pytest.skip("this kernel has no Landlock")
    by_path = upload.with_name("path")
    with readings_of(neighbour) as readings:
        by_path.write_bytes(elsewhere.dash(f"file://{neighbour}"))
        await reaches_the_decoder(credulous, by_path)
        assert not readings.seen()
