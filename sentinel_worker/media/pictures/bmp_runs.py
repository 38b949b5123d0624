"""Pixels of a BMP that are packed as runs of equal colours (RLE4, RLE8, and RLE24 of OS/2)."""

# ruff: noqa: PLR2004 the numbers come from the format

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

Pixels = npt.NDArray[np.uint8]

_END_OF_ROW, _END, _MOVE = 0, 1, 2


@dataclass(slots=True)
class Runs:
    """A picture that is drawn run by run, its first row first.

    `pixels` holds numbers of colours [H, W], or blue, green and red [H, W, 3]; `drawn` [H, W] tells which were set.
    """

    width: int
    height: int
    bits: int
    pixels: Pixels = field(init=False)
    drawn: npt.NDArray[np.bool_] = field(init=False)
    missing: float = 0.0
    _row: int = 0
    _column: int = 0

    def __post_init__(self) -> None:
        shape = (self.height, self.width, 3) if self.bits == 24 else (self.height, self.width)
        self.pixels = np.zeros(shape, dtype=np.uint8)
        self.drawn = np.zeros(shape[:2], dtype=np.bool_)

    def draw(self, data: bytes) -> None:
        """Draw all runs of `data`. If it ends without saying so, what no run has reached is missing."""
        place = 0
        while place + 1 < len(data) and self._row < self.height:
            count, value = data[place], data[place + 1]
            place += 2
            if count:
                place = self._draw_run(data, place, count)
            elif value == _END_OF_ROW:
                self._row, self._column = self._row + 1, 0
            elif value == _END:
                return
            elif value == _MOVE:
                self._column += data[place] if place < len(data) else 0
                self._row += data[place + 1] if place + 1 < len(data) else 0
                place += 2
            else:
                place = self._draw_different(data, place, value)
        reached = min(self._row * self.width + min(self._column, self.width), self.width * self.height)
        self.missing = 1 - reached / (self.width * self.height)

    def _draw_run(self, data: bytes, place: int, count: int) -> int:
        """Draw one colour `count` times; 4 bits hold two that alternate."""
        if self.bits == 24:
            self._put(np.frombuffer(data[place - 1 : place + 2].ljust(3, b"\0") * count, np.uint8).reshape(-1, 3))
            return place + 2
        value = data[place - 1]
        if self.bits == 8:
            self._put(np.full(count, value, dtype=np.uint8))
        else:
            self._put(np.resize(np.array([value >> 4, value & 15], dtype=np.uint8), count))
        return place

    def _draw_different(self, data: bytes, place: int, count: int) -> int:
        """Draw `count` colours that stand one after the other, padded to 16 bits."""
        length = (count * self.bits + 7) // 8
        packed = np.frombuffer(data[place : place + length], dtype=np.uint8)
        if self.bits == 24:
            colours = packed[: len(packed) // 3 * 3].reshape(-1, 3)
        elif self.bits == 8:
            colours = packed
        else:
            colours = np.stack([packed >> 4, packed & 15], axis=1).reshape(-1)[:count]
        self._put(colours)
        return place + (length + 1) // 2 * 2

    def _put(self, colours: Pixels) -> None:
        end = min(self._column + len(colours), self.width)
        if self._column < end:
            self.pixels[self._row, self._column : end] = colours[: end - self._column]
            self.drawn[self._row, self._column : end] = True
        self._column += len(colours)
