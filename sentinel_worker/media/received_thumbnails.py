"""The worker's side of pictures for people: what a child sent, checked and kept."""

from __future__ import annotations

import errno
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from sentinel_worker.domain.errors import Transient
from sentinel_worker.media.protocol import DERIVED_NAME, ProtocolError

MAX_PICTURE_BYTES: Final = 4 * 1024**2
"""640 x 640 pixels without any compression are less."""

_START_OF_JPEG: Final = b"\xff\xd8\xff"


def picture_bytes(answer: Mapping[str, Any]) -> int:
    """How long the JPEG is that `answer` announces."""
    size: int = answer["payload_bytes"]
    if not len(_START_OF_JPEG) < size <= MAX_PICTURE_BYTES:
        raise ProtocolError(f"a picture of {size} bytes")
    return size


def keep_picture(jpeg: bytearray, directory: Path, name: str) -> Path:
    """Write `directory/name`, whole or not at all, for this user alone; raises `Transient('disk_full')`.

    Whatever bears the name is replaced and never followed, should a child have left a link there.
    """
    if not jpeg.startswith(_START_OF_JPEG) or not DERIVED_NAME.fullmatch(name):
        raise ProtocolError("not a JPEG, or not the name of a derived file")
    path = directory / name
    try:
        with tempfile.NamedTemporaryFile(dir=directory, delete=False) as part:
            part.write(jpeg)
        Path(part.name).replace(path)
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise Transient("disk_full", "The worker's disk is full.") from error
    return path
