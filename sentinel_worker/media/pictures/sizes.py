"""Limits on a still picture's size, and the size at which a large one is kept."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Final

from sentinel_worker.domain.media_facts import MediaLimits
from sentinel_worker.media.refused_files import check_picture_size, too_large

_BYTES_PER_PIXEL: Final = {"avif": 12, "heic": 13, "tiff": 14, "webp": 17}
_DEEP_BYTES_PER_PIXEL: Final = {"avif": 15, "heic": 27}
"""Memory that a decoder takes at worst, where it is much more than the picture itself (measured); more than 8 bits take
more."""
_SPARE_BYTES: Final = 512 * 1024**2
"""Memory for the compressed file, the result, and what is done with it."""
_MEGA: Final = 1_000_000


@dataclass(frozen=True, slots=True)
class Declared:
    """The size that a file's header gives its picture, 0 if it gives none; `deep` has more than 8 bits a sample."""

    width: int = 0
    height: int = 0
    deep: bool = False


def check_size(width: int, height: int, container: str, limits: MediaLimits, *, deep: bool = False) -> None:
    """Refuse a picture that has no size, is nearly a line, has too many pixels, or takes too much memory to decode."""
    allowed = limits.max_picture_pixels
    bytes_per_pixel = (_DEEP_BYTES_PER_PIXEL if deep else _BYTES_PER_PIXEL).get(container)
    if bytes_per_pixel is not None:
        allowed = min(allowed, max(limits.max_memory_bytes - _SPARE_BYTES, 0) // bytes_per_pixel)
    if width * height > allowed:
        # Rounded apart, so that the sentence never contradicts itself.
        found, most = math.ceil(10 * width * height / _MEGA) / 10, math.floor(10 * allowed / _MEGA) / 10
        raise too_large(
            f"The picture is {width} x {height} = {found:.10g} megapixels; at most {most:.10g} are allowed.", allowed
        )
    check_picture_size(width, height, replace(limits, max_pixels=allowed))


def reduction(width: int, height: int, limits: MediaLimits) -> int:
    """Return the smallest power of 2 by which both sides are divided so that a frame's limit of pixels holds."""
    factor = 1
    while (width // factor) * (height // factor) > limits.max_pixels:
        factor *= 2
    return factor
