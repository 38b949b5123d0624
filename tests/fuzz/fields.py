"""Finds the lengths and counts in a container: the numbers that a parser trusts."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from dataclasses import dataclass

_ISO_CONTAINERS = frozenset(
    b"moov trak mdia minf stbl edts dinf udta moof traf mvex meta iprp ipco ilst stsd avc1 hvc1 mp4a".split()
)
_ISO_SKIPPED = {b"meta": 4, b"stsd": 8, b"avc1": 78, b"hvc1": 78, b"mp4a": 28}
_RIFF_LISTS = (b"RIFF", b"LIST")
_EBML_MASTERS = frozenset(
    bytes.fromhex(name)
    for name in [
        "1a45dfa3",
        "18538067",
        "1549a966",
        "1654ae6b",
        "ae",
        "e0",
        "e1",
        "1f43b675",
        "a0",
        "1c53bb6b",
        "bb",
        "b7",
        "114d9b74",
        "4dbb",
        "1254c367",
    ]
)
_MAX_DEPTH = 12


@dataclass(frozen=True, slots=True)
class Field:
    """A number of `width` bytes at `offset`; `big` if it is big-endian."""

    offset: int
    width: int
    big: bool = True


def fields(content: bytes) -> list[Field]:
    """Return the length and count fields of a whole file; none for containers unknown to this module."""
    if content[:4] == b"RIFF":
        return list(_riff(content, 0, len(content)))
    if content[:4] == bytes.fromhex("1a45dfa3"):
        return list(_ebml(content, 0, len(content)))
    if content[4:8] in (b"ftyp", b"moov", b"mdat", b"wide", b"free"):
        return list(_iso(content, 0, len(content)))
    if content[:8] == b"\x89PNG\r\n\x1a\n":
        return [field for start, end in png_chunks(content) for field in _png(content, start, end)]
    if content[:4] == bytes.fromhex("3026b275"):
        return [Field(offset, 8, big=False) for offset in _asf(content)]
    return []


def png_chunks(content: bytes) -> Iterator[tuple[int, int]]:
    """Start and end of every chunk of a PNG file, including its length and checksum."""
    position = 8
    while position + 12 <= len(content):
        end = position + 12 + int.from_bytes(content[position : position + 4], "big")
        if end > len(content):
            return
        yield position, end
        position = end


def with_checksums(content: bytes) -> bytes:
    """Return a PNG file with correct chunk checksums, so that a mutation gets past them; other files unchanged."""
    if content[:8] != b"\x89PNG\r\n\x1a\n":
        return content
    mended = bytearray(content)
    for start, end in png_chunks(content):
        mended[end - 4 : end] = zlib.crc32(content[start + 4 : end - 4]).to_bytes(4, "big")
    return bytes(mended)


def _iso(content: bytes, start: int, end: int, depth: int = 0) -> Iterator[Field]:
    while start + 8 <= end:
        length, kind = int.from_bytes(content[start : start + 4], "big"), content[start + 4 : start + 8]
        yield Field(start, 4)
        stop = min(end, start + length)
        if stop < start + 8:
            return
        if kind in _ISO_CONTAINERS and depth < _MAX_DEPTH:
            yield from _iso(content, start + 8 + _ISO_SKIPPED.get(kind, 0), stop, depth + 1)
        elif kind != b"mdat":
            # Counts, sizes, scales and the first table entries are 32-bit numbers at these offsets.
            yield from (Field(place, 4) for place in range(start + 8, min(stop - 3, start + 56), 4))
        start = stop


def _riff(content: bytes, start: int, end: int, depth: int = 0) -> Iterator[Field]:
    while start + 8 <= end:
        kind, length = content[start : start + 4], int.from_bytes(content[start + 4 : start + 8], "little")
        yield Field(start + 4, 4, big=False)
        stop = min(end, start + 8 + length + length % 2)
        if kind in _RIFF_LISTS and depth < _MAX_DEPTH:
            yield from _riff(content, start + 12, stop, depth + 1)
        elif kind not in (b"data", b"00dc", b"01wb"):
            yield from (Field(place, 4, big=False) for place in range(start + 8, min(stop - 3, start + 64), 4))
        start = stop


def _ebml(content: bytes, start: int, end: int, depth: int = 0) -> Iterator[Field]:
    while start + 2 <= end:
        name_bytes = _vint_bytes(content[start])
        size_at = start + name_bytes
        if size_at >= end:
            return
        size_bytes = _vint_bytes(content[size_at])
        size = int.from_bytes(content[size_at : size_at + size_bytes], "big") & (1 << 7 * size_bytes) - 1
        yield Field(size_at, size_bytes)
        body = size_at + size_bytes
        stop = end if size == (1 << 7 * size_bytes) - 1 else min(end, body + size)
        if content[start:size_at] in _EBML_MASTERS and depth < _MAX_DEPTH:
            yield from _ebml(content, body, stop, depth + 1)
        elif 0 < stop - body <= 8:
            yield Field(body, stop - body)
        start = stop


def _vint_bytes(first: int) -> int:
    return 9 - first.bit_length() if first else 1


def _png(content: bytes, start: int, end: int) -> Iterator[Field]:
    yield Field(start, 4)
    if content[start + 4 : start + 8] in (b"IHDR", b"acTL", b"fcTL", b"fdAT"):
        yield from (Field(place, 4) for place in range(start + 8, end - 7, 4))


def _asf(content: bytes) -> Iterator[int]:
    position = 0
    while position + 24 <= len(content):
        length = int.from_bytes(content[position + 16 : position + 24], "little")
        yield position + 16
        if length < 24:
            return
        position += 30 if position == 0 else length
