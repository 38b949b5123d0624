"""BMP of every kind that browsers show: headers of Windows and OS/2, palettes, bit fields, runs.

Pillow and FFmpeg each refuse some of them, and both ignore the transparency of 16 bits.
"""

# ruff: noqa: PLR2004 the numbers come from the format

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from mmap import mmap
from typing import Final

import numpy as np
import numpy.typing as npt
from PIL import Image

from sentinel_worker.media.pictures.bmp_runs import Runs
from sentinel_worker.media.pictures.refusals import check_missing, damaged, not_supported

_FILE_HEADER: Final = 14
_CORE, _OS2_2, _INFO, _WITH_MASKS, _WITH_ALPHA = 12, 64, 40, 52, 56
_PLAIN, _RUNS_8, _RUNS_4, _FIELDS, _RUNS_24_OR_JPEG, _PNG, _ALPHA_FIELDS = range(7)
_RAW_MODES: Final = {1: "P;1", 2: "P;2", 4: "P;4", 8: "P"}
_MASKS: Final = {16: (0x7C00, 0x3E0, 0x1F, 0), 32: (0xFF0000, 0xFF00, 0xFF, 0)}
_BAND_ROWS: Final = 64


@dataclass(frozen=True, slots=True)
class Bmp:
    """Header of a BMP file. `pixels` is the place of its pixels; `masks` are those of red, green, blue and alpha."""

    file: mmap
    width: int
    height: int
    top_down: bool
    bits: int
    compression: int
    is_os2: bool
    palette: bytes
    masks: tuple[int, int, int, int]
    pixels: int

    @property
    def stride(self) -> int:
        """Bytes of a row that is not packed."""
        return (self.width * self.bits + 31) // 32 * 4

    def image(self) -> tuple[Image.Image, float]:
        """Decode the picture, and return the share of it that is missing. Raises `Permanent`."""
        if self.compression in (_RUNS_8, _RUNS_4) or (self.is_os2 and self.compression == _RUNS_24_OR_JPEG):
            return self._from_runs()
        _check_supported(self)
        # The last row may end without its padding.
        needed = self.stride * (self.height - 1) + (self.width * self.bits + 7) // 8
        there = max(len(self.file) - self.pixels, 0)
        missing = check_missing(max(1 - there / needed, 0.0))
        data = self.file[self.pixels : self.pixels + self.stride * self.height].ljust(self.stride * self.height, b"\0")
        if self.bits in _MASKS:
            return self._from_fields(data), missing
        mode, raw = ("RGB", "BGR") if self.bits == 24 else ("P", _RAW_MODES[self.bits])
        direction = 1 if self.top_down else -1
        size = (self.width, self.height)
        image = Image.frombytes(mode, size, data, "raw", (raw, self.stride, direction))
        if mode == "P":
            image.putpalette(self.palette.ljust(1024, b"\0"), "BGRX")
        return image, missing

    def _from_runs(self) -> tuple[Image.Image, float]:
        """Draw the runs; what they skip is black."""
        runs = Runs(self.width, self.height, self.bits)
        runs.draw(self.file[self.pixels :])
        check_missing(runs.missing)
        pixels, drawn = (rows if self.top_down else rows[::-1] for rows in (runs.pixels, runs.drawn))
        if self.bits == 24:
            image = Image.fromarray(pixels[..., ::-1])
        else:
            image = Image.fromarray(pixels)
            image.putpalette(self.palette.ljust(1024, b"\0"), "BGRX")
        if not drawn.all():
            black = Image.new("RGB", image.size)
            image = Image.composite(image.convert("RGB"), black, Image.fromarray(drawn).convert("L"))
        return image, runs.missing

    def _from_fields(self, data: bytes) -> Image.Image:
        """Cut the colours out of numbers of 16 or 32 bits."""
        numbers = np.frombuffer(data, dtype=f"<u{self.bits // 8}").reshape(self.height, -1)[:, : self.width]
        numbers = numbers if self.top_down else numbers[::-1]
        channels = 4 if self.masks[3] else 3
        pixels = np.empty((self.height, self.width, channels), dtype=np.uint8)
        for place, band in zip(range(0, self.height, _BAND_ROWS), _bands(numbers), strict=True):
            for channel, mask in enumerate(self.masks[:channels]):
                pixels[place : place + _BAND_ROWS, :, channel] = _field(band, mask)
        return Image.fromarray(pixels)


def read_bmp(file: mmap) -> Bmp:
    """Read the header. Raises `Permanent('media_unreadable')` if it makes no sense."""
    try:
        return _read(file)
    except struct.error:
        raise damaged() from None


def _read(file: mmap) -> Bmp:
    (pixels,) = struct.unpack_from("<I", file, 10)
    (length,) = struct.unpack_from("<I", file, _FILE_HEADER)
    head = bytes(file[_FILE_HEADER : _FILE_HEADER + length]).ljust(124, b"\0")
    if length == _CORE:
        width, height, _, bits = struct.unpack_from("<HHHH", head, 4)
        compression = colours = 0
    else:
        width, height, _, bits, compression = struct.unpack_from("<iiHHI", head, 4)
        (colours,) = struct.unpack_from("<I", head, 32)
    is_os2 = length <= _OS2_2 and length not in (_INFO, _WITH_MASKS, _WITH_ALPHA)
    masks, after_header = _masks(file, length, head, bits, compression, is_os2=is_os2)
    if width <= 0 or height == 0 or bits not in (1, 2, 4, 8, 16, 24, 32):
        raise _unusual(width, height, bits, compression)
    palette, after_palette = _palette(file, after_header, bits, colours, pixels, entry=3 if length == _CORE else 4)
    pixels = pixels if pixels >= after_header else after_palette
    return Bmp(file, width, abs(height), height < 0, bits, compression, is_os2, palette, masks, pixels)


def _masks(
    file: mmap, length: int, head: bytes, bits: int, compression: int, *, is_os2: bool
) -> tuple[tuple[int, int, int, int], int]:
    """Masks of red, green, blue and alpha, and the place after them. They are part of newer headers, or follow."""
    end = _FILE_HEADER + length
    default = _MASKS.get(bits, (0, 0, 0, 0))
    if is_os2 or compression not in (_PLAIN, _FIELDS, _ALPHA_FIELDS):
        return default, end
    if length >= _WITH_MASKS:
        red, green, blue, alpha = struct.unpack_from("<4I", head, _INFO)
        alpha = alpha if length >= _WITH_ALPHA else 0
        return (default if compression == _PLAIN else (red, green, blue, alpha)), end
    if compression == _PLAIN:
        return default, end
    count = 4 if compression == _ALPHA_FIELDS else 3
    red, green, blue, *alphas = struct.unpack_from(f"<{count}I", file, end)
    return (red, green, blue, alphas[0] if alphas else 0), end + 4 * count


def _palette(file: mmap, start: int, bits: int, colours: int, pixels: int, *, entry: int) -> tuple[bytes, int]:
    """Palette as blue, green, red and a byte that says nothing, for each colour; and the place after it."""
    if bits > 8:
        return b"", start
    most = 1 << bits
    end = start + entry * (min(colours, most) or most)
    if start < pixels < end:
        end = pixels
    colours_there = np.frombuffer(file[start:end], dtype=np.uint8)
    table = colours_there[: len(colours_there) // entry * entry].reshape(-1, entry)
    return np.pad(table[:, :3], ((0, 0), (0, 1))).tobytes(), end


def _check_supported(bmp: Bmp) -> None:
    embedded = {_RUNS_24_OR_JPEG: "a BMP with a JPEG inside", _PNG: "a BMP with a PNG inside"}
    if bmp.compression in embedded:
        raise not_supported(embedded[bmp.compression])
    if bmp.is_os2 and bmp.compression == _FIELDS:
        raise not_supported("a BMP with fax compression")
    if bmp.compression not in (_PLAIN, _FIELDS, _ALPHA_FIELDS):
        raise damaged()


def _unusual(width: int, height: int, bits: int, compression: int) -> Exception:
    if width > 0 and height != 0 and compression in (_RUNS_24_OR_JPEG, _PNG):
        return not_supported("a BMP with a JPEG or PNG inside")
    return not_supported("a BMP of 64 bits a pixel") if bits == 64 else damaged()


def _bands(numbers: npt.NDArray[np.unsignedinteger]) -> Iterator[npt.NDArray[np.unsignedinteger]]:
    for top in range(0, len(numbers), _BAND_ROWS):
        yield numbers[top : top + _BAND_ROWS]


def _field(numbers: npt.NDArray[np.unsignedinteger], mask: int) -> npt.NDArray[np.uint8]:
    """Return one colour of the numbers, scaled to 8 bits."""
    mask &= int(np.iinfo(numbers.dtype).max)
    if mask == 0:
        return np.zeros(numbers.shape, dtype=np.uint8)
    shift = (mask & -mask).bit_length() - 1
    values = (numbers & mask) >> shift
    scaled: npt.NDArray[np.uint8] = np.rint(values * (255.0 / (mask >> shift))).astype(np.uint8)
    return scaled
