"""An attacker's upload in its private folder, a neighbour's beside it, and a server that must not be contacted."""

from __future__ import annotations

import subprocess
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from sentinel_worker.domain.derived import PreviewLimits, Still
from sentinel_worker.domain.errors import CodedError, Permanent
from sentinel_worker.domain.media_facts import ClipGeometry, MediaLimits, SoundGeometry
from sentinel_worker.domain.windows import Window
from sentinel_worker.media.protocol import ProbedFacts
from sentinel_worker.media.zygote import Zygote
from tests.integration.attacks.target import Target, readings_of

_GEOMETRY = ClipGeometry(4, 0.05, "shortest_edge", 224, 224, 224, 224)


@dataclass(slots=True)
class Result:
    """Result of an upload: the error, or the facts and the thumbnails."""

    error: CodedError | None = None
    facts: ProbedFacts | None = None
    pictures: list[bytes] = field(default_factory=list)

    @property
    def refusal(self) -> tuple[str, str]:
        """The error's code and sentence."""
        assert self.error is not None, f"it was analyzed: {self.facts}"
        return self.error.code, self.error.message


Attack = Callable[..., Awaitable[Result]]


@pytest.fixture
def target() -> Iterator[Target]:
    """A server that stands for the internal network."""
    listening = Target()
    yield listening
    listening.close()


@pytest.fixture(scope="session")
def film(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., bytes]:
    """Write a second of test picture with these FFmpeg options."""
    folder = tmp_path_factory.mktemp("films")
    made: dict[tuple[str, ...], bytes] = {}

    def make(*options: str, size: str = "64x48") -> bytes:
        key = (size, *options)
        if key not in made:
            source = f"testsrc=s={size}:r=10:d=1"
            command = ["ffmpeg", "-v", "error", "-nostdin", "-y", "-f", "lavfi", "-i", source, *options]
            subprocess.run([*command, str(folder / "film")], check=True)
            made[key] = (folder / "film").read_bytes()
        return made[key]

    return make


@pytest.fixture
def neighbour(tmp_path: Path, film: Callable[..., bytes]) -> Path:
    """Another user's film, in a private folder beside the attacker's."""
    path = tmp_path / "request-b" / "media.mp4"
    path.parent.mkdir(mode=0o700)
    path.write_bytes(film("-pix_fmt", "yuv420p", "-f", "mp4", size="176x144"))
    return path


@pytest.fixture
def attack(tmp_path: Path, zygote: Zygote, target: Target, neighbour: Path) -> Iterator[Attack]:
    """Send an upload through a child as the worker does; nothing may reach the target or the neighbour, or be left."""
    folder = tmp_path / "request-a"
    folder.mkdir(mode=0o700)

    async def send(content: bytes, limits: MediaLimits | None = None) -> Result:
        path = folder / "media"
        path.write_bytes(content)
        return await examined(zygote, path, limits or MediaLimits())

    with readings_of(neighbour) as readings:
        yield send
        assert target.requests() == []
        assert not readings.seen()
    assert zygote.restarts == 0
    assert Path(f"/proc/{zygote.pid}/task/{zygote.pid}/children").read_text("ascii") == ""


async def previewed(zygote: Zygote, path: Path) -> Path | None:
    """Ask a child of the other profile for a preview of the file; None if there is none."""
    own = MediaLimits(max_wall_seconds=20, max_cpu_seconds=20)
    try:
        async with zygote.open(path, path.parent, own, profile="preview") as child:
            return await child.preview(PreviewLimits(film_seconds=2.0, work_seconds=5.0), name="preview.mp4")
    except Permanent:
        return None


async def examined(zygote: Zygote, path: Path, limits: MediaLimits) -> Result:
    """Ask for probe, clips, sound and a thumbnail; return them or the first error."""
    result = Result()
    try:
        async with zygote.open(path, path.parent, limits) as child:
            result.facts = await child.probe()
            if result.facts.kind != "audio":
                _ = [clip async for clip in child.clips([Window(0.0, 0.2)], _GEOMETRY)]
                made = await child.derive([Still(0.0)], names=["first.webp"])
                result.pictures = [picture.read_bytes() for picture in made]
            if result.facts.has_audio:
                _ = [sound async for sound in child.sounds([Window(0.0, 0.2)], SoundGeometry(samples=3200))]
    except CodedError as error:
        result.error = error
    return result
