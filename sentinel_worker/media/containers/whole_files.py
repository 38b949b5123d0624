"""Bytes that films promise by their own structure, whatever length in time their header says."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, Final

from sentinel_worker.media.containers import ebml
from sentinel_worker.media.containers.boxes import has_fragments
from sentinel_worker.media.containers.samples import missing_shares

_MAX_CHUNKS: Final = 10_000
_CHUNK_HEADER: Final = 8
_FLV_TAGS: Final = frozenset({8, 9, 18})
"""Tags of sound, of pictures, and of a script."""
_FLV_TAG_BYTES: Final = 11


def is_whole(path: Path, demuxer: str) -> bool | None:
    """True if an MP4, QuickTime, Matroska, AVI or FLV file has all the bytes that it promises, False if it does not.

    None if it does not say how many it should have, and for other files.
    """
    if demuxer == "mov":
        return _samples_are_whole(path)
    with path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        if demuxer == "matroska":
            return ebml.is_whole(file)
        if demuxer == "avi":
            return _lists_are_whole(file, size)
        return True if demuxer == "flv" and _ends_with_tag(file, size) else None


def _samples_are_whole(path: Path) -> bool | None:
    """True if all samples in the index are there. Fragments are not in it: a cut takes their own index away."""
    missing = missing_shares(path)
    if any(missing.values()):
        return False
    return True if missing and not has_fragments(path) else None


def _lists_are_whole(file: BinaryIO, size: int) -> bool | None:
    """True if no list of pictures and sound overhangs the end; a long AVI has one in each of several RIFF chunks."""
    ends = [
        end
        for part, begin, stop in _chunks(file, 0, size)
        if part == b"RIFF"
        for name, body, end in _chunks(file, begin + 4, min(stop, size))
        if name == b"LIST" and _kind(file, body) == b"movi" and end > body + 4
    ]
    return max(ends) <= size if ends else None


def _chunks(file: BinaryIO, at: int, end: int) -> Iterator[tuple[bytes, int, int]]:
    """Yield the name of each chunk, and the start and promised end of its body."""
    for _ in range(_MAX_CHUNKS):
        file.seek(at)
        head = file.read(_CHUNK_HEADER)
        if len(head) < _CHUNK_HEADER or at >= end:
            return
        body, length = at + _CHUNK_HEADER, int.from_bytes(head[4:], "little")
        yield head[:4], body, body + length
        at = body + length + length % 2


def _kind(file: BinaryIO, body: int) -> bytes:
    file.seek(body)
    return file.read(4)


def _ends_with_tag(file: BinaryIO, size: int) -> bool:
    """True if the file ends with the length of its last tag, and that tag is where the length says."""
    if size < _FLV_TAG_BYTES + 4:
        return False
    file.seek(size - 4)
    length = int.from_bytes(file.read(4), "big")
    if not _FLV_TAG_BYTES <= length <= size - 4:
        return False
    file.seek(size - 4 - length)
    head = file.read(4)
    return head[0] & 0x1F in _FLV_TAGS and int.from_bytes(head[1:4], "big") + _FLV_TAG_BYTES == length
