"""Boxes of a small MP4 file, changed by hand. Its index has to come last, so that changes of it move no sample."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

_NESTED: Final = frozenset({b"moov", b"trak", b"mdia", b"minf", b"stbl", b"edts", b"tref"})


@dataclass(slots=True)
class Box:
    """A box with a body, or with other boxes in it."""

    kind: bytes
    body: bytes = b""
    inside: list[Box] = field(default_factory=list)

    def every(self, kind: bytes) -> Iterator[Box]:
        """Yield the boxes of this kind at any depth, in order."""
        for box in self.inside:
            if box.kind == kind:
                yield box
            yield from box.every(kind)

    def __bytes__(self) -> bytes:
        content = self.body + b"".join(map(bytes, self.inside))
        return struct.pack(">I4s", 8 + len(content), self.kind) + content


def parse(content: bytes, kind: bytes = b"file") -> Box:
    """Read a file, or the body of a box that holds others."""
    box, at = Box(kind), 0
    while at + 8 <= len(content):
        length, name = struct.unpack_from(">I4s", content, at)
        body = content[at + 8 : at + length]
        box.inside.append(parse(body, name) if name in _NESTED else Box(name, body))
        at += length
    return box


def changed(path: Path, change: Callable[[Box], object]) -> None:
    """Change the boxes of the file at `path`."""
    file = parse(path.read_bytes())
    assert [box.kind for box in file.inside][-1] == b"moov"
    change(file)
    path.write_bytes(b"".join(map(bytes, file.inside)))


def tracks(file: Box) -> list[Box]:
    """The tracks in order."""
    return list(file.every(b"trak"))


def set_flags(track: Box, flags: int) -> None:
    """Set the flags of a track: 1 is enabled."""
    header = next(track.every(b"tkhd"))
    header.body = header.body[:3] + bytes([flags]) + header.body[4:]


def set_matrix(track: Box, *numbers: float) -> None:
    """Set a, b, c, d of the display matrix, with which (x, y) is shown at (a x + c y, b x + d y)."""
    header = next(track.every(b"tkhd"))
    a, b, c, d = (round(number * 65536) for number in numbers)
    matrix = struct.pack(">9i", a, b, 0, c, d, 0, 0, 0, 1 << 30)
    header.body = header.body[:40] + matrix + header.body[76:]


def set_edits(track: Box, *edits: tuple[int, int, float]) -> None:
    """Replace the edit list: length in units of the film, start in units of the track (-1: nothing), and rate."""
    table = struct.pack(">II", 0, len(edits))
    table += b"".join(struct.pack(">Iii", length, start, round(rate * 65536)) for length, start, rate in edits)
    track.inside = [box for box in track.inside if box.kind != b"edts"]
    track.inside.insert(1, Box(b"edts", inside=[Box(b"elst", table)]))


def add_to_sample_entry(track: Box, box: Box) -> None:
    """Add a box to the description of the track's pictures."""
    table = next(track.every(b"stsd"))
    entry = bytearray(table.body[8:])
    entry += bytes(box)
    entry[:4] = len(entry).to_bytes(4, "big")
    table.body = table.body[:8] + bytes(entry)
