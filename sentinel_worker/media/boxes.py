"""The outermost structure of ISO media and RIFF files: whether the file is as long as it says."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final

# Written by programs that could not go back to the start of their output.
_UNKNOWN_LENGTH: Final = 0xFFFFFFFF


def has_index(path: Path) -> bool:
    """Whether an MP4 or QuickTime file has a complete `moov` box at its top level."""
    return any(kind == b"moov" and whole for kind, whole in _boxes(path))


def ends_early(path: Path) -> bool:
    """Whether the last box of an ISO file, or a RIFF file as a whole, promises more bytes than there are.

    False for other files.
    """
    with path.open("rb") as file:
        head = file.read(8)
        if head[:4] == b"RIFF":
            promised = int.from_bytes(head[4:], "little")
            return promised != _UNKNOWN_LENGTH and promised + len(head) > os.fstat(file.fileno()).st_size
    return head[4:] == b"ftyp" and any(not whole for _, whole in _boxes(path))


def _boxes(path: Path) -> Iterator[tuple[bytes, bool]]:
    """The kind of each top-level box, and whether all of it is there."""
    with path.open("rb") as file:
        end = os.fstat(file.fileno()).st_size
        position = 0
        while position + 8 <= end:
            file.seek(position)
            box = file.read(16)
            length, kind = int.from_bytes(box[:4], "big"), box[4:8]
            if length == 1:
                length = int.from_bytes(box[8:16], "big")
            elif length == 0:
                length = end - position
            yield kind, position + length <= end
            if length < len(box[:8]):
                return
            position += length
