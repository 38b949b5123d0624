"""Boxes of ISO media and QuickTime files, and the promises of their tables."""

from __future__ import annotations

import os
from collections.abc import Container, Iterator
from itertools import islice
from pathlib import Path
from typing import BinaryIO, Final

from sentinel_worker.domain.errors import Permanent
from sentinel_worker.domain.media_facts import MediaLimits
from sentinel_worker.media.refused_files import check_frames

MAX_BOXES: Final = 100_000
"""Number of boxes after which a file is not read on."""
_INSIDE: Final = frozenset({b"moov", b"trak", b"mdia", b"minf", b"stbl", b"mvex", b"moof", b"traf"})
_MAX_DEPTH: Final = 8


def has_index(path: Path) -> bool:
    """True if an MP4 or QuickTime file has a complete `moov` box at its top level."""
    return any(kind == b"moov" and whole for kind, whole in _boxes(path))


def has_fragments(path: Path) -> bool:
    """True if samples of an MP4 or QuickTime file are in fragments, each with an index of its own."""
    return any(kind == b"moof" for kind, _ in _boxes(path))


def last_box_is_cut(path: Path) -> bool:
    """True if the last box of an ISO file promises more bytes than the file has; False for other files."""
    with path.open("rb") as file:
        is_iso = file.read(8)[4:] == b"ftyp"
    return is_iso and any(not whole for _, whole in _boxes(path))


def check_promises(path: Path, limits: MediaLimits) -> None:
    """Refuse an ISO file whose tables promise more than is allowed: FFmpeg makes an entry of 24 bytes for each sample.

    A table of equal samples takes 20 bytes for any number of them. Raises `Permanent('media_too_long')` for too many
    frames and `Permanent('media_unreadable')` for more samples of sound than the file has bytes.
    """
    with path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        pictures = False
        for kind, start, _ in islice(walk(file, 0, size), MAX_BOXES):
            if kind in (b"trak", b"moof"):
                pictures = False
            elif kind == b"hdlr":
                file.seek(start + 8)
                pictures |= file.read(4) == b"vide"
            elif kind in (b"stsz", b"stz2", b"trun"):
                file.seek(start + (4 if kind == b"trun" else 8))
                _check_samples(int.from_bytes(file.read(4), "big"), size, limits, pictures=pictures)


def _check_samples(samples: int, size: int, limits: MediaLimits, *, pictures: bool) -> None:
    if pictures:
        check_frames("video", samples, limits.max_frames)
    if samples > size:
        raise Permanent("media_unreadable", f"The file is damaged: it promises {samples} samples in {size} bytes.")


def _boxes(path: Path) -> Iterator[tuple[bytes, bool]]:
    """Yield the kind of each top-level box, and True if the box is complete."""
    with path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        for kind, _, end in islice(level(file, 0, size), MAX_BOXES):
            yield kind, end <= size


def track_number(file: BinaryIO, body: int) -> int:
    """Number of a track, by the body of its `tkhd` box."""
    return read_number(file, body + (20 if read(file, body, 1) == b"\x01" else 12))


def read_number(file: BinaryIO, offset: int) -> int:
    """The number of 32 bits at `offset`; 0 beyond the end of the file."""
    return int.from_bytes(read(file, offset, 4), "big")


def read(file: BinaryIO, offset: int, length: int) -> bytes:
    """The bytes from `offset` on, fewer than `length` at the end of the file."""
    file.seek(offset)
    return file.read(length)


def walk(
    file: BinaryIO, start: int, end: int, inside: Container[bytes] = _INSIDE, depth: int = 0
) -> Iterator[tuple[bytes, int, int]]:
    """Yield every box, including those nested in the kinds `inside`: its kind, and the start and end of its body."""
    for kind, body, stop in level(file, start, end):
        yield kind, body, stop
        if kind in inside and depth < _MAX_DEPTH:
            yield from walk(file, body, min(stop, end), inside, depth + 1)


def level(file: BinaryIO, start: int, end: int) -> Iterator[tuple[bytes, int, int]]:
    """Yield the boxes that follow each other from `start`: the kind, and the start and promised end of the body."""
    while start + 8 <= end:
        file.seek(start)
        box = file.read(16)
        length, kind, header = int.from_bytes(box[:4], "big"), box[4:8], 8
        if length == 1:
            length, header = int.from_bytes(box[8:16], "big"), 16
        elif length == 0:
            length = end - start
        yield kind, start + header, start + length
        if length < header:
            return
        start += length
