"""Small uploads that expand, and tables with false entries: refused at once, in one sentence that gives the reason."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from sentinel_worker.domain.media_facts import MediaLimits
from sentinel_worker.media.zygote import Zygote
from tests.integration.attacks import bombs
from tests.integration.attacks.conftest import Attack, examined

pytestmark = pytest.mark.asyncio(loop_scope="session")

Film = Callable[..., bytes]

MP4 = ("-pix_fmt", "yuv420p", "-f", "mp4")
MJPEG = ("-c:v", "mjpeg", "-f", "mp4")
FRAGMENTS = ("-c:v", "mjpeg", "-movflags", "frag_keyframe+empty_moov+default_base_moof", "-f", "mp4")
QUICK = replace(MediaLimits(), max_cpu_seconds=15)
"""Under these limits a slow child is refused too, but with another error."""

PICTURES: dict[str, tuple[Callable[[], bytes], str, str]] = {
    "png 50,000 x 50,000": (
        bombs.square_png,
        "media_too_large",
        "50000 x 50000 = 2500 megapixels; at most 270 are allowed",
    ),
    "png of one line": (
        lambda: bombs.png(1, 30_000),
        "media_too_large",
        "1 x 30000 pixels; one side may be at most 50",
    ),
    "jpeg of one line": (
        lambda: bombs.picture("JPEG", 30_000, 1),
        "media_too_large",
        "30000 x 1 pixels; one side may be at most 50",
    ),
    "gif with 100,000 frames": (
        lambda: bombs.gif(100_000),
        "media_too_long",
        "100000 frames; at most 20000 are allowed",
    ),
    "webp with 25,000 frames": (
        lambda: bombs.webp(25_000),
        "media_too_long",
        "25000 frames; at most 20000 are allowed",
    ),
    "gif 65,535 x 65,535": (
        lambda: bombs.gif(3, 65_535, 65_535),
        "media_too_large",
        "65535 x 65535 = 4294.9 megapixels; at most 270 are allowed",
    ),
    "zip bomb": (bombs.zip_bomb, "media_not_supported", "it looks like an archive"),
    "gzip bomb": (bombs.gzip_bomb, "media_not_supported", "it looks like an archive"),
}
FILMS: dict[str, tuple[Callable[[bytes], bytes], tuple[str, ...], str, str]] = {
    "a billion frames": (bombs.many_frames, MJPEG, "media_too_long", "1000000000 frames; at most 1296000 are allowed"),
    "a billion in a fragment": (bombs.many_in_a_fragment, FRAGMENTS, "media_unreadable", "promises 1000000000 samples"),
    "10,240 frames a second": (
        lambda film: bombs.with_lengths(film, 1),
        MJPEG,
        "media_too_large",
        "10240 frames per second; at most 240 are allowed",
    ),
    "edits before the start": (lambda film: bombs.with_edits(film, 100_000), MP4, "no_frames", "holds no frames"),
    "40 tracks": (
        lambda film: bombs.many_tracks(film, 40),
        MP4,
        "media_too_large",
        "40 streams; at most 32 are allowed",
    ),
    "5,000 tracks": (lambda film: bombs.many_tracks(film, 5000), MP4, "media_too_large", "more memory than is allowed"),
}


LIES: dict[str, tuple[Callable[[bytes], bytes], tuple[str, ...]]] = {
    "frames without a length": (lambda film: bombs.with_lengths(film, 0), MJPEG),
    "a negative length": (bombs.negative, MP4),
}


@pytest.mark.parametrize("name", PICTURES)
async def test_pictures(attack: Attack, name: str) -> None:
    make, code, words = PICTURES[name]
    content = make()
    refused = (await attack(content, QUICK)).refusal
    assert refused[0] == code
    assert words in refused[1]


@pytest.mark.parametrize("name", LIES)
async def test_the_header_may_lie_about_a_film_that_is_there(attack: Attack, film: Film, name: str) -> None:
    lie, options = LIES[name]
    facts = (await attack(lie(film(*options)), QUICK)).facts
    assert facts is not None
    assert facts.frame_count == 10
    assert 1 <= facts.duration_seconds <= 10


@pytest.mark.parametrize("name", FILMS)
async def test_films(attack: Attack, film: Film, name: str) -> None:
    lie, options, code, words = FILMS[name]
    content = lie(film(*options))
    refused = (await attack(content, QUICK)).refusal
    assert refused[0] == code
    assert words in refused[1]


@pytest.mark.parametrize("scale", [0, 1, 10**9, 0xFFFFFFFF])
async def test_odd_time_scales(attack: Attack, film: Film, scale: int) -> None:
    result = await attack(bombs.with_scale(film(*MP4), scale))
    if result.error is None:
        assert result.facts is not None
        assert result.facts.frames_per_second <= MediaLimits().max_frames_per_second
    else:
        assert result.refusal[0] in ("media_unreadable", "media_too_large", "no_frames")


async def test_boxes_in_boxes(attack: Attack) -> None:
    assert (await attack(bombs.nested(20_000))).refusal[0] == "media_unreadable"


async def test_a_million_empty_boxes(attack: Attack) -> None:
    assert (await attack(bombs.crumbs(1 << 20), QUICK)).refusal[0] == "media_truncated"


async def test_only_the_first_page_is_read(attack: Attack) -> None:
    result = await attack(bombs.pages(1000))
    assert result.facts is not None
    assert (result.facts.kind, result.facts.frame_count) == ("image", 1)


@pytest.mark.parametrize("kind", [b"iCCP", b"zTXt", b"iTXt"])
async def test_what_a_png_packs_beside_its_pixels_is_not_unpacked(attack: Attack, kind: bytes) -> None:
    """A browser shows the picture. 100 MiB of text would not fit into this child's memory."""
    result = await attack(bombs.bloated_png(kind), replace(QUICK, max_memory_bytes=64 * 1024**2))
    assert result.facts is not None
    assert (result.facts.kind, result.facts.width, result.facts.height) == ("image", 8, 8)


async def test_an_animation_that_promises_more_frames_is_read_as_it_is(attack: Attack) -> None:
    for promised in (0, bombs.BILLION):
        result = await attack(bombs.apng(promised))
        assert result.facts is not None
        assert (result.facts.kind, result.facts.frame_count) == ("image", 1)


async def test_a_line_of_film(attack: Attack, film: Film) -> None:
    refused = (await attack(film("-c:v", "ffv1", "-pix_fmt", "bgr0", "-f", "matroska", size="4x2000"))).refusal
    assert refused[0] == "media_too_large"
    assert "4 x 2000 pixels; one side may be at most 50 times as long as the other" in refused[1]


@pytest.mark.parametrize("head", [b"\x89PNG\r\n\x1a\n", b"\x00\x00\x00\x18ftypmp42"])
async def test_three_gigabytes_of_nothing(zygote: Zygote, tmp_path: Path, head: bytes) -> None:
    path = tmp_path / "media"
    path.write_bytes(head)
    os.truncate(path, 3 * 1024**3)
    code, sentence = (await examined(zygote, path, QUICK)).refusal
    assert (code, sentence) == (
        "media_too_large",
        f"The file has {3 * 1024**3} bytes; at most {2 * 1024**3} are allowed.",
    )


async def test_a_picture_of_a_gigabyte(zygote: Zygote, tmp_path: Path) -> None:
    path = tmp_path / "media"
    path.write_bytes(bombs.webp(2))
    os.truncate(path, 1024**3)
    code, sentence = (await examined(zygote, path, MediaLimits())).refusal
    assert code == "media_too_large"
    assert f"at most {512 * 1024**2} are allowed for one" in sentence


async def test_a_tag_of_256_megabytes(attack: Attack) -> None:
    code, _ = (await attack(b"ID3\x04\x00\x00\x7f\x7f\x7f\x7f" + b"#EXTM3U\n" * 100)).refusal
    assert code == "media_not_supported"
