"""Pictures for people: upright, small, and of the same shape as the original."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sentinel_worker.domain.derived import Still
from sentinel_worker.media.pictures_for_people import webp
from sentinel_worker.media.stills import LONG_SIDE_PIXELS, Stills
from tests.integration.media.pictures.png_files import Drawn, apng, plain
from tests.integration.media.pictures.seen import LIMITS, opened, photograph, saved


def made(folder: Path, content: bytes, seconds: float = 0.0, max_pixels: int = LIMITS.max_pixels) -> Image.Image:
    """The thumbnail at this moment."""
    media = opened(folder, content, replace(LIMITS, max_pixels=max_pixels))
    return Image.open(io.BytesIO(webp(media, Stills(media), Still(seconds))))


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        ((1280, 960), (640, 480)),
        ((64, 48), (64, 48)),
        ((1, 1), (1, 1)),
        ((3000, 60), (640, 13)),
        ((900, 1800), (320, 640)),
    ],
)
def test_the_long_side_is_at_most_640_pixels(tmp_path: Path, size: tuple[int, int], expected: tuple[int, int]) -> None:
    assert LONG_SIDE_PIXELS == 640
    assert made(tmp_path, saved(photograph(*size), "PNG")).size == expected


def test_a_thumbnail_is_upright_and_tells_nothing_else(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112], exif[0x010F] = 6, "a camera"
    picture = photograph(640, 480)
    thumbnail = made(tmp_path, saved(picture, "JPEG", exif=exif, quality=95))
    assert thumbnail.size == (480, 640)
    assert not thumbnail.getexif()
    apart = np.asarray(thumbnail).astype(int) - np.asarray(picture.rotate(-90, expand=True))
    assert np.abs(apart).mean() < 3


def test_a_reduced_picture_has_a_thumbnail(tmp_path: Path) -> None:
    assert made(tmp_path, saved(photograph(1600, 1200), "JPEG"), max_pixels=800 * 600).size == (640, 480)


def test_a_moment_of_an_animation(tmp_path: Path) -> None:
    content = apng((16, 12), [Drawn(plain(16, 12, 255, 0, 0)), Drawn(plain(16, 12, 0, 0, 255))])
    assert np.abs(np.asarray(made(tmp_path, content, 0.15))[5, 5].astype(int) - [0, 0, 255]).max() < 5
