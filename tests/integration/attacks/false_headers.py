"""Sound whose header promises what no file holds: billions of samples, packets or channels, impossible rates."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable, Mapping

Corpus = Mapping[str, bytes]
Made = Callable[[Corpus], bytes]

_MOST = 0xFFFFFFFF
_RATES = {"0 Hz": 0, "4 GHz": 4_000_000_000}


def _set(name: str, layout: str, value: float, *, mark: bytes = b"", offset: int = 0) -> Made:
    """Return a maker of the corpus's file `name` with a value `offset` bytes after the start of `mark`."""

    def make(corpus: Corpus) -> bytes:
        content = bytearray(corpus[name])
        struct.pack_into(layout, content, (content.index(mark) if mark else 0) + offset, value)
        return bytes(content)

    return make


def _extended(value: int) -> bytes:
    """A whole number as AIFF writes rates: floating point of 80 bits."""
    if not value:
        return bytes(10)
    exponent = value.bit_length() - 1
    return struct.pack(">HQ", 16383 + exponent, value << (63 - exponent))


def _aiff_rate(value: bytes) -> Made:
    def make(corpus: Corpus) -> bytes:
        content = bytearray(corpus["aiff"])
        at = content.index(b"COMM") + 16
        content[at : at + 10] = value
        return bytes(content)

    return make


def _tta(layout: str, value: int, offset: int) -> Made:
    """The header of TTA has a checksum, without which it would not be read."""

    def make(corpus: Corpus) -> bytes:
        content = bytearray(corpus["tta"])
        at = content.index(b"TTA1")
        struct.pack_into(layout, content, at + offset, value)
        struct.pack_into("<I", content, at + 18, zlib.crc32(content[at : at + 18]))
        return bytes(content)

    return make


def _mpc8(corpus: Corpus) -> bytes:
    """A count of 2^62 samples: nine bytes of seven bits."""
    content = corpus["mpc8"]
    at = content.index(b"SH") + 2
    body = content[at + 1 : at + content[at] - 2]
    old = next(place for place in range(5, len(body)) if not body[place] & 0x80) + 1
    body = body[:5] + b"\xc0" + b"\x80" * 7 + b"\x00" + body[old:]
    return content[:at] + bytes([len(body) + 3]) + body + content[at + content[at] - 2 :]


def _repeated(mark: bytes, frame: bytes, count: int) -> Made:
    return lambda _: mark + frame * count


HEADERS: Mapping[str, Made] = {
    **{f"au, {name}": _set("au", ">I", rate, offset=16) for name, rate in _RATES.items()},
    "au, 4 G bytes": _set("au", ">I", _MOST - 1, offset=8),
    "au, a billion channels": _set("au", ">I", 10**9, offset=20),
    "au, no channel": _set("au", ">I", 0, offset=20),
    **{f"aiff, {name}": _aiff_rate(_extended(rate)) for name, rate in _RATES.items()},
    "aiff, a rate that is no number": _aiff_rate(b"\xff" * 10),
    "aiff, 4 G samples": _set("aiff", ">I", _MOST, mark=b"COMM", offset=10),
    "aiff, 32,767 channels": _set("aiff", ">H", 32767, mark=b"COMM", offset=8),
    "aiff, no channel": _set("aiff", ">H", 0, mark=b"COMM", offset=8),
    **{f"caf, {name}": _set("caf", ">d", rate, mark=b"desc", offset=12) for name, rate in _RATES.items()},
    "caf, an infinite rate": _set("caf", ">d", float("inf"), mark=b"desc", offset=12),
    "caf, a rate that is no number": _set("caf", ">d", float("nan"), mark=b"desc", offset=12),
    "caf, packets of 4 G bytes": _set("caf", ">I", _MOST, mark=b"desc", offset=28),
    "caf, packets of 4 G samples": _set("caf", ">I", _MOST, mark=b"desc", offset=32),
    "caf, a billion channels": _set("caf", ">I", 10**9, mark=b"desc", offset=36),
    "caf alac, 2^62 packets": _set("caf alac", ">q", 2**62, mark=b"pakt", offset=12),
    "caf alac, a billion packets": _set("caf alac", ">q", 10**9, mark=b"pakt", offset=12),
    "caf alac, 2^63 samples": _set("caf alac", ">q", 2**63 - 1, mark=b"pakt", offset=20),
    **{f"w64, {name}": _set("w64", "<I", rate, mark=b"fmt ", offset=28) for name, rate in _RATES.items()},
    "w64, 65,535 channels": _set("w64", "<H", 65535, mark=b"fmt ", offset=26),
    "w64, no channel": _set("w64", "<H", 0, mark=b"fmt ", offset=26),
    "w64, 2^62 bytes": _set("w64", "<Q", 2**62, mark=b"data\xf3\xac\xd3\x11", offset=16),
    **{f"ape, {name}": _set("ape", "<I", rate, offset=52 + 20) for name, rate in _RATES.items()},
    "ape, 4 G frames": _set("ape", "<I", _MOST, offset=52 + 12),
    "ape, a billion frames": _set("ape", "<I", 10**9, offset=52 + 12),
    "ape, frames of 4 G samples": _set("ape", "<I", _MOST, offset=52 + 4),
    "ape, 65,535 channels": _set("ape", "<H", 65535, offset=52 + 18),
    "wavpack, 4 G samples": _set("wavpack", "<I", _MOST - 1, offset=12),
    "wavpack, a block of 4 G samples": _set("wavpack", "<I", _MOST, offset=20),
    "wavpack, a block of 4 GB": _set("wavpack", "<I", _MOST, offset=4),
    **{f"tta, {name}": _tta("<I", rate, 10) for name, rate in _RATES.items()},
    "tta, 4 G samples": _tta("<I", _MOST, 14),
    "tta, a billion samples": _tta("<I", 10**9, 14),
    "tta, 65,535 channels": _tta("<H", 65535, 6),
    "mpc7, 4 G frames": _set("mpc7", "<I", _MOST, offset=4),
    "mpc7, a hundred million frames": _set("mpc7", "<I", 10**8, offset=4),
    "mpc8, 2^62 samples": _mpc8,
    "amr, 100,000 frames of a byte": _repeated(b"#!AMR\n", b"\x7c", 100_000),
    "amr, 100,000 frames of a byte, wide band": _repeated(b"#!AMR-WB\n", b"\x7c", 100_000),
}
"""Makers from the corpus, by what each promises."""
