"""Pillow's formats: which of them may open a container, and their registration before a child is confined."""

from __future__ import annotations

from functools import cache
from typing import BinaryIO, Final

from PIL import (
    AvifImagePlugin,
    IcoImagePlugin,  # noqa: F401 opened by the name of its format, as are the others without a use
    Image,
    Jpeg2KImagePlugin,  # noqa: F401
    MpoImagePlugin,  # noqa: F401
    TiffImagePlugin,  # noqa: F401
    WebPImagePlugin,  # noqa: F401
)

from sentinel_worker.domain.errors import Permanent

try:
    import pillow_heif
except ImportError:  # the extra `heic` was not installed
    pillow_heif = None  # type: ignore[assignment]

PICTURE_FORMATS: Final[dict[str, tuple[str, ...]]] = {
    "jpeg": ("JPEG",),
    "png": ("PNG",),
    "apng": ("PNG",),
    "gif": ("GIF",),
    "bmp": ("BMP",),
    "tiff": ("TIFF",),
    "webp": ("WEBP",),
    "avif": ("AVIF",),
    # The brand `mif1` is written by both.
    "heic": ("HEIF", "AVIF"),
    "ico": ("ICO",),
    "jp2": ("JPEG2000",),
}
"""Pillow's formats that a container of `sniff` may be."""


@cache
def register_plugins() -> None:
    """Register the formats with Pillow, including those that it would import later; each decodes in one thread."""
    Image.preinit()
    AvifImagePlugin.DEFAULT_MAX_THREADS = 1
    if pillow_heif is not None:
        pillow_heif.options.DECODE_THREADS = 1
        pillow_heif.register_heif_opener()


def open_image(file: BinaryIO, container: str) -> Image.Image:
    """Open the file as a format that its container may be, and as no other; its pixels are decoded later.

    The caller checks the size: Pillow's own check does not say it.
    """
    allowed, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
    try:
        return _opened(file, container)
    finally:
        Image.MAX_IMAGE_PIXELS = allowed


def _opened(file: BinaryIO, container: str) -> Image.Image:
    if container == "heic" and pillow_heif is None:
        try:
            return Image.open(file, formats=["AVIF"])
        except Image.UnidentifiedImageError:
            raise Permanent(
                "media_not_supported",
                "HEIC pictures cannot be read here: the worker was installed without the extra 'heic'.",
                params={"found": "a HEIC picture"},
            ) from None
    return Image.open(file, formats=PICTURE_FORMATS[container])
