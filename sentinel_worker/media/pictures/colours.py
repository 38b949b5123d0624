"""From a picture's own colours to those of a screen: 8 bit sRGB, transparency on white."""

from __future__ import annotations

import io
from collections.abc import Iterator
from functools import cache
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageCms
from PIL.ImageCms import ImageCmsProfile, ImageCmsTransform

WHITE: Final = (255, 255, 255)
_DEEP: Final = ("I", "F")
"""First letters of Pillow's modes with more than 8 bits."""
_MODES: Final = {"RGB": {"RGB": "RGB", "L": "RGB"}, "GRAY": {"L": "L"}, "CMYK": {"CMYK": "CMYK"}}
"""Mode in which a profile's colour space takes pixels, by the space and the mode of the pixels."""
_BAND_PIXELS: Final = 4 * 1024**2
_BAND_ROWS: Final = 8
_UNSEEN: Final = 2
"""Levels of 255. A profile that changes no colour by more is one of sRGB's many spellings."""
_SCREEN_GAMMA, _GAMMA_TOLERANCE = 1 / 2.2, 0.02
_GAMMA_RANGE: Final = (0.01, 100.0)
_LINEAR_BELOW: Final = 0.0031308


class Colours:
    """Rules that bring the pixels of one picture, whole or in parts, to the screen.

    A profile is applied if it is for the picture's colour space. `gamma` is that of the file (PNG), 1 / 2.2 for a
    screen's. 16 bit grey is scaled down from `deep_white`; 32 bit numbers have no fixed white, so the picture's own
    range is stretched. `inverted` numbers are 0 for white.
    """

    def __init__(
        self,
        image: Image.Image,
        *,
        profile: bytes | None = None,
        gamma: float | None = None,
        deep_white: int = 0xFFFF,
        inverted: bool = False,
    ) -> None:
        self._flat_mode = _flat_mode(image)
        self._transform: ImageCmsTransform | None = None
        if profile and (found := _transform(profile, self._flat_mode)) is not None:
            self._transform, self._flat_mode = found
        self._curve = None if profile or gamma is None else _curve(gamma)
        self._range = (0.0, float(deep_white)) if image.mode.startswith("I;16") else _own_range(image)
        self._inverted = inverted

    def rgba(self, part: Image.Image) -> Image.Image:
        """Return a part of the picture as RGBA."""
        flat, alpha = self._flat(part), _alpha(part)
        flat.putalpha(Image.new("L", part.size, 255) if alpha is None else alpha)
        return flat

    def rgb(self, part: Image.Image) -> Image.Image:
        """Return a part of the picture as RGB, on white."""
        flat, alpha = self._flat(part), _alpha(part)
        if alpha is None:
            return flat
        shown = Image.new("RGB", part.size, WHITE)
        shown.paste(flat, mask=alpha)
        return shown

    def _flat(self, part: Image.Image) -> Image.Image:
        """Return RGB without the alpha channel."""
        if part.mode.startswith(_DEEP):
            part = Image.fromarray(self._to_8_bit(np.asarray(part)))
        elif part.has_transparency_data:
            # Through RGBA, or Pillow makes the transparent colour of a palette another one.
            part = part.convert("RGBA")
        part = part.convert(self._flat_mode)
        if self._transform is not None:
            return self._transform.apply(part)
        if self._curve is not None:
            part = part.point(self._curve * len(part.getbands()))
        return part.convert("RGB")

    def _to_8_bit(self, values: npt.NDArray[Any]) -> npt.NDArray[np.uint8]:
        low, high = self._range
        scaled = (_finite(values).astype(np.float64) - low) * (255 / max(high - low, 1e-12))
        result: npt.NDArray[np.uint8] = np.rint(scaled.clip(0, 255)).astype(np.uint8)
        return 255 - result if self._inverted else result


def bands(image: Image.Image) -> Iterator[tuple[int, Image.Image]]:
    """Cut a picture into bands: the first row of each, a multiple of 8, and its pixels."""
    rows = max(_BAND_PIXELS // image.width // _BAND_ROWS, 1) * _BAND_ROWS
    for top in range(0, image.height, rows):
        yield top, image.crop((0, top, image.width, min(top + rows, image.height)))


def _flat_mode(image: Image.Image) -> str:
    if image.mode in ("1", "L", "LA", "La") or image.mode.startswith(_DEEP):
        return "L"
    return "CMYK" if image.mode == "CMYK" else "RGB"


def _alpha(part: Image.Image) -> Image.Image | None:
    key = part.info.get("transparency")
    if part.mode.startswith("I;16"):
        return None if key is None else Image.fromarray(np.where(np.asarray(part) == key, 0, 255).astype(np.uint8))
    return part.convert("RGBA").getchannel("A") if part.has_transparency_data else None


def _own_range(image: Image.Image) -> tuple[float, float]:
    if not image.mode.startswith(_DEEP):
        return 0.0, 0.0
    extrema = [(values.min(), values.max()) for _, part in bands(image) for values in (_finite(np.asarray(part)),)]
    return float(min(low for low, _ in extrema)), float(max(high for _, high in extrema))


def _finite(values: npt.NDArray[Any]) -> npt.NDArray[Any]:
    finite: npt.NDArray[Any] = np.nan_to_num(values, posinf=0.0, neginf=0.0)
    return finite


def _curve(gamma: float) -> list[int] | None:
    """Return the screen's level for each level of a file with this gamma; None if they hardly differ."""
    if not _GAMMA_RANGE[0] <= gamma <= _GAMMA_RANGE[1] or abs(gamma - _SCREEN_GAMMA) < _GAMMA_TOLERANCE:
        return None
    light = (np.arange(256) / 255) ** (1 / gamma)
    # sRGB's curve: a straight line near black, then a power.
    srgb = np.where(light <= _LINEAR_BELOW, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)
    return [int(level) for level in np.rint(255 * srgb)]


@cache
def screen_profile() -> ImageCmsProfile:
    """Return sRGB."""
    return ImageCmsProfile(ImageCms.createProfile("sRGB"))


def _transform(profile: bytes, pixels: str) -> tuple[ImageCmsTransform, str] | None:
    """Return the transform from `pixels` of this mode to sRGB, and the mode that it takes.

    None for a profile that is broken, is for other pixels, or hardly changes a colour.
    """
    try:
        source = ImageCmsProfile(io.BytesIO(profile))
        mode = _MODES.get(source.profile.xcolor_space.strip(), {}).get(pixels)
        if mode is None:
            return None
        transform = ImageCms.buildTransform(source, screen_profile(), mode, "RGB")
    except (ImageCms.PyCMSError, OSError, ValueError):
        return None
    if mode == "CMYK":
        return transform, mode
    sample = _sample(mode)
    apart = np.asarray(transform.apply(sample)).astype(int) - np.asarray(sample.convert("RGB"))
    return (transform, mode) if np.abs(apart).max() > _UNSEEN else None


def _sample(mode: str) -> Image.Image:
    """Return colours from all over the space."""
    if mode == "L":
        return Image.fromarray(np.arange(256, dtype=np.uint8)[None])
    levels = np.linspace(0, 255, 17).astype(np.uint8)
    return Image.fromarray(np.stack(np.meshgrid(levels, levels, levels), axis=-1).reshape(17, -1, 3))
