"""Uploads that end too early, change in the middle, or are two formats at once."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from sentinel_worker.domain.media_facts import MediaLimits
from sentinel_worker.media.zygote import Zygote
from tests.fuzz.corpus import shared_corpus
from tests.fuzz.examined import examine
from tests.integration.attacks import bombs
from tests.integration.attacks.conftest import Attack
from tests.integration.attacks.iso import box
from tests.matrix import sampled

pytestmark = pytest.mark.asyncio(loop_scope="session")

Film = Callable[..., bytes]

MP4 = ("-pix_fmt", "yuv420p", "-f", "mp4")
MARK = "<script>fetch('/secret')</script>"
CUT = (
    *("mp4 with sound", "mp4 in fragments", "mov with sound", "webm with sound", "mkv with sound", "avi with sound"),
    *("flv with sound", "wmv with sound", "mpg with sound", "ts with sound", "ogv with sound", "gif", "apng"),
    *("webp, animated by Pillow", "avif, animated by Pillow", "jpeg", "png", "tiff lzw", "heic", "bmp"),
    *("wav", "flac", "mp3", "aac", "m4a", "opus"),
    *("w64", "aiff", "caf alac", "au", "ac3", "amr", "ape", "tta", "wavpack", "mpc8"),
    *("m1v mpeg1", "ts h264 behind junk"),
)
CUT_SAMPLE = (
    *("mp4 with sound", "mp4 in fragments", "mkv with sound", "ts with sound", "webp, animated by Pillow"),
    *("jpeg", "flac", "opus", "aiff", "ape"),
)
EXPECTED_REFUSALS = (
    *("media_unreadable", "media_truncated", "media_not_supported", "no_tracks", "no_frames"),
    *("media_too_long", "media_too_large"),
)


@pytest.fixture(scope="session")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """A small file of every container and codec."""
    return shared_corpus(tmp_path_factory)


@pytest.mark.parametrize("name", sampled("media", CUT, CUT_SAMPLE))
async def test_truncated_at_every_tenth(zygote: Zygote, corpus: dict[str, bytes], tmp_path: Path, name: str) -> None:
    content, path = corpus[name], tmp_path / "media"
    outcomes = []
    for tenths in range(10):
        path.write_bytes(content[: len(content) * tenths // 10])
        outcome = await examine(zygote, path, MediaLimits())
        assert not outcome.fault
        assert not outcome.crashed
        outcomes.append(outcome.name)
    assert outcomes[0] == "refused media_empty"
    for found in outcomes[1:]:
        assert found.startswith("analyzed") or found.split()[-1] in EXPECTED_REFUSALS


async def test_a_film_that_is_also_an_archive(attack: Attack, film: Film) -> None:
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as packed:
        packed.writestr("index.html", MARK)
    result = await attack(film(*MP4) + archive.getvalue())
    assert result.facts is not None
    assert result.facts.frame_count == 10
    assert MARK.encode() not in result.pictures[0]


async def test_a_film_that_is_also_a_page(attack: Attack, film: Film) -> None:
    content = film(*MP4, "-movflags", "+faststart")
    head = int.from_bytes(content[:4], "big")
    result = await attack(content[:head] + content[head:] + box(b"free", MARK.encode()))
    assert result.facts is not None
    assert MARK.encode() not in result.pictures[0]


async def test_a_picture_that_carries_a_script(attack: Attack) -> None:
    content = bombs.picture("JPEG", 64, 48, comment=MARK.encode(), exif=b"Exif\0\0" + MARK.encode())
    assert MARK.encode() in content
    result = await attack(content)
    assert result.facts is not None
    assert MARK.encode() not in result.pictures[0]


async def test_a_picture_that_changes_its_size(attack: Attack, film: Film) -> None:
    stream = ("-pix_fmt", "yuv420p", "-f", "mpegts")
    result = await attack(film(*stream) + film(*stream, size="320x240"))
    assert result.facts is not None
    assert result.facts.width in (64, 320)


async def test_a_picture_that_grows_beyond_what_is_allowed(attack: Attack, film: Film) -> None:
    stream = ("-pix_fmt", "yuv420p", "-f", "mpegts")
    limits = MediaLimits(max_pixels=64 * 48)
    result = await attack(film(*stream) + film(*stream, size="320x240"), limits)
    assert result.facts is None or result.facts.width == 64
