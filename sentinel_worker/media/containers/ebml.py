"""Elements of EBML, the structure of Matroska and WebM files."""

from __future__ import annotations

import os
from collections.abc import Iterator
from itertools import islice
from typing import BinaryIO, Final

HEADER: Final = b"\x1a\x45\xdf\xa3"
_DOC_TYPE: Final = 0x4282
# Segment, Tracks, TrackEntry, ContentEncodings, ContentEncoding, ContentEncryption
_TO_ENCRYPTION: Final = (0x18538067, 0x1654AE6B, 0xAE, 0x6D80, 0x6240, 0x5035)
_MAX_ELEMENTS: Final = 100_000
_MAX_ID_BYTES, _MAX_LENGTH_BYTES = 4, 8
_MAX_DOC_TYPE_BYTES: Final = 32


def doc_type(file: BinaryIO) -> bytes | None:
    """DocType of the file's EBML header; empty if the header has none, None if the file is no EBML."""
    file.seek(0)
    if file.read(4) != HEADER:
        return None
    for kind, start, end in _level(file, 0, _size(file)):
        if kind != int.from_bytes(HEADER, "big"):
            break
        for inner, body, stop in islice(_level(file, start, end), _MAX_ELEMENTS):
            if inner == _DOC_TYPE:
                file.seek(body)
                return file.read(min(stop - body, _MAX_DOC_TYPE_BYTES)).rstrip(b"\x00")
    return b""


def is_encrypted(file: BinaryIO) -> bool:
    """True if a track of the file is encrypted."""
    return any(islice(_walk(file, 0, _size(file), _TO_ENCRYPTION), _MAX_ELEMENTS))


def is_whole(file: BinaryIO) -> bool | None:
    """True if the file has all of the elements at its top, False if the last one overhangs its end.

    None if one of them does not say how long it is.
    """
    size, end = _size(file), 0
    for _, body, length in islice(_heads(file, 0, size), _MAX_ELEMENTS):
        if length is None:
            return None
        end = body + length
    return end <= size


def _walk(file: BinaryIO, start: int, end: int, path: tuple[int, ...]) -> Iterator[bool]:
    """Look at each element on the path; True at its end."""
    for kind, body, stop in _level(file, start, end):
        if kind != path[0]:
            yield False
        elif len(path) == 1:
            yield True
        else:
            yield from _walk(file, body, stop, path[1:])


def _level(file: BinaryIO, start: int, end: int) -> Iterator[tuple[int, int, int]]:
    """Yield the elements of a body: the identifier, and the start and end of its own body."""
    for kind, body, length in _heads(file, start, end):
        yield kind, body, end if length is None else min(body + length, end)


def _heads(file: BinaryIO, start: int, end: int) -> Iterator[tuple[int, int, int | None]]:
    """Yield the elements of a body: the identifier, the start of its own body, and how long that is.

    The length is None in a recording whose length was not yet known; nothing follows such an element.
    """
    while start < end:
        file.seek(start)
        head = file.read(_MAX_ID_BYTES + _MAX_LENGTH_BYTES)
        kind_bytes = _vint_bytes(head, _MAX_ID_BYTES)
        length_bytes = _vint_bytes(head[kind_bytes:], _MAX_LENGTH_BYTES)
        if not kind_bytes or not length_bytes or len(head) < kind_bytes + length_bytes:
            return
        body = start + kind_bytes + length_bytes
        mask = (1 << 7 * length_bytes) - 1
        length = int.from_bytes(head[kind_bytes : kind_bytes + length_bytes], "big") & mask
        known = length if length != mask else None
        yield int.from_bytes(head[:kind_bytes], "big"), body, known
        start = end if known is None else body + known


def _vint_bytes(head: bytes, most: int) -> int:
    """Length of the number at the start of `head`, by the zeros before its first one; 0 if it is too long."""
    length = 9 - head[0].bit_length() if head else 0
    return length if length <= most else 0


def _size(file: BinaryIO) -> int:
    return file.seek(0, os.SEEK_END)
