"""Still pictures for people: small JPEGs of chosen moments.

Runs in a decoding child. The file's pictures are decoded and encoded again, so that only the pixels of an upload reach
a reader of the derived file.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from typing import Final

from PIL import Image

from sentinel_worker.domain.errors import Permanent
from sentinel_worker.media.opened_media import OpenedMedia

LONG_SIDE_PIXELS: Final = 640
JPEG_QUALITY: Final = 85


def thumbnails(media: OpenedMedia, at_seconds: Sequence[float]) -> Iterator[bytes]:
    """Yield the frame on screen at each of `at_seconds` (from the first frame), as a JPEG.

    A damaged frame is replaced by the first one; raises `Permanent('media_unreadable')` if that is damaged too.
    """
    for seconds in at_seconds:
        file = io.BytesIO()
        thumbnail(media, seconds).save(file, format="JPEG", quality=JPEG_QUALITY)
        yield file.getvalue()


def thumbnail(media: OpenedMedia, seconds: float) -> Image.Image:
    """Return the frame at `seconds`, its long side at most `LONG_SIDE_PIXELS`."""
    reader = media.frames()
    shown = reader.at(seconds) or reader.at(0.0)
    if shown is None:
        raise Permanent("media_unreadable", "The video's pictures are damaged and cannot be decoded.")
    picture = Image.fromarray(shown.pixels.permute(1, 2, 0).contiguous().numpy())
    height, width = media.size_on_screen(shown.pixels)
    if picture.size != (width, height):
        picture = picture.resize((width, height), Image.Resampling.BILINEAR)
    picture.thumbnail((LONG_SIDE_PIXELS, LONG_SIDE_PIXELS), Image.Resampling.LANCZOS)
    return picture
