"""Still pictures, and animations that FFmpeg does not play, read by Pillow: turned upright, RGB, 8 bit.

A picture is decoded while it is probed, because only that shows whether it is complete.
"""

from __future__ import annotations

import math
import warnings
from bisect import bisect_right
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, BinaryIO, Final, Literal

import numpy as np
import numpy.typing as npt
import torch
from PIL import AvifImagePlugin, Image, ImageOps, MpoImagePlugin, TiffImagePlugin, WebPImagePlugin  # noqa: F401 by name
from torch import Tensor

from sentinel_worker.domain.errors import CodedError, Permanent
from sentinel_worker.domain.media_facts import MediaLimits
from sentinel_worker.media.cut_files import ends_early
from sentinel_worker.media.opened_media import OpenedMedia, Shown
from sentinel_worker.media.protocol import ProbedFacts
from sentinel_worker.media.refused_files import (
    check_frames,
    check_picture_size,
    check_rate,
    out_of_memory,
    too_large,
    too_long,
)

try:
    import pillow_heif
except ImportError:  # the extra `heic` was not installed
    pillow_heif = None  # type: ignore[assignment]

PICTURE_FORMATS: Final[dict[str, tuple[str, ...]]] = {
    "jpeg": ("JPEG",),
    "png": ("PNG",),
    "apng": ("PNG",),
    "gif": ("GIF",),
    "bmp": ("BMP",),
    "tiff": ("TIFF",),
    "webp": ("WEBP",),
    "avif": ("AVIF",),
    # The brand `mif1` is written by both.
    "heic": ("HEIF", "AVIF"),
}
"""Pillow's formats that a container of `sniff` may be."""

_ANIMATED: Final = frozenset({"webp", "avif", "heic"})
_CUT_SIGNS: Final = ("truncated", "unexpected end of file", "not enough")
# Browsers show frames that ask for no more than this for a tenth of a second.
_IGNORED_MS, _MS_INSTEAD = 10.0, 100.0
_WHITE: Final = (255, 255, 255, 255)


@cache
def register_plugins() -> None:
    """Register the formats with Pillow, including those that it would import later; each decodes in one thread."""
    Image.preinit()
    AvifImagePlugin.DEFAULT_MAX_THREADS = 1
    if pillow_heif is not None:
        pillow_heif.options.DECODE_THREADS = 1
        pillow_heif.register_heif_opener()


@dataclass(frozen=True, slots=True)
class OpenedPicture(OpenedMedia):
    """One decoded picture, uint8 RGB [3, H, W]; it is shown at any time."""

    pixels: Tensor

    def frames(self) -> _OnePicture:
        """Return a reader that always shows it."""
        return _OnePicture(self.pixels)


@dataclass(frozen=True, slots=True)
class OpenedAnimation(OpenedMedia):
    """Pictures that follow each other: the times at which they appear, and the end."""

    image: Image.Image
    starts: tuple[float, ...]

    def frames(self) -> _Animation:
        """Return a new reader."""
        return _Animation(self.image, self.starts, self.facts.duration_seconds)


def open_pictures(path: Path, container: str, size: int, limits: MediaLimits) -> OpenedMedia:
    """Decode the picture, or every picture of an animation once to learn their number and times."""
    register_plugins()
    # Pillow reads an animation whole when it is opened, so the file is closed either way.
    with _damage(path, limits), path.open("rb") as file:
        image = _open(file, container)
        check_picture_size(*image.size, limits)
        if container in _ANIMATED and getattr(image, "n_frames", 1) > 1 and image.format != "HEIF":
            return _open_animation(path, image, container, size, limits)
        pixels = upright_rgb(image)
        height, width = pixels.shape[-2:]
        return OpenedPicture(path, _facts("image", container, size, width, height, 1), pixels)


def _open(file: BinaryIO, container: str) -> Image.Image:
    if container == "heic" and pillow_heif is None:
        try:
            return Image.open(file, formats=["AVIF"])
        except Image.UnidentifiedImageError:
            raise Permanent(
                "media_not_supported",
                "HEIC pictures cannot be read here: the worker was installed without the extra 'heic'.",
                params={"found": "a HEIC picture"},
            ) from None
    return Image.open(file, formats=PICTURE_FORMATS[container])


def _open_animation(path: Path, image: Image.Image, container: str, size: int, limits: MediaLimits) -> OpenedAnimation:
    count: int = image.n_frames  # type: ignore[attr-defined]  # checked by the caller
    check_frames("animation", count, min(limits.max_animation_frames, limits.max_frames))
    starts: list[float] = []
    milliseconds = 0.0
    for number in range(count):
        image.seek(number)
        image.load()
        starts.append(milliseconds / 1000)
        wanted = float(image.info.get("duration", 0))
        milliseconds += wanted if wanted > _IGNORED_MS else _MS_INSTEAD
        if milliseconds > 1000 * limits.max_duration_seconds:
            raise too_long("animation", milliseconds / 1000, limits)
    end = milliseconds / 1000
    rate = count / end
    check_rate(rate, limits)
    image.seek(0)
    height, width = upright_rgb(image).shape[-2:]
    facts = _facts("video", container, size, width, height, count, end, rate)
    return OpenedAnimation(path, facts, image, tuple(starts))


def _facts(
    kind: Literal["video", "image"],
    container: str,
    size: int,
    width: int,
    height: int,
    frames: int,
    seconds: float = 0.0,
    rate: float = 0.0,
) -> ProbedFacts:
    return ProbedFacts(
        kind=kind,
        container=container,
        duration_seconds=seconds,
        size_bytes=size,
        has_video=kind == "video",
        has_audio=False,
        video_codec=container if kind == "video" else None,
        width=width,
        height=height,
        frames_per_second=rate,
        frame_count=frames,
    )


class _OnePicture:
    def __init__(self, pixels: Tensor) -> None:
        self._shown = Shown(pixels, 0.0, math.inf)

    def at(self, seconds: float) -> Shown | None:
        return self._shown


class _Animation:
    def __init__(self, image: Image.Image, starts: tuple[float, ...], end_seconds: float) -> None:
        self._image = image
        self._times = (*starts, end_seconds)

    def at(self, seconds: float) -> Shown | None:
        last = len(self._times) - 2
        number = min(max(bisect_right(self._times, seconds) - 1, 0), last)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                self._image.seek(number)
                pixels = upright_rgb(self._image)
            except Exception as error:  # its first pass succeeded, so this is rare; any parser may fail
                if out_of_memory(error):
                    raise
                return None
        return Shown(pixels, self._times[number], self._times[number + 1])


def upright_rgb(image: Image.Image) -> Tensor:
    """Return the picture as it is meant to be seen, uint8 RGB [3, H, W].

    It is turned as EXIF says. Transparency lies on white, as on a web page. 16 bit grey is scaled down; 32 bit numbers
    have no fixed white, so their own range is stretched.
    """
    image.load()
    image = ImageOps.exif_transpose(image)
    if image.mode.startswith(("I", "F")):
        image = Image.fromarray(_to_8_bit(np.asarray(image), image.mode))
    if image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, _WHITE), image)
    return torch.from_numpy(np.array(image.convert("RGB"))).permute(2, 0, 1).contiguous()


def _to_8_bit(values: npt.NDArray[Any], mode: str) -> npt.NDArray[np.uint8]:
    if mode.startswith("I;16"):
        low, high = 0.0, 65535.0
    else:
        values = np.nan_to_num(values, posinf=0.0, neginf=0.0)
        low, high = float(values.min()), float(values.max())
    scaled = (values.astype(np.float64) - low) * (255 / max(high - low, 1e-12))
    result: npt.NDArray[np.uint8] = np.rint(scaled).astype(np.uint8)
    return result


@contextmanager
def _damage(path: Path, limits: MediaLimits) -> Iterator[None]:
    """Turn the many errors of Pillow's parsers into sentences. Its bomb check counts our pixels."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        Image.MAX_IMAGE_PIXELS = limits.max_pixels
        try:
            yield
        except CodedError:
            raise
        except (Image.DecompressionBombWarning, Image.DecompressionBombError) as error:
            raise too_large(
                f"The picture is too large; at most {limits.max_pixels} pixels are allowed.", limits.max_pixels
            ) from error
        except Exception as error:
            if out_of_memory(error):
                raise
            if any(sign in str(error).lower() for sign in _CUT_SIGNS) or ends_early(path):
                raise Permanent("media_truncated", "The picture ends too early: the upload was cut off.") from error
            raise Permanent("media_unreadable", "The picture is damaged and cannot be decoded.") from error
