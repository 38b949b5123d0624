"""First directory of a TIFF: the tags that say what its pixels are, and whether all that they point to is there."""

# ruff: noqa: PLR2004 the numbers come from the format

from __future__ import annotations

import os
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, Final

BITS, COMPRESSION, PHOTOMETRIC, ORIENTATION, SAMPLES, PLANES, FORMAT = 258, 259, 262, 274, 277, 284, 339
_PARTS: Final = ((273, 279), (324, 325))
"""Places and lengths of strips, and of tiles."""
_READ: Final = frozenset({BITS, COMPRESSION, PHOTOMETRIC, ORIENTATION, SAMPLES, PLANES, FORMAT, *_PARTS[0], *_PARTS[1]})
_NUMBERS: Final = {1: "B", 3: "H", 4: "I", 16: "Q"}
_MAX_NUMBERS: Final = 1_000_000
_MAX_ENTRIES: Final = 4096
_FAR: Final = 2**62
"""Largest place that is looked for."""


@dataclass(slots=True)
class TiffDirectory:
    """Numbers by tag. `is_cut`: the file ends before the directory does, or before what it points to."""

    numbers: dict[int, tuple[int, ...]] = field(default_factory=dict)
    is_cut: bool = False

    def first(self, tag: int, default: int) -> int:
        """Return the tag's first number."""
        return self.numbers.get(tag, (default,))[0]

    @property
    def bits(self) -> tuple[int, ...]:
        """Bits of each sample of a pixel."""
        given = self.numbers.get(BITS, (1,))
        return given if len(given) > 1 else given * min(self.first(SAMPLES, 1), 16)


def read_directory(path: Path) -> TiffDirectory:
    """Read the directory as far as it goes."""
    directory = TiffDirectory()
    with path.open("rb") as file:
        try:
            for tag, values in _entries(file):
                directory.numbers[tag] = values
        except struct.error:
            directory.is_cut = True
        directory.is_cut |= _parts_end(directory.numbers) > os.fstat(file.fileno()).st_size
    return directory


def _entries(file: BinaryIO) -> Iterator[tuple[int, tuple[int, ...]]]:
    """Yield the tags that are read here, with their numbers. Raises `struct.error` where the file ends."""
    head = file.read(16)
    order = "<" if head[:2] == b"II" else ">"
    if head[2:4] in (b"+\0", b"\0+"):
        first, counted, entry = 8, f"{order}Q", struct.Struct(f"{order}HHQ8s")
    else:
        first, counted, entry = 4, f"{order}H", struct.Struct(f"{order}HHI4s")
    place = f"{order}Q" if first == 8 else f"{order}I"
    file.seek(min(struct.unpack_from(place, head, first)[0], _FAR))
    (entries,) = struct.unpack(counted, file.read(struct.calcsize(counted)))
    table = file.read(entry.size * min(entries, _MAX_ENTRIES))
    for number in range(min(entries, _MAX_ENTRIES)):
        tag, kind, count, value = entry.unpack_from(table, number * entry.size)
        if tag in _READ and kind in _NUMBERS and count > 0:
            yield tag, _numbers(file, f"{order}{min(count, _MAX_NUMBERS)}{_NUMBERS[kind]}", value, place)


def _numbers(file: BinaryIO, layout: str, value: bytes, place: str) -> tuple[int, ...]:
    """Unpack numbers that are part of the entry, or stand where it points to."""
    size = struct.calcsize(layout)
    if size > len(value):
        file.seek(min(struct.unpack(place, value)[0], _FAR))
        value = file.read(size)
    return struct.unpack_from(layout, value)


def _parts_end(numbers: Mapping[int, tuple[int, ...]]) -> int:
    """Return the place after the last strip or tile."""
    ends = [
        start + length
        for places, lengths in _PARTS
        for start, length in zip(numbers.get(places, ()), numbers.get(lengths, ()), strict=False)
    ]
    return max(ends, default=0)
