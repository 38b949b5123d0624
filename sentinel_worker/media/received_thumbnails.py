"""The worker's side of thumbnails: pictures from a child, checked and kept."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from sentinel_worker.domain.machine_errors import machine_errors_translated
from sentinel_worker.media.protocol import DERIVED_NAME, ProtocolError

MAX_PICTURE_BYTES: Final = 4 * 1024**2
"""Limit of one JPEG; 640 x 640 pixels are smaller without any compression."""

_START_OF_JPEG: Final = b"\xff\xd8\xff"


def picture_bytes(answer: Mapping[str, Any]) -> int:
    """Return the length of the JPEG that `answer` announces."""
    size: int = answer["payload_bytes"]
    if not len(_START_OF_JPEG) < size <= MAX_PICTURE_BYTES:
        raise ProtocolError(f"a picture of {size} bytes")
    return size


def keep_picture(jpeg: bytearray, directory: Path, name: str) -> Path:
    """Write `directory/name`, completely or not at all, readable only by this user; raises `Transient('disk_full')`.

    An existing entry of that name is replaced and never followed, in case a child left a link there.
    """
    if not jpeg.startswith(_START_OF_JPEG) or not DERIVED_NAME.fullmatch(name):
        raise ProtocolError("not a JPEG, or not the name of a derived file")
    path = directory / name
    with machine_errors_translated():
        with tempfile.NamedTemporaryFile(dir=directory, delete=False) as part:
            part.write(jpeg)
        Path(part.name).replace(path)
    return path
