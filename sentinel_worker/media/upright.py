"""Turning and mirroring of pixels, by which films and pictures are shown upright."""

from __future__ import annotations

from torch import Tensor


def upright(pixels: Tensor, *, transpose: bool, mirror: bool, flip: bool) -> Tensor:
    """Swap rows and columns of uint8 pixels [3, H, W], then mirror them left to right, then top to bottom."""
    if transpose:
        pixels = pixels.transpose(1, 2)
    sides = [side for side, mirrored in ((2, mirror), (1, flip)) if mirrored]
    return (pixels.flip(sides) if sides else pixels).contiguous()
