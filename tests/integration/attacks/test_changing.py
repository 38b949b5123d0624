"""What changes from packet to packet stays within the limits, and no stamp is too large to be counted."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from sentinel_worker.domain.errors import Permanent
from sentinel_worker.domain.media_facts import MediaLimits
from sentinel_worker.domain.windows import Window
from sentinel_worker.media.zygote import Zygote
from tests.integration.attacks import changing
from tests.integration.attacks.conftest import Attack, Result
from tests.integration.media.films import geometry

pytestmark = pytest.mark.asyncio(loop_scope="session")

Film = Callable[..., bytes]

QUICK = replace(MediaLimits(), max_cpu_seconds=30, max_memory_bytes=1024**3)
SMALL, LARGE = (64, 48), (1280, 960)
LIVE = ("-pix_fmt", "yuv420p", "-f", "matroska", "-live", "1")
SINE = ("-f", "lavfi", "-i", "sine=d=1", "-vn")
MOST = 2**63 - 1
REFUSALS = ("media_unreadable", "media_truncated", "media_too_long", "media_too_large", "no_frames", "no_tracks")


@pytest.mark.parametrize("container", ["matroska", "avi"])
async def test_each_frame_keeps_to_the_limits(zygote: Zygote, tmp_path: Path, container: str) -> None:
    """One reader of frames reads Matroska, another AVI."""
    path = tmp_path / "media"
    path.write_bytes(changing.pictures(container, [SMALL] * 10 + [LARGE] * 10))
    limits = replace(QUICK, max_pixels=640 * 480)
    async with zygote.open(path, tmp_path, limits) as child:
        assert (await child.probe()).width == SMALL[0]
        assert len([clip async for clip in child.clips([Window(0.0, 0.5)], geometry(2, 0.1))]) == 1
        with pytest.raises(Permanent) as refused:
            _ = [clip async for clip in child.clips([Window(1.2, 1.7)], geometry(2, 0.1))]
    assert refused.value.code == "media_too_large"
    assert refused.value.message == "The pictures are 1280 x 960 pixels; at most 307200 pixels are allowed."


@pytest.mark.parametrize("container", ["matroska", "avi"])
async def test_a_size_that_changes_within_the_limits_is_analyzed(attack: Attack, container: str) -> None:
    result = await attack(changing.pictures(container, [SMALL, LARGE] * 10), QUICK)
    assert result.facts is not None
    assert (result.facts.width, result.facts.frame_count) == (64, 20)


@pytest.mark.parametrize("body", [b"", b"\0"], ids=["empty", "of one byte"])
async def test_100_000_tiny_packets(attack: Attack, film: Film, body: bytes) -> None:
    expected(await attack(changing.blocks(film(*LIVE), 100_000, body), QUICK))


async def test_100_000_empty_chunks(attack: Attack, film: Film) -> None:
    expected(await attack(changing.empty_chunks(film("-c:v", "mjpeg", "-f", "avi"), 100_000), QUICK))


@pytest.mark.parametrize("scale", [1, 1_000_000, 0xFFFFFF])
@pytest.mark.parametrize("stamps", [(MOST,), (MOST, 0, MOST), (2**62, 2**64 - 1), (2**63,)], ids=str)
async def test_stamps_at_the_ends_of_64_bits(attack: Attack, film: Film, stamps: tuple[int, ...], scale: int) -> None:
    expected(await attack(changing.clusters_at(film(*LIVE), *stamps, scale=scale), QUICK))


@pytest.mark.parametrize("codec", ["libopus", "flac", "libvorbis"])
@pytest.mark.parametrize("positions", [(MOST,), (-MOST, MOST), (-MOST - 1,)], ids=str)
async def test_sound_that_ends_at_the_end_of_64_bits(
    attack: Attack, film: Film, codec: str, positions: tuple[int, ...]
) -> None:
    sound = film(*SINE, "-c:a", codec, "-page_duration", "100000", "-f", "ogg")
    expected(await attack(changing.granules(sound, *positions), QUICK))


async def test_a_chain_of_other_codecs_and_rates(attack: Attack, film: Film) -> None:
    links = [
        film(*SINE, *options, "-f", "ogg")
        for options in (
            ("-c:a", "libopus"),
            ("-c:a", "libvorbis", "-ar", "8000"),
            ("-c:a", "flac", "-ac", "2"),
            ("-c:a", "libvorbis", "-ac", "6", "-ar", "48000"),
        )
    ]
    result = await attack(b"".join(links * 25), QUICK)
    expected(result)
    assert result.facts is not None


async def test_sound_that_changes_its_rate_and_channels_with_each_frame(attack: Attack, film: Film) -> None:
    one, other = (
        film(*SINE, "-c:a", "aac", "-ar", rate, "-ac", channels, "-f", "adts")
        for rate, channels in (("44100", "2"), ("16000", "1"))
    )
    result = await attack(changing.in_turns(one, other), QUICK)
    assert result.facts is not None
    assert result.facts.has_audio


def expected(result: Result) -> None:
    """Require an analysis, or a refusal that is not for lack of memory or time."""
    if result.error is not None:
        code, sentence = result.refusal
        assert code in REFUSALS, result.refusal
        assert "memory" not in sentence
