"""Kinds of ISO media files: films and sounds by their brand, pictures by what their items are coded with."""

from __future__ import annotations

import os
from itertools import islice
from typing import BinaryIO, Final

from sentinel_worker.domain.errors import Permanent
from sentinel_worker.media.containers.boxes import level
from sentinel_worker.media.containers.named_formats import RAW_PICTURE
from sentinel_worker.media.refused_files import not_media

_BRANDS: Final = {
    b"qt  ": "mov",
    b"mjp2": "mov",
    b"M4V ": "m4v",
    b"M4VH": "m4v",
    b"M4VP": "m4v",
    b"M4A ": "m4a",
    b"M4B ": "m4a",
    b"3gp4": "3gp",
    b"3gp5": "3gp",
    b"3gp6": "3gp",
    b"3g2a": "3gp",
}
_PICTURE_BRANDS: Final = {
    b"avif": "avif",
    b"avis": "avif",
    # HEVC pictures and sequences; the last four are scalable or of several views, over an ordinary picture.
    b"heic": "heic",
    b"heix": "heic",
    b"hevc": "heic",
    b"hevx": "heic",
    b"heim": "heic",
    b"heis": "heic",
    b"hevm": "heic",
    b"hevs": "heic",
    # The coding is left open.
    b"mif1": "heic",
    b"msf1": "heic",
}
_OTHER_CODINGS: Final = {
    b"jpeg": "JPEG",
    b"jpgs": "JPEG",
    b"j2ki": "JPEG 2000",
    b"j2is": "JPEG 2000",
    b"avci": "H.264",
    b"avcs": "H.264",
    b"vvic": "VVC",
    b"vvis": "VVC",
    b"evbi": "EVC",
    b"evmi": "EVC",
}
_ITEM_TYPES: Final = {
    b"hvc1": "heic",
    b"av01": "avif",
    b"jpeg": "JPEG",
    b"j2k1": "JPEG 2000",
    b"avc1": "H.264",
    b"vvc1": "VVC",
    b"evc1": "EVC",
    b"unci": "",
}
_BEFORE_FILMS: Final = frozenset({b"moov", b"mdat", b"wide", b"free", b"skip", b"pnot"})
"""Boxes that QuickTime files without a brand start with."""
_BEFORE_OTHERS: Final = _BEFORE_FILMS | {
    *(b"uuid", b"udta", b"meta", b"pict", b"prfl", b"junk", b"pdin", b"emsg", b"prft", b"sidx", b"styp", b"moof"),
    *(b"PICT", b"jP  "),
}
_MAX_BOXES_BEFORE: Final = 1000
_MAX_ITEMS: Final = 10_000


def iso_container(file: BinaryIO) -> str | None:
    """Return the name of the container; None if the file does not start with a box of ISO media.

    Raises `Permanent('media_not_supported')` for pictures whose coding no decoder here reads, and for a part of a
    stream that was split for streaming.
    """
    size = file.seek(0, os.SEEK_END)
    found: dict[bytes, tuple[int, int]] = {}
    for kind, body, stop in islice(level(file, 0, size), _MAX_BOXES_BEFORE):
        if not found and kind not in _BEFORE_OTHERS | {b"ftyp"}:
            return None
        found.setdefault(kind, (body, min(stop, size)))
    if not found:
        return None
    if b"ftyp" in found:
        return _branded(file, found)
    first = next(iter(found))
    if b"moov" in found or first in _BEFORE_FILMS:
        return "mov"
    if b"moof" in found:
        raise not_media("a segment of a stream, without the beginning that describes it")
    return None


def _branded(file: BinaryIO, found: dict[bytes, tuple[int, int]]) -> str:
    file.seek(found[b"ftyp"][0])
    brand = file.read(4)
    if brand == b"crx ":
        raise not_media(RAW_PICTURE)
    if brand == b"mif3":
        raise not_media("a HEIF picture with a compact header, which is not supported")
    if brand in _OTHER_CODINGS:
        raise _other_coding(_OTHER_CODINGS[brand])
    if brand in _PICTURE_BRANDS:
        if b"meta" not in found and b"moov" in found:
            return "mp4"  # a sequence without a cover picture is a film
        return _picture(file, found, _PICTURE_BRANDS[brand])
    if brand not in _BRANDS and b"moov" not in found and b"meta" in found and b"moof" not in found:
        return _picture(file, found, "mp4")
    return _BRANDS.get(brand, "mp4")


def _picture(file: BinaryIO, found: dict[bytes, tuple[int, int]], otherwise: str) -> str:
    """Judge by the items' types, if the file lists them; else by the brand."""
    types = _item_types(file, *found[b"meta"]) if b"meta" in found else []
    codings = [_ITEM_TYPES[kind] for kind in types if kind in _ITEM_TYPES]
    for supported in ("heic", "avif"):
        if supported in codings:
            return supported
    if codings:
        raise _other_coding(codings[0])
    return otherwise


def _other_coding(coding: str) -> Permanent:
    return not_media(
        f"a HEIF picture {f'coded with {coding}' if coding else 'without compression'}, which is not supported"
    )


def _item_types(file: BinaryIO, start: int, end: int) -> list[bytes]:
    """Types of the items in a `meta` box: coded pictures, and what is made of or said about them."""
    types = []
    for kind, body, stop in level(file, start + 4, end):
        if kind != b"iinf":
            continue
        file.seek(body)
        count_bytes = 2 if file.read(1) == b"\x00" else 4
        for entry, inside, _ in islice(level(file, body + 4 + count_bytes, min(stop, end)), _MAX_ITEMS):
            file.seek(inside)
            head = file.read(14)
            # The item's number has two bytes in version 2, four in version 3.
            at = {b"\x02": 8, b"\x03": 10}.get(head[:1])
            if entry == b"infe" and at is not None:
                types.append(head[at : at + 4])
    return types
