"""Films and sound that are not the same from one packet to the next, or whose stamps are as far apart as can be."""

from __future__ import annotations

import io
import struct
from collections.abc import Sequence
from fractions import Fraction

import av
from PIL import Image


def pictures(container: str, sizes: Sequence[tuple[int, int]], rate: int = 10) -> bytes:
    """A film of JPEG pictures of these sizes, in `matroska` or `avi`; the header has the first size."""
    file = io.BytesIO()
    with av.open(file, "w", format=container) as film:
        stream = film.add_stream("mjpeg", rate)
        stream.width, stream.height = sizes[0]
        stream.pix_fmt = "yuvj420p"
        for number, size in enumerate(sizes):
            picture = io.BytesIO()
            Image.new("RGB", size, "grey").save(picture, "JPEG")
            packet = av.Packet(picture.getvalue())
            packet.stream, packet.time_base, packet.is_keyframe = stream, Fraction(1, rate), True
            packet.pts = packet.dts = number
            packet.duration = 1
            film.mux(packet)
    return file.getvalue()


def blocks(film: bytes, count: int, body: bytes) -> bytes:
    """A live Matroska film (of unknown length) with `count` more blocks, a millisecond apart."""
    more = (
        b"\xa3" + bytes([0x84 + len(body)]) + b"\x81" + struct.pack(">hB", n % 30_000, 0x80) + body
        for n in range(count)
    )
    return film + b"".join(more)


def clusters_at(film: bytes, *stamps: int, scale: int = 1_000_000) -> bytes:
    """A live Matroska film, and after it clusters of a block each at these stamps, in units of `scale` nanoseconds."""
    film = film.replace(bytes.fromhex("2ad7b1830f4240"), bytes.fromhex("2ad7b183") + scale.to_bytes(3, "big"))
    block = b"\xa3\x85\x81\x00\x00\x80\x00"
    more = (b"\xe7\x88" + stamp.to_bytes(8, "big") + block for stamp in stamps)
    return film + b"".join(b"\x1f\x43\xb6\x75" + bytes([0x80 + len(body)]) + body for body in more)


def empty_chunks(film: bytes, count: int) -> bytes:
    """An AVI film with `count` empty frames behind its others."""
    at = film.index(b"movi")
    length = struct.unpack_from("<I", film, at - 4)[0]
    end = at + length
    more = b"00dc\0\0\0\0" * count
    return film[: at - 4] + struct.pack("<I", length + len(more)) + film[at:end] + more


def granules(ogg: bytes, *positions: int) -> bytes:
    """An Ogg file whose last pages end at these positions."""
    pages = _pages(ogg)
    for number, position in enumerate(positions, len(pages) - len(positions)):
        page = bytearray(pages[number])
        struct.pack_into("<q", page, 6, position)
        page[22:26] = bytes(4)
        struct.pack_into("<I", page, 22, _checksum(bytes(page)))
        pages[number] = bytes(page)
    return b"".join(pages)


def _pages(ogg: bytes) -> list[bytes]:
    pages = []
    while ogg:
        segments = ogg[26]
        length = 27 + segments + sum(ogg[27 : 27 + segments])
        pages.append(ogg[:length])
        ogg = ogg[length:]
    return pages


def _checksum(page: bytes) -> int:
    found = 0
    for byte in page:
        found ^= byte << 24
        for _ in range(8):
            found = (found << 1 ^ (0x04C11DB7 if found & 0x80000000 else 0)) & 0xFFFFFFFF
    return found


def in_turns(one: bytes, other: bytes) -> bytes:
    """Frames of two AAC streams (ADTS) in turns."""
    return b"".join(frame for pair in zip(_adts(one), _adts(other), strict=False) for frame in pair)


def _adts(stream: bytes) -> list[bytes]:
    frames = []
    while len(stream) > 7:
        length = int.from_bytes(stream[3:6], "big") >> 5 & 0x1FFF
        frames.append(stream[:length])
        stream = stream[length:]
    return frames
