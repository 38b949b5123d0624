"""TIFF: what Pillow does not know is read by FFmpeg where that reads it rightly, and named otherwise."""

# ruff: noqa: PLR2004 the numbers come from the format

from __future__ import annotations

from pathlib import Path
from typing import Final

from PIL import Image, UnidentifiedImageError

from sentinel_worker.domain.errors import CodedError, Permanent
from sentinel_worker.domain.machine_errors import out_of_memory
from sentinel_worker.domain.media_facts import MediaLimits
from sentinel_worker.media.pictures import tiff_directory as tags
from sentinel_worker.media.pictures.colours import Colours
from sentinel_worker.media.pictures.decoded import Decoded, decoded
from sentinel_worker.media.pictures.ffmpeg_reader import read_with_ffmpeg
from sentinel_worker.media.pictures.formats import open_image
from sentinel_worker.media.pictures.orientation import UPRIGHT
from sentinel_worker.media.pictures.refusals import cut_off, damaged, not_supported
from sentinel_worker.media.pictures.sizes import check_size, reduction
from sentinel_worker.media.pictures.tiff_directory import TiffDirectory, read_directory

_WHITE_IS_0, _RGB, _LAB, _ICC_LAB, _SENSOR = 0, 2, 8, 9, 32803
_UNSIGNED, _FLOAT, _SEPARATE = 1, 3, 2
_DECODED_COMPRESSIONS: Final = frozenset({1, 2, 3, 4, 5, 6, 7, 8, 32773, 32946})
_COMPRESSIONS: Final = {34712: "JPEG 2000", 34925: "LZMA", 50000: "Zstandard", 50001: "WebP", 50002: "JPEG XL"}
_SAMPLES: Final = {2: "signed", _FLOAT: "floating point", 5: "complex", 6: "complex floating point"}


def open_tiff(path: Path, limits: MediaLimits) -> Decoded:
    """Decode the first page of a TIFF; raises `Permanent`."""
    directory = read_directory(path)
    if not directory.is_cut and _is_for_ffmpeg(directory):
        image = read_with_ffmpeg(path, "tiff_pipe", "tiff", limits)
        if image is not None:
            return _decoded(image, directory, limits, directory.first(tags.ORIENTATION, UPRIGHT))
    try:
        with path.open("rb") as file:
            image = open_image(file, "tiff")
            check_size(*image.size, "tiff", limits)
            image.load()  # turns it, too
            return _decoded(image, directory, limits, UPRIGHT)
    except CodedError:
        raise
    except Exception as error:  # any parser may fail
        if out_of_memory(error):
            raise
        raise _refusal(directory, error) from error


def _decoded(image: Image.Image, directory: TiffDirectory, limits: MediaLimits, orientation: int) -> Decoded:
    bits = directory.bits[0]
    colours = Colours(
        image,
        profile=image.info.get("icc_profile"),
        deep_white=(1 << bits) - 1 if 8 < bits < 16 else 0xFFFF,
        inverted=directory.first(tags.PHOTOMETRIC, _RGB) == _WHITE_IS_0 and image.mode.startswith("I;16"),
    )
    return decoded(image, colours, orientation=orientation, reduced_by=reduction(*image.size, limits))


def _is_for_ffmpeg(directory: TiffDirectory) -> bool:
    """True for what Pillow confuses or does not know: planes of 16 bits, grey of 16 bits with alpha, 32 bit floats."""
    bits, numbers = directory.bits, directory.first(tags.FORMAT, _UNSIGNED)
    is_rgb = directory.first(tags.PHOTOMETRIC, _RGB) == _RGB
    if numbers == _FLOAT:
        return bits in ((32,) * 3, (32,) * 4) and is_rgb
    is_planar = directory.first(tags.PLANES, 1) == _SEPARATE and len(bits) in (3, 4) and is_rgb
    return numbers == _UNSIGNED and set(bits) == {16} and (is_planar or len(bits) == 2)


def _refusal(directory: TiffDirectory, error: Exception) -> Permanent:
    if directory.is_cut:
        return cut_off()
    compression = directory.first(tags.COMPRESSION, 1)
    if compression not in _DECODED_COMPRESSIONS:
        return not_supported(f"a TIFF with {_COMPRESSIONS.get(compression, f'compression {compression}')}")
    if tags.BITS in directory.numbers and isinstance(error, UnidentifiedImageError):
        return not_supported(_described(directory))
    return damaged()


def _described(directory: TiffDirectory) -> str:
    photometric, bits = directory.first(tags.PHOTOMETRIC, _RGB), directory.bits
    if photometric == _SENSOR:
        return "a TIFF with a sensor's raw data"
    colours = "CIELAB " if photometric in (_LAB, _ICC_LAB) else ""
    samples = _SAMPLES.get(directory.first(tags.FORMAT, _UNSIGNED), "unsigned")
    each = "/".join(map(str, bits[:8] if len(set(bits)) > 1 else bits[:1]))
    return f"a {colours}TIFF with {len(bits)} {samples} samples of {each} bits"
