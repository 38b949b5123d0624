"""Colour profiles, applied as browsers apply them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageCms

from tests.integration.media.pictures.icc_profiles import SRGB, grey_profile, ink_profile, rgb_profile
from tests.integration.media.pictures.seen import array, opened, photograph, pixels, saved

LINEAR = rgb_profile(1.0)


def grey(value: int, mode: str = "RGB") -> Image.Image:
    return Image.new("L", (16, 16), value).convert(mode)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "AVIF", "TIFF"])
def test_linear_light_is_brought_to_the_screen(tmp_path: Path, kind: str) -> None:
    """55 of 255 in linear light is shown as 128."""
    media = opened(tmp_path, saved(grey(55), kind, icc_profile=LINEAR, quality=95))
    assert np.abs(pixels(media).astype(int) - 128).max() <= 2


def test_primaries_are_brought_to_the_screen(tmp_path: Path) -> None:
    swapped = rgb_profile(2.2, SRGB[::-1])
    red = pixels(opened(tmp_path, saved(Image.new("RGB", (8, 8), (255, 0, 0)), "PNG", icc_profile=swapped)))
    assert np.abs(red[4, 4].astype(int) - [0, 0, 255]).max() <= 3


@pytest.mark.parametrize(("mode", "profile"), [("L", grey_profile(1.0)), ("L", LINEAR), ("LA", LINEAR), ("P", LINEAR)])
def test_grey_and_palettes_have_profiles_too(tmp_path: Path, mode: str, profile: bytes) -> None:
    media = opened(tmp_path, saved(grey(51, mode), "PNG", icc_profile=profile))
    assert np.abs(pixels(media).astype(int) - 124).max() <= 2


def test_inks_have_a_profile(tmp_path: Path) -> None:
    inks = Image.new("CMYK", (16, 16), (255, 255, 255, 0))
    plain = pixels(opened(tmp_path, saved(inks, "JPEG", quality=95)))
    assert plain.mean() < 5
    managed = pixels(opened(tmp_path, saved(inks, "JPEG", quality=95, icc_profile=ink_profile())))
    assert 160 < managed.mean() < 190


@pytest.mark.parametrize(
    "profile",
    [
        ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes(),
        ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes(),
        b"garbage" * 100,
        LINEAR[:100],
        grey_profile(1.0),
        ink_profile(),
    ],
    ids=["sRGB", "CIELAB", "garbage", "cut", "grey", "inks"],
)
def test_a_profile_that_does_not_fit_or_changes_nothing_leaves_the_pixels(tmp_path: Path, profile: bytes) -> None:
    media = opened(tmp_path, saved(photograph(), "PNG", icc_profile=profile))
    assert (pixels(media) == array(photograph())).all()


def test_transparency_lies_on_white_after_the_profile(tmp_path: Path) -> None:
    picture = grey(55, "RGBA")
    picture.putalpha(128)
    media = opened(tmp_path, saved(picture, "PNG", icc_profile=LINEAR))
    assert np.abs(pixels(media).astype(int) - 191).max() <= 2
