"""Takes MP4 files apart and reassembles them with false entries."""

from __future__ import annotations

import struct
from collections.abc import Iterator

TABLE = (b"moov", b"trak", b"mdia", b"minf", b"stbl")


def box(kind: bytes, *parts: bytes) -> bytes:
    """A box of this kind."""
    body = b"".join(parts)
    return struct.pack(">I4s", 8 + len(body), kind) + body


def boxes(content: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Kinds and bodies of the consecutive boxes in `content`."""
    position = 0
    while position + 8 <= len(content):
        length, kind = struct.unpack_from(">I4s", content, position)
        yield kind, content[position + 8 : position + length]
        position += length


def body_of(content: bytes, *path: bytes) -> bytes:
    """Body of the first box at this path."""
    for kind in path:
        content = next(body for found, body in boxes(content) if found == kind)
    return content


def replaced(content: bytes, *path: bytes, body: bytes) -> bytes:
    """Replace the body of the first box at this path. Media before that box stays where it is."""
    head, *rest = path
    parts, done = [], False
    for kind, old in boxes(content):
        new = old
        if kind == head and not done:
            new, done = (replaced(old, *rest, body=body) if rest else body), True
        parts.append(box(kind, new))
    assert done, f"no box {head!r}"
    return b"".join(parts)


def appended(content: bytes, *path: bytes, more: bytes) -> bytes:
    """Append to the body of the first box at this path."""
    return replaced(content, *path, body=body_of(content, *path) + more)


def words(*numbers: int) -> bytes:
    """Pack 32-bit numbers in a box's byte order."""
    return struct.pack(f">{len(numbers)}I", *numbers)
