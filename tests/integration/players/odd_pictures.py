"""Pictures and animations whose structure decides what is shown."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Final

from PIL import Image, ImageCms, ImageDraw

from sentinel_worker.media.pictures.formats import register_plugins
from tests.integration.players.made import Corpus, Make, encoded, film

_SIZE: Final = (64, 48)
_ORIENTATION: Final = 0x0112


def drawn(grey: int = 90, mode: str = "RGB") -> Image.Image:
    """A grey picture whose upper left corner is red and whose upper right one is blue."""
    picture = Image.new("RGB", _SIZE, (grey, grey, grey))
    pen = ImageDraw.Draw(picture)
    pen.rectangle((0, 0, 15, 11), fill=(220, 30, 30))
    pen.rectangle((48, 0, 63, 11), fill=(30, 30, 220))
    return picture.convert(mode)


def _still(kind: str, mode: str = "RGB", orientation: int | None = None, **options: object) -> Make:
    def make(path: Path) -> None:
        register_plugins()
        exif = Image.Exif()
        if orientation is not None:
            exif[_ORIENTATION] = orientation
            options["exif"] = exif
        drawn(mode=mode).save(path, kind, **options)

    return make


def _animated(kind: str, frames: Callable[[], list[Image.Image]], **options: object) -> Make:
    def make(path: Path) -> None:
        register_plugins()
        first, *others = frames()
        first.save(path, kind, save_all=True, append_images=others, **options)

    return make


def _brighter() -> list[Image.Image]:
    return [drawn(grey) for grey in (60, 120, 180)]


def _holes() -> list[Image.Image]:
    """Pictures whose right half is transparent, over each other."""
    pictures = []
    for picture in _brighter():
        picture.putalpha(Image.frombytes("L", _SIZE, bytes([255] * 32 + [0] * 32) * 48))
        pictures.append(picture)
    return pictures


def _exchanged_colours() -> bytes:
    """The profile of sRGB, with red in green's place and the other way round."""
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    return profile.replace(b"rXYZ", b"####", 1).replace(b"gXYZ", b"rXYZ", 1).replace(b"####", b"gXYZ", 1)


def chunk(kind: bytes, body: bytes) -> bytes:
    """A chunk of PNG."""
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def _chunks(content: bytes) -> Iterator[tuple[bytes, bytes]]:
    at = 8
    while at < len(content):
        (length,) = struct.unpack_from(">I", content, at)
        yield content[at + 4 : at + 8], content[at + 8 : at + 8 + length]
        at += 12 + length


def _png_with(kind: bytes, body: bytes, *, after: bytes = b"IHDR") -> Make:
    """A PNG with another chunk."""

    def make(path: Path) -> None:
        file = io.BytesIO()
        drawn().save(file, "PNG")
        content = b"\x89PNG\r\n\x1a\n"
        for name, inside in _chunks(file.getvalue()):
            content += chunk(name, inside) + (chunk(kind, body) if name == after else b"")
        path.write_bytes(content)

    return make


def _apng(*, late: bool = False, hidden: bool = False, frames: int = 2) -> Make:
    """An animation from dark to bright. `hidden`: its default image, in the middle, is not part of it."""

    def make(path: Path) -> None:
        images = [_image_data(grey) for grey in ((120,) if hidden else ()) + (60, 180)]
        content = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", *_SIZE, 8, 2, 0, 0, 0))
        control = chunk(b"acTL", struct.pack(">II", frames, 0))
        content += b"" if late else control
        number = 0
        for place, data in enumerate(images):
            if place or not hidden:
                shape = struct.pack(">IIIIIHHBB", number, *_SIZE, 0, 0, 1, 5, 0, 0)
                content += chunk(b"fcTL", shape)
                number += 1
            if place:
                content += chunk(b"fdAT", struct.pack(">I", number) + data)
                number += 1
            else:
                content += chunk(b"IDAT", data) + (control if late else b"")
        path.write_bytes(content + chunk(b"IEND", b""))

    return make


def _image_data(grey: int) -> bytes:
    pixels = drawn(grey).tobytes()
    lines = [pixels[start : start + 3 * _SIZE[0]] for start in range(0, len(pixels), 3 * _SIZE[0])]
    return zlib.compress(b"".join(b"\0" + line for line in lines))


def _cut(make: Make, share: float) -> Make:
    def cut(path: Path) -> None:
        make(path)
        content = path.read_bytes()
        path.write_bytes(content[: int(len(content) * share)])

    return cut


def _ended(make: Make, end: bytes) -> Make:
    """A file without its end mark."""

    def without(path: Path) -> None:
        make(path)
        content = path.read_bytes()
        assert content.endswith(end)
        path.write_bytes(content.removesuffix(end))

    return without


_TURNED: Final[Mapping[str, Make]] = {
    **{f"orientation {number}.jpg": _still("JPEG", orientation=number, quality=95) for number in (2, 3, 5, 6, 8)},
    "orientation 6.png": _still("PNG", orientation=6),
    "orientation 6.webp": _still("WEBP", orientation=6, lossless=True),
    "orientation 6.avif": _still("AVIF", orientation=6),
    "orientation 5.avif": _still("AVIF", orientation=5),
    "orientation 6.tiff": _still("TIFF", orientation=6),
    "orientation 9.jpg": _still("JPEG", orientation=9, quality=95),
}
PICTURES: Final[Corpus] = {
    **_TURNED,
    "grey.jpg": _still("JPEG", "L", quality=95),
    "four inks.jpg": _still("JPEG", "CMYK", quality=95),
    "without its end mark.jpg": _ended(_still("JPEG", quality=95), b"\xff\xd9"),
    "cut in half.jpg": _cut(_still("JPEG", quality=95), 0.7),
    "cut in half.png": _cut(_still("PNG"), 0.7),
    "cut in half.webp": _cut(_still("WEBP", lossless=True), 0.7),
    "cut in half.gif": _cut(_still("GIF"), 0.7),
    "exchanged colours.jpg": _still("JPEG", quality=95, icc_profile=_exchanged_colours()),
    "exchanged colours.png": _still("PNG", icc_profile=_exchanged_colours()),
    "exchanged colours.webp": _still("WEBP", lossless=True, icc_profile=_exchanged_colours()),
    "exchanged colours.avif": _still("AVIF", icc_profile=_exchanged_colours()),
    "gamma of 1.png": _png_with(b"gAMA", struct.pack(">I", 100_000)),
    "gamma of 0.02.png": _png_with(b"gAMA", struct.pack(">I", 2_000)),
    "palette.png": _still("PNG", "P"),
    "16 bit grey.png": _still("PNG", "I;16"),
    "huge text.png": _png_with(b"iTXt", b"k\0\0\0\0\0" + b"x" * 3_000_000),
    "broken text.png": _png_with(b"zTXt", b"k\0\0broken"),
    "transparent.png": _holes()[1].save,
    "transparent.webp": lambda path: _holes()[1].save(path, lossless=True),
    "animation that hides its default image.png": _apng(hidden=True),
    "animation control that comes late.png": _apng(late=True),
    "animation control that comes late, default image hidden.png": _apng(late=True, hidden=True),
    "animation of one frame.png": _apng(frames=1),
    "animation.gif": _animated("GIF", _brighter, duration=200),
    "animation that hurries.gif": _animated("GIF", _brighter, duration=10),
    "animation through holes.gif": _animated("GIF", _holes, duration=200, disposal=2),
    "animation through holes, left standing.gif": _animated("GIF", _holes, duration=200, disposal=1),
    "animation through holes.png": _animated("PNG", _holes, duration=200, disposal=1, blend=0),
    "animation through holes.webp": _animated("WEBP", _holes, duration=200, lossless=True),
    "animation.avif": _animated("AVIF", _brighter, duration=200),
    "picture.bmp": _still("BMP"),
    "palette.bmp": _still("BMP", "P"),
    "picture.ico": _still("ICO", sizes=[_SIZE]),
    "picture.jp2": _still("JPEG2000"),
    "picture.jxl": encoded(*film(0.1), "-frames:v", "1", "-c:v", "libjxl"),
}  # fmt: skip
