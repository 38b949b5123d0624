"""Pictures of more pixels than a frame may have: reduced while they are decoded, and refused with their size."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sentinel_worker.domain.derived import Still
from sentinel_worker.domain.media_facts import ClipGeometry, FaceSearch, MediaLimits
from sentinel_worker.domain.windows import Window
from sentinel_worker.media.decode import resize_frame
from sentinel_worker.media.pictures.formats import register_plugins
from sentinel_worker.media.zygote import Zygote
from tests.integration.media.pictures.bmp_files import bmp, colours, head
from tests.integration.media.pictures.gif_files import RED, Drawn, gif
from tests.integration.media.pictures.seen import LIMITS, array, opened, photograph, pixels, refusal, saved
from tests.integration.media.test_memory import high_water
from tests.matrix import sampled

register_plugins()

KINDS = ["JPEG", "PNG", "WEBP", "AVIF", "HEIF", "TIFF", "JPEG2000", "BMP", "GIF"]
SMALL = replace(LIMITS, max_pixels=64 * 48)
GEOMETRY = ClipGeometry(1, 1.0, "squash", 32, 32, 32, 32)
MEBIBYTE = 1024**2
ORIENTATION = 0x0112


def made(kind: str, width: int = 322, height: int = 241) -> bytes:
    picture = photograph(width, height)
    return saved(picture.convert("P") if kind == "GIF" else picture, kind)


@pytest.mark.parametrize("kind", KINDS)
def test_a_large_picture_is_reduced_and_keeps_its_size(tmp_path: Path, kind: str) -> None:
    content = made(kind)
    whole, reduced = opened(tmp_path, content), opened(tmp_path, content, SMALL)
    assert whole.facts == reduced.facts
    assert (reduced.facts.width, reduced.facts.height) == (322, 241)
    kept = pixels(reduced)
    # Divided by 8, rounded up.
    assert kept.shape == (31, 41, 3)
    expected = resize_frame(whole.frames().at(0.0).pixels, GEOMETRY).numpy().astype(int)  # type: ignore[union-attr]
    found = resize_frame(reduced.frames().at(0.0).pixels, GEOMETRY).numpy().astype(int)  # type: ignore[union-attr]
    assert np.abs(expected - found).mean() < 3


def test_a_large_picture_is_turned_too(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[ORIENTATION] = 6
    media = opened(tmp_path, saved(photograph(320, 240), "JPEG", exif=exif), SMALL)
    assert (media.facts.width, media.facts.height) == (240, 320)
    assert pixels(media).shape == (40, 30, 3)


@pytest.mark.parametrize("kind", KINDS)
def test_a_picture_beyond_the_limit_is_refused_with_its_size(tmp_path: Path, kind: str) -> None:
    refused = refusal(tmp_path, made(kind, 2000, 1502), replace(LIMITS, max_picture_pixels=3_000_000))
    assert (refused.code, refused.params["limit"]) == ("media_too_large", 3_000_000)
    assert "2000 x 1502 = 3.1 megapixels; at most 3 are allowed" in refused.message


@pytest.mark.parametrize("kind", ["WEBP", "AVIF", "HEIF", "TIFF"])
def test_a_picture_that_takes_too_much_memory_is_refused_before(tmp_path: Path, kind: str) -> None:
    limits = replace(LIMITS, max_memory_bytes=513 * MEBIBYTE)
    refused = refusal(tmp_path, made(kind, 2000, 1502), limits)
    assert refused.code == "media_too_large"
    assert "2000 x 1502 = 3.1 megapixels; at most 0" in refused.message


def test_a_picture_at_the_limit_is_allowed(tmp_path: Path) -> None:
    media = opened(tmp_path, made("PNG", 100, 80), replace(LIMITS, max_picture_pixels=8000))
    assert (media.facts.width, media.facts.height) == (100, 80)


def test_a_large_animation_is_refused(tmp_path: Path) -> None:
    refused = refusal(tmp_path, gif(64, 48, [Drawn(RED, 64, 48)] * 2), replace(LIMITS, max_pixels=64 * 47))
    assert refused.code == "media_too_large"
    assert "64 x 48" in refused.message


def test_bands_of_a_large_picture_meet(tmp_path: Path) -> None:
    """It is converted in parts of 4 million pixels."""
    picture = photograph(3001, 2003)
    media = opened(tmp_path, bmp(head(40, 3001, 2003, 24), colours(array(picture))))
    assert (pixels(media) == array(picture)).all()


@pytest.mark.asyncio(loop_scope="session")
@pytest.mark.parametrize("name", sampled("media", ["jpeg", "progressive jpeg", "png", "webp", "avif"], ["jpeg"]))
async def test_a_photo_of_108_megapixels_is_analyzed(
    zygote: Zygote, tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    options: dict[str, dict[str, object]] = {
        "jpeg": {},
        "progressive jpeg": {"progressive": True, "subsampling": 0},
        "png": {"compress_level": 1},
        "webp": {"method": 0},
        "avif": {"speed": 10},
    }
    path = tmp_path / "media"
    Image.new("RGB", (12_000, 9000), (40, 90, 160)).save(path, name.rsplit(maxsplit=1)[-1], **options[name])
    async with zygote.open(path, tmp_path, MediaLimits()) as child:
        before = high_water(child)
        facts = await child.probe()
        geometry = ClipGeometry(1, 1.0, "shortest_edge", 224, 224, 224, 224)
        [clip] = [clip async for clip in child.clips([Window(0.0, 1.0)], geometry)]
        _ = [clip async for clip in child.clips([Window(0.0, 1.0)], geometry, FaceSearch())]
        await child.derive([Still(0.0)], names=["only.webp"])
        peak = (high_water(child) - before) // MEBIBYTE
    with capsys.disabled():
        print(f"\npeak of a child for 108 megapixels of {name}: {peak} MiB more than before")  # noqa: T201
    assert (facts.width, facts.height) == (12_000, 9000)
    assert np.abs(clip.values[0].mean(axis=(1, 2)) - [40, 90, 160]).max() < 3  # type: ignore[union-attr]
    assert peak < {"jpeg": 1000, "webp": 2000}.get(name, 1300)
