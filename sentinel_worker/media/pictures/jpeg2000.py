"""End of a JPEG 2000 picture: Pillow calls one that is cut off broken."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

_END_OF_CODESTREAM: Final = b"\xff\xd9"
_SIGNATURE_BOX: Final = b"\x00\x00\x00\x0cjP  "


def is_cut(path: Path) -> bool:
    """True if the codestream, or the box with it, ends before it should."""
    with path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        if file.read(8) == _SIGNATURE_BOX:
            place = 0
            while place + 8 <= size:
                file.seek(place)
                head = file.read(16)
                length, kind = int.from_bytes(head[:4], "big"), head[4:8]
                length = int.from_bytes(head[8:16], "big") if length == 1 else length or size - place
                if kind == b"jp2c" or length < 8:  # noqa: PLR2004 a box has a header
                    return place + length > size
                place += length
            return True
        file.seek(max(size - len(_END_OF_CODESTREAM), 0))
        return file.read() != _END_OF_CODESTREAM
