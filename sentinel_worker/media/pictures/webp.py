"""Size of a WebP picture or animation from its first chunk: Pillow allocates memory for it when it opens the file."""

from __future__ import annotations

from pathlib import Path


def webp_size(path: Path) -> tuple[int, int]:
    """Return width and height; zeros if the file begins with no known chunk."""
    with path.open("rb") as file:
        head = file.read(30).ljust(30, b"\0")
    kind, body = head[12:16], head[20:]
    if kind == b"VP8X":
        return 1 + int.from_bytes(body[4:7], "little"), 1 + int.from_bytes(body[7:10], "little")
    if kind == b"VP8L":
        bits = int.from_bytes(body[1:5], "little")
        return 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
    if kind == b"VP8 ":
        return int.from_bytes(body[6:8], "little") & 0x3FFF, int.from_bytes(body[8:10], "little") & 0x3FFF
    return 0, 0
