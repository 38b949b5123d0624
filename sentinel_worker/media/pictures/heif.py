"""HEIF and AVIF: what their boxes say of the picture, beside what Pillow's libraries say.

The libraries refuse a picture beyond their own limits, and one with a codec that they lack, like one that is damaged.
"""

# ruff: noqa: PLR2004 the numbers come from the format

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from sentinel_worker.media.containers.boxes import has_index

_MAX_META_BYTES: Final = 16 * 1024**2
_SEQUENCES: Final = frozenset({b"hevc", b"hevx", b"hevm", b"hevs", b"msf1"})
_DERIVED: Final = frozenset({b"grid", b"iovl", b"iden"})
_NO_PICTURES: Final = frozenset({b"Exif", b"mime", b"uri "})
_DECODED: Final = frozenset({b"hvc1", b"av01"})
_CODECS: Final = {
    b"unci": "an uncompressed HEIF picture",
    b"jpeg": "a HEIF picture with JPEG inside",
    b"j2k1": "a HEIF picture with JPEG 2000 inside",
    b"avc1": "a HEIF picture with H.264 inside",
    b"vvc1": "a HEIF picture with H.266 (VVC) inside",
    b"evc1": "a HEIF picture with EVC inside",
    b"lhv1": "a HEIF picture in layers of H.265",
}


@dataclass(frozen=True, slots=True)
class HeifPicture:
    """The largest size that an item of the file has, and a name for its codec if Pillow decodes none like it."""

    width: int = 0
    height: int = 0
    unsupported: str | None = None


def describe_heif(path: Path) -> HeifPicture:
    """Read the box `meta`; nothing is known of a file without one."""
    meta = _meta(path)
    if meta is None:
        return HeifPicture()
    sizes, kinds, primary = [(0, 0)], dict[int, bytes](), 0
    for kind, body in _boxes(meta[4:]):
        if kind == b"pitm":
            primary = int.from_bytes(body[4:], "big")
        elif kind == b"iinf":
            kinds = dict(_items(body))
        elif kind == b"iprp":
            sizes += _sizes(body)
    width, height = max(sizes, key=lambda size: size[0] * size[1])
    codec = kinds.get(primary)
    if codec in _DERIVED:
        codec = _most_common(kinds)
    return HeifPicture(width, height, None if codec in _DECODED else _CODECS.get(codec or b""))


def is_sequence(path: Path) -> bool:
    """True if the file's main brand is one of moving HEVC pictures and it has a track, which FFmpeg plays as a film."""
    with path.open("rb") as file:
        head = file.read(12)
    return head[4:8] == b"ftyp" and head[8:12] in _SEQUENCES and has_index(path)


def _meta(path: Path) -> bytes | None:
    """Body of the first box `meta` at the top of the file."""
    with path.open("rb") as file:
        for _ in range(64):
            head = file.read(8)
            length, kind = int.from_bytes(head[:4], "big"), head[4:]
            if len(head) < 8 or length < 8:
                return None
            if kind == b"meta":
                return file.read(min(length - 8, _MAX_META_BYTES))
            file.seek(length - 8, 1)
    return None


def _boxes(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    place = 0
    while place + 8 <= len(data):
        length = int.from_bytes(data[place : place + 4], "big")
        if length < 8:
            return
        yield data[place + 4 : place + 8], data[place + 8 : place + length]
        place += length


def _sizes(properties: bytes) -> list[tuple[int, int]]:
    found = []
    for kind, body in _boxes(properties):
        if kind == b"ipco":
            found += [
                (int.from_bytes(size[4:8], "big"), int.from_bytes(size[8:12], "big"))
                for inner, size in _boxes(body)
                if inner == b"ispe"
            ]
    return found


def _items(table: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield the number and the kind of each item."""
    for kind, body in _boxes(table[6 if table[:1] == b"\0" else 8 :]):
        if kind == b"infe" and body[:1] in (b"\2", b"\3"):
            end = 6 if body[:1] == b"\2" else 8
            yield int.from_bytes(body[4:end], "big"), body[end + 2 : end + 6]


def _most_common(kinds: dict[int, bytes]) -> bytes | None:
    """Kind of the pictures from which others are derived."""
    counted = Counter(kind for kind in kinds.values() if kind not in _DERIVED | _NO_PICTURES)
    return counted.most_common(1)[0][0] if counted else None
