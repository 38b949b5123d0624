"""GIF files put together block by block."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass

PALETTE = bytes([255, 0, 0, 0, 255, 0, 0, 0, 255, 255, 255, 0])
RED, GREEN, BLUE, YELLOW = range(4)
_BITS = 2


@dataclass(frozen=True, slots=True)
class Drawn:
    """A frame of one colour and its place. `after`: 0 keep, 2 clear, 3 restore."""

    colour: int
    width: int
    height: int
    left: int = 0
    top: int = 0
    after: int = 0
    transparent: int | None = None
    hundredths: int = 10


def gif(width: int, height: int, frames: Sequence[Drawn], end: bytes = b";") -> bytes:
    """A GIF of these frames."""
    screen = b"GIF89a" + struct.pack("<HHBBB", width, height, 0x81, 0, 0) + PALETTE
    return screen + b"".join(map(_frame, frames)) + end


def _frame(frame: Drawn) -> bytes:
    flags = frame.after << 2 | (frame.transparent is not None)
    control = struct.pack("<BBBBHBB", 0x21, 0xF9, 4, flags, frame.hundredths, frame.transparent or 0, 0)
    place = struct.pack("<BHHHHB", 0x2C, frame.left, frame.top, frame.width, frame.height, 0)
    return control + place + _packed([frame.colour] * frame.width * frame.height)


def _packed(numbers: Sequence[int]) -> bytes:
    """LZW that never builds a table: it is cleared after every two numbers."""
    clear, codes = 1 << _BITS, list[int]()
    for place, number in enumerate(numbers):
        codes += [clear, number] if place % 2 == 0 else [number]
    bits = 0
    for code in reversed([*codes, clear, clear + 1]):
        bits = bits << _BITS + 1 | code
    data = bits.to_bytes(((len(codes) + 2) * (_BITS + 1) + 7) // 8, "little")
    blocks = b"".join(bytes([len(data[i : i + 255])]) + data[i : i + 255] for i in range(0, len(data), 255))
    return bytes([_BITS]) + blocks + b"\0"
