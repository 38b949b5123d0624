"""Small copies of frames that are decoded for a detector anyway, kept for the pictures for people.

Runs in a decoding child. A frame is copied when it passes, because to find it again means to decode from the key frame
before it.
"""

from __future__ import annotations

import math
from bisect import bisect_left, insort
from typing import Final

import torch
from PIL import Image
from torch import Tensor

from sentinel_worker.domain.windows import Window
from sentinel_worker.media.opened_media import OpenedMedia, Shown

LONG_SIDE_PIXELS: Final = 640
CELL_PIXELS: Final = 160
"""Longest side of a filmstrip's cell."""
MAX_KEPT_BYTES: Final = 96 * 1024**2
"""Limit for the pixels of the larger copies, about 140 of wide frames. Later windows keep only a cell."""


class Stills:
    """A copy of one frame for each window that is wanted, in two sizes."""

    def __init__(self, media: OpenedMedia) -> None:
        self._media = media
        self._wanted: list[tuple[float, float, float]] = []
        self._stills: dict[Window, Image.Image] = {}
        self._cells: dict[Window, Image.Image] = {}
        self._kept_bytes = 0

    def want(self, window: Window, seconds: float) -> None:
        """Keep the frame that is on screen at `seconds` for `window`, when it passes."""
        if window not in self._cells:
            insort(self._wanted, (seconds, window.start_seconds, window.end_seconds))

    def look(self, seconds: float, shown: Shown) -> None:
        """Copy a frame that was decoded for the time `seconds` if a window wants it."""
        first = bisect_left(self._wanted, (min(seconds, shown.start_seconds),))
        end = bisect_left(self._wanted, (max(math.nextafter(seconds, math.inf), shown.end_seconds),))
        if first < end:
            still = small_copy(self._media, shown.pixels)
            for _, start_seconds, end_seconds in self._wanted[first:end]:
                self._keep(Window(start_seconds, end_seconds), still)
            del self._wanted[first:end]

    def still(self, window: Window) -> Image.Image | None:
        """The larger copy of a window's frame, its long side at most `LONG_SIDE_PIXELS`; None if there is none."""
        return self._stills.get(window)

    def cell(self, window: Window) -> Image.Image | None:
        """The smaller copy, its long side at most `CELL_PIXELS`; None if the window's frame is damaged."""
        return self._cells.get(window)

    def _keep(self, window: Window, still: Image.Image) -> None:
        cell = still.copy()
        cell.thumbnail((CELL_PIXELS, CELL_PIXELS), Image.Resampling.BILINEAR)
        self._cells[window] = cell
        size = 3 * still.width * still.height
        if self._kept_bytes + size <= MAX_KEPT_BYTES:
            self._kept_bytes += size
            self._stills[window] = still


def small_copy(media: OpenedMedia, pixels: Tensor) -> Image.Image:
    """Return a frame [3, H, W] as it is shown, its long side at most `LONG_SIDE_PIXELS`."""
    height, width = media.size_on_screen(pixels)
    scale = min(1.0, LONG_SIDE_PIXELS / max(width, height))
    size = max(1, round(width * scale)), max(1, round(height * scale))
    picture = Image.fromarray(pixels.permute(1, 2, 0).contiguous().numpy())
    if picture.size == size:
        return picture.copy()
    return picture.resize(size, Image.Resampling.LANCZOS, reducing_gap=2.0)


def warm_up() -> None:
    """Load what Pillow and torch import for the first copy."""
    picture = Image.fromarray(torch.zeros(16, 16, 3, dtype=torch.uint8).numpy())
    picture.resize((4, 4), Image.Resampling.LANCZOS, reducing_gap=2.0)
