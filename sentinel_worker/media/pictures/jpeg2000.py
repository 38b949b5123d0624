"""End of a JPEG 2000 picture: Pillow calls one that is cut off broken."""

from __future__ import annotations

import os
from itertools import islice
from pathlib import Path
from typing import Final

from sentinel_worker.media.containers.boxes import MAX_BOXES, level

_END_OF_CODESTREAM: Final = b"\xff\xd9"
_SIGNATURE_BOX: Final = b"\x00\x00\x00\x0cjP  "


def is_cut(path: Path) -> bool:
    """True if the codestream, or the box with it, ends before it should."""
    with path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        if file.read(8) == _SIGNATURE_BOX:
            for kind, body, end in islice(level(file, 0, size), MAX_BOXES):
                if kind == b"jp2c" or end < body:
                    return end > size
            return True
        file.seek(max(size - len(_END_OF_CODESTREAM), 0))
        return file.read() != _END_OF_CODESTREAM
