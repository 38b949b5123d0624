"""Bytes that films promise by their own structure, whatever length in time their header says."""

from __future__ import annotations

import os
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import BinaryIO, Final

from sentinel_worker.media.containers import ebml
from sentinel_worker.media.containers.boxes import has_fragments, read
from sentinel_worker.media.containers.chunks import MAX_CHUNKS, chunks
from sentinel_worker.media.containers.samples import missing_shares

_NAME_BYTES: Final = 4
"""Name of a list or a RIFF chunk, which precedes the chunks in it."""
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
        body + length
        for name, body, length in islice(_nested_chunks(file, size), MAX_CHUNKS)
        if name == b"LIST" and length > _NAME_BYTES and read(file, body, _NAME_BYTES) == b"movi"
    ]
    return max(ends) <= size if ends else None


def _nested_chunks(file: BinaryIO, size: int) -> Iterator[tuple[bytes, int, int]]:
    for part, begin, length in chunks(file, 0, size):
        yield part, begin, length
        if part == b"RIFF":
            yield from chunks(file, begin + _NAME_BYTES, min(begin + length, size))


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
