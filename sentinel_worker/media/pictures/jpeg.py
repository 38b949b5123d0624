"""JPEG: reduced while it is decoded if it is large, and read to its last row if its end is missing."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
from PIL import Image

from sentinel_worker.domain.errors import CodedError
from sentinel_worker.domain.machine_errors import out_of_memory
from sentinel_worker.domain.media_facts import MediaLimits
from sentinel_worker.media.pictures.colours import Colours
from sentinel_worker.media.pictures.decoded import Decoded, decoded
from sentinel_worker.media.pictures.ffmpeg_reader import read_with_ffmpeg
from sentinel_worker.media.pictures.formats import open_image
from sentinel_worker.media.pictures.jpeg_markers import UNUSUAL, frame_kind, scans_are_complete
from sentinel_worker.media.pictures.orientation import exif_orientation
from sentinel_worker.media.pictures.refusals import check_missing, cut_off, not_supported
from sentinel_worker.media.pictures.sizes import check_size, reduction

_END: Final = b"\xff\xd9"
# No Huffman code consists of ones only, and the decoder fills what is missing with zeros.
_NOISE: Final = b"\xfe" * 4096
_BLOCK: Final = 16
_BITS: Final = 8


def open_jpeg(path: Path, limits: MediaLimits) -> Decoded:
    """Decode a JPEG; raises `Permanent` and what Pillow raises."""
    try:
        with path.open("rb") as file:
            return _open(open_image(file, "jpeg"), path, limits)
    except CodedError:
        raise
    except Exception as error:  # any parser may fail
        if out_of_memory(error):
            raise
        kind, bits = frame_kind(path.read_bytes()) or (0, _BITS)
        if kind in UNUSUAL:
            return _read_unusual(path, kind, limits)
        if bits != _BITS:
            raise not_supported(f"a JPEG of {bits} bits a sample") from error
        raise


def _open(image: Image.Image, path: Path, limits: MediaLimits) -> Decoded:
    size, missing = image.size, 0.0
    check_size(*size, "jpeg", limits)
    factor = reduction(*size, limits)
    _shrink(image, factor)
    try:
        image.load()
    except OSError as error:
        if "truncated" not in str(error):
            raise
        image, missing = _without_end(path.read_bytes(), factor)
    return decoded(
        image,
        Colours(image, profile=image.info.get("icc_profile")),
        orientation=exif_orientation(image.info.get("exif")),
        # The decoder divides by 8 at most.
        reduced_by=reduction(*image.size, limits),
        size=size,
        truncated=missing > 0,
    )


def _read_unusual(path: Path, kind: int, limits: MediaLimits) -> Decoded:
    image = read_with_ffmpeg(path, "jpeg_pipe", "jpeg", limits, strict=True)
    if image is None:
        raise not_supported(UNUSUAL[kind])
    return decoded(image, Colours(image), reduced_by=reduction(*image.size, limits))


def _shrink(image: Image.Image, factor: int) -> None:
    if factor > 1:
        image.draft(image.mode, (image.width // factor, image.height // factor))


def _without_end(data: bytes, factor: int) -> tuple[Image.Image, float]:
    """Decode a JPEG without its end marker, and return the share of the picture that is missing with it.

    It is decoded twice, each time with a different ending appended. A picture that does not depend on what follows is
    complete.
    """
    data = data.rstrip(b"\xff")
    if not scans_are_complete(data):
        raise cut_off()
    images = [open_image(io.BytesIO(data + end), "jpeg") for end in (_END, _NOISE + _END)]
    for image in images:
        _shrink(image, factor)
        image.load()
    return images[0], check_missing(_share_after_first_difference(*map(np.asarray, images)))


def _share_after_first_difference(one: npt.NDArray[np.uint8], other: npt.NDArray[np.uint8]) -> float:
    """Return the share of a picture from its first block that differs, in reading order."""
    differ = (one != other).reshape(*one.shape[:2], -1).any(axis=2)
    rows = np.flatnonzero(differ.any(axis=1))
    if len(rows) == 0:
        return 0.0
    height, width = differ.shape
    # Colours of a lower resolution spread by a pixel to the block before.
    first = (int(rows[0]) + 1) // _BLOCK * _BLOCK
    columns = np.flatnonzero(differ[first : first + _BLOCK].any(axis=0))
    column = (int(columns[0]) + 1) // _BLOCK * _BLOCK if len(columns) else 0
    seen = first * width + column * min(_BLOCK, height - first)
    share: float = 1 - seen / differ.size
    return share
