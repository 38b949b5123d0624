"""From coded pixels to the picture as it is shown: turned and mirrored by the display matrix, with square pixels."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from fractions import Fraction
from typing import Final, Self

from torch import Tensor

from sentinel_worker.media.upright import upright

_MATRIX: Final = struct.Struct("=9i")
_LARGEST_ASPECT: Final = 10


@dataclass(frozen=True, slots=True)
class Orientation:
    """Steps that make a frame upright: rows and columns swapped (`transpose`), then mirrored left to right
    (`mirror`), then top to bottom (`flip`). `pixel_aspect` is the width of a coded pixel divided by its height."""

    transpose: bool = False
    mirror: bool = False
    flip: bool = False
    pixel_aspect: Fraction = Fraction(1)

    @classmethod
    def of(cls, display_matrix: bytes | None, pixel_aspect: Fraction | None) -> Self:
        """Read FFmpeg's display matrix (nine 32 bit numbers) and pixel aspect.

        Turns other than by quarters count as the nearest quarter; an aspect beyond 10 counts as damaged and is ignored.
        """
        aspect = pixel_aspect or Fraction(1)
        if not Fraction(1, _LARGEST_ASPECT) <= aspect <= _LARGEST_ASPECT:
            aspect = Fraction(1)
        if display_matrix is None or len(display_matrix) != _MATRIX.size:
            return cls(pixel_aspect=aspect)
        # (x, y) of the coded frame is shown at (a x + c y, b x + d y).
        a, b, _, c, d, *_ = _MATRIX.unpack(display_matrix)
        transpose = abs(b) + abs(c) > abs(a) + abs(d)
        if transpose:
            return cls(True, c < 0, b < 0, aspect)
        return cls(False, a < 0, d < 0, aspect)

    @property
    def is_mirrored(self) -> bool:
        """True if rotation alone cannot make it upright."""
        return self.transpose ^ self.mirror ^ self.flip

    def on_screen(self, width: int, height: int) -> tuple[int, int]:
        """Width and height on screen of a frame of `width` x `height` coded pixels."""
        return self.squared(height, width) if self.transpose else self.squared(width, height)

    def squared(self, width: int, height: int) -> tuple[int, int]:
        """Width and height on screen of a picture that is turned already. The longer side of a pixel counts."""
        aspect = 1 / self.pixel_aspect if self.transpose else self.pixel_aspect
        if aspect >= 1:
            return max(round(width * aspect), 1), height
        return width, max(round(height / aspect), 1)

    def turned(self, pixels: Tensor) -> Tensor:
        """Turn coded uint8 pixels [3, H, W] upright."""
        return upright(pixels, transpose=self.transpose, mirror=self.mirror, flip=self.flip)
