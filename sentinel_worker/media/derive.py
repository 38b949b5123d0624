"""Still pictures for people: small JPEG files of chosen moments, written beside the media.

Runs in a decoding child. The file's own pictures are decoded and written anew, so nothing of an upload but
its pixels reaches a reader of the derived file.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from PIL import Image

from sentinel_worker.errors import Permanent
from sentinel_worker.media.opened import OpenedMedia
from sentinel_worker.media.protocol import DERIVED_NAME, ProtocolError

LONG_SIDE_PIXELS: Final = 640
JPEG_QUALITY: Final = 85


def write_thumbnails(media: OpenedMedia, directory: Path, at_seconds: Sequence[float], names: Sequence[str]) -> None:
    """Write the frame on screen at each of `at_seconds` (from the first frame) as `directory/name`.

    Each file appears whole or not at all. A damaged frame gives way to the first one; raises
    `Permanent('media_unreadable')` when that is damaged too.
    """
    if len(at_seconds) != len(names) or len(set(names)) != len(names):
        raise ProtocolError("as many different names as moments are needed")
    for seconds, name in zip(at_seconds, names, strict=True):
        if not DERIVED_NAME.fullmatch(name):
            raise ProtocolError(f"not the name of a derived file: {name!r}")
        _write(thumbnail(media, seconds), directory / name)


def thumbnail(media: OpenedMedia, seconds: float) -> Image.Image:
    """The frame at `seconds`, its long side at most `LONG_SIDE_PIXELS`."""
    reader = media.frames()
    shown = reader.at(seconds) or reader.at(0.0)
    if shown is None:
        raise Permanent("media_unreadable", "The video's pictures are damaged and cannot be decoded.")
    picture = Image.fromarray(shown.pixels.permute(1, 2, 0).contiguous().numpy())
    picture.thumbnail((LONG_SIDE_PIXELS, LONG_SIDE_PIXELS), Image.Resampling.LANCZOS)
    return picture


def _write(picture: Image.Image, path: Path) -> None:
    part = path.with_suffix(".part")
    with part.open("wb") as file:
        picture.save(file, format="JPEG", quality=JPEG_QUALITY)
        file.flush()
        os.fsync(file.fileno())
    part.replace(path)
