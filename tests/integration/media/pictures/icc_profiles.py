"""Colour profiles (ICC, version 2) made of a few numbers."""

from __future__ import annotations

import struct
from collections.abc import Sequence

SRGB = ((0.4361, 0.2225, 0.0139), (0.3851, 0.7169, 0.0971), (0.1431, 0.0606, 0.7141))
_WHITE = (0.9642, 1.0, 0.8249)


def rgb_profile(gamma: float, primaries: Sequence[Sequence[float]] = SRGB) -> bytes:
    """A profile of RGB with one gamma."""
    names = zip(("r", "g", "b"), primaries, strict=True)
    tags = {f"{name}XYZ": _xyz(*primary) for name, primary in names}
    return _profile("RGB ", tags | {f"{name}TRC": _curve(gamma) for name in "rgb"})


def grey_profile(gamma: float) -> bytes:
    """A profile of grey."""
    return _profile("GRAY", {"kTRC": _curve(gamma)})


def ink_profile() -> bytes:
    """A profile of inks: black is black, and every other ink takes a little light and no colour."""
    corners = b""
    for place in range(16):
        cyan, magenta, yellow, black = (place >> bit & 1 for bit in (3, 2, 1, 0))
        light = round(255 * (1 - black) * (1 - 0.1 * (cyan + magenta + yellow)))
        corners += bytes([light, 128, 128])
    identity = bytes(range(256))
    numbers = b"".join(map(_fixed, (1, 0, 0, 0, 1, 0, 0, 0, 1)))
    table = b"mft1" + bytes(4) + bytes([4, 3, 2, 0]) + numbers + identity * 4 + corners + identity * 3
    return _profile("CMYK", {"A2B0": table}, kind="prtr", connection="Lab ")


def _fixed(value: float) -> bytes:
    return struct.pack(">i", round(value * 65536))


def _xyz(*values: float) -> bytes:
    return b"XYZ " + bytes(4) + b"".join(map(_fixed, values))


def _curve(gamma: float) -> bytes:
    return b"curv" + bytes(4) + struct.pack(">IH", 1, round(gamma * 256))


def _profile(space: str, tags: dict[str, bytes], kind: str = "mntr", connection: str = "XYZ ") -> bytes:
    text = b"desc" + bytes(4) + struct.pack(">I", 5) + b"test\0" + bytes(78)
    tags = {"desc": text, "cprt": b"text" + bytes(4) + b"none\0", "wtpt": _xyz(*_WHITE)} | tags
    place, table, data = 132 + 12 * len(tags), struct.pack(">I", len(tags)), b""
    for name, body in tags.items():
        table += name.encode() + struct.pack(">II", place + len(data), len(body))
        data += body + bytes(-len(body) % 4)
    head = b"lcms" + struct.pack(">I", 0x02400000) + f"{kind}{space}{connection}".encode()
    head += struct.pack(">6H", 2026, 1, 1, 0, 0, 0) + b"acsp" + bytes(28) + b"".join(map(_fixed, _WHITE))
    return struct.pack(">I", 128 + len(table) + len(data)) + head.ljust(124, b"\0") + table + data
