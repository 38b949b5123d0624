"""Pictures as people upload them: cut behind their pixels, with odd chunks, brands, colours and sizes."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path

import numpy as np
import pillow_heif
from PIL import Image

from tests.integration.attacks.iso import box, boxes, words
from tests.integration.media.films import ffmpeg
from tests.integration.people.studio import VOICE, Make, Studio

_PNG = b"\x89PNG\r\n\x1a\n"
_SIZE = (64, 64)
_RED, _BLUE = (220, 30, 30), (30, 30, 220)


def saved(name: str, kind: str, mode: str = "RGB", colour: object = _BLUE, **options: object) -> Make:
    """A picture of one colour, as Pillow saves it."""
    return lambda studio: studio.written(name, _bytes(kind, mode, colour, **options))


def _bytes(kind: str, mode: str = "RGB", colour: object = _BLUE, **options: object) -> bytes:
    if kind == "HEIF":
        pillow_heif.register_heif_opener()
    file = io.BytesIO()
    Image.new(mode, _SIZE, colour).save(file, kind, **options)  # type: ignore[arg-type]
    return file.getvalue()


def _chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def _pixels(colour: tuple[int, int, int]) -> bytes:
    width, height = _SIZE
    return zlib.compress((b"\x00" + bytes(colour) * width) * height)


def hidden_default(frames: int, *, late: bool = False) -> Make:
    """An animated PNG whose red default image is no part of its blue frames.

    With `late`, a large text comes before the chunk that announces the animation.
    """
    width, height = _SIZE
    head = _chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    text = _chunk(b"tEXt", b"Comment\x00" + b"x" * 100_000) if late else b""
    parts = [head, text, _chunk(b"acTL", words(frames, 0)), _chunk(b"IDAT", _pixels(_RED))]
    for number in range(frames):
        control = words(2 * number, width, height, 0, 0) + struct.pack(">HHBB", 1, 2, 0, 0)
        parts += [_chunk(b"fcTL", control), _chunk(b"fdAT", words(2 * number + 1) + _pixels(_BLUE))]
    content = _PNG + b"".join(parts) + _chunk(b"IEND", b"")
    return lambda studio: studio.written("animation.png", content)


def text_of_megabytes(studio: Studio) -> Path:
    """A PNG with three megabytes of XMP, packed into three kilobytes."""
    head, body = (content := _bytes("PNG"))[:33], content[33:]
    packed = zlib.compress(b" " * 3_000_000, 9)
    return studio.written("text.png", head + _chunk(b"iTXt", b"XML:com.adobe.xmp\x00\x01\x00\x00\x00" + packed) + body)


def without_end(studio: Studio) -> Path:
    """A JPEG without its end marker."""
    return studio.written("end.jpg", _bytes("JPEG")[:-2])


def bitmap(bits: int, masks: tuple[int, ...], pixel: int) -> Make:
    """A blue BMP with these bit fields: red, green, blue, alpha."""
    width, height = _SIZE
    data = pixel.to_bytes(bits // 8, "little") * (width * height)
    form = struct.pack("<IiiHHIIiiII", 124, width, height, 1, bits, 3, len(data), 2835, 2835, 0, 0)
    form += struct.pack("<4I", *masks, *(0,) * (4 - len(masks))) + b"BGRs" + bytes(124 - 40 - 16 - 4)
    head = b"BM" + struct.pack("<IHHI", 14 + len(form) + len(data), 0, 0, 14 + len(form))
    return lambda studio: studio.written("fields.bmp", head + form + data)


def os2_bitmap(studio: Studio) -> Path:
    """A blue BMP of OS/2, whose header has 64 bytes."""
    width, height = _SIZE
    data = bytes((220, 30, 30)) * (width * height)  # blue, green, red
    form = struct.pack("<IiiHHIIiiII", 64, width, height, 1, 24, 0, len(data), 2835, 2835, 0, 0) + bytes(24)
    head = b"BM" + struct.pack("<IHHI", 14 + len(form) + len(data), 0, 0, 14 + len(form))
    return studio.written("os2.bmp", head + form + data)


def float_tiff(studio: Studio) -> Path:
    """A blue TIFF of floating point numbers."""
    width, height = _SIZE
    data = np.tile(np.array([0.1, 0.1, 0.9], "<f4"), width * height).tobytes()
    entries = [
        *((256, 4, 1, width), (257, 4, 1, height), (258, 3, 3, 8), (259, 3, 1, 1), (262, 3, 1, 2), (273, 4, 1, 14)),
        *((277, 3, 1, 3), (278, 4, 1, height), (279, 4, 1, len(data)), (339, 3, 3, 8)),
    ]
    # Numbers that do not fit an entry lie behind the header: three widths and three kinds of a sample.
    widths, kinds = 14 + len(data), 14 + len(data) + 6
    places = {258: widths, 339: kinds}
    table = struct.pack("<H", len(entries))
    for tag, kind, count, value in entries:
        table += struct.pack("<HHII", tag, kind, count, places.get(tag, value))
    start = kinds + 6
    content = b"II*\x00" + struct.pack("<I", start) + bytes(6) + data
    content += struct.pack("<3H", 32, 32, 32) + struct.pack("<3H", 3, 3, 3) + table + bytes(4)
    return studio.written("float.tif", content)


def branded(brand: bytes, kind: str = "HEIF") -> Make:
    """A HEIC picture under another brand."""

    def make(studio: Studio) -> Path:
        content = _bytes(kind)
        return studio.written("branded.heic", content[:8] + brand + content[12:])

    return make


def uncompressed(studio: Studio) -> Path:
    """A HEIF picture whose item is not compressed."""
    return studio.written("plain.heif", _bytes("HEIF").replace(b"hvc1", b"unci").replace(b"heic", b"mif1"))


def huge_avif(studio: Studio) -> Path:
    """An AVIF picture of 17,000 x 17,000 pixels, by its header."""
    content = bytearray(_bytes("AVIF"))
    place = content.index(b"ispe") + 8
    content[place : place + 8] = words(17_000, 17_000)
    return studio.written("huge.avif", bytes(content))


def large_photo(studio: Studio) -> Path:
    """A photo of 108 megapixels."""
    file = io.BytesIO()
    Image.new("L", (12_000, 9_000), 128).save(file, "JPEG")
    return studio.written("large.jpg", file.getvalue())


def with_sound(studio: Studio) -> Path:
    """An animated AVIF with sound: a cover, a track of pictures, and a track of sound."""
    frames = [Image.new("RGB", _SIZE, colour) for colour in (_BLUE, _RED, _BLUE)]
    file = io.BytesIO()
    frames[0].save(file, "AVIF", save_all=True, append_images=frames[1:], duration=200)
    talkie = studio.folder / "talkie.mp4"
    ffmpeg("-f", "lavfi", "-i", VOICE.format(seconds=1), "-c:a", "aac", talkie)
    return studio.written("sound.avif", _with_track(file.getvalue(), talkie.read_bytes()))


def _with_track(pictures: bytes, sound: bytes) -> bytes:
    """Append the sound's track and data to the pictures' file; what the track points at moves by as much."""
    (track,) = [body for kind, body in boxes(dict(boxes(sound))[b"moov"]) if kind == b"trak"]
    data_before = sound.index(b"mdat") + 4
    parts = [*boxes(pictures)]
    grown = len(box(b"trak", track))
    index = next(number for number, (kind, _) in enumerate(parts) if kind == b"moov")
    parts[index] = (b"moov", parts[index][1] + box(b"trak", track))
    content = bytearray(b"".join(box(kind, body) for kind, body in parts))
    behind = len(content) + 8
    _move_chunks(content, pictures.index(b"moov"), grown)
    place = content.rindex(b"stco")
    _shift(content, place, behind - data_before)
    return bytes(content) + box(b"mdat", dict(boxes(sound))[b"mdat"])


def _move_chunks(content: bytearray, start: int, by: int) -> None:
    """Move the pictures' places: their data lies behind the index, which has grown."""
    _shift(content, content.index(b"stco", start), by)
    place = content.index(b"iloc") + 4
    version, sizes = content[place], content[place + 4]
    assert (version, sizes) == (0, 0x44)
    count = int.from_bytes(content[place + 6 : place + 8], "big")
    at = place + 8
    for _ in range(count):
        extents = int.from_bytes(content[at + 4 : at + 6], "big")
        for extent in range(extents):
            first = at + 6 + 8 * extent
            moved = int.from_bytes(content[first : first + 4], "big") + by
            content[first : first + 4] = words(moved)
        at += 6 + 8 * extents


def _shift(content: bytearray, table: int, by: int) -> None:
    count = int.from_bytes(content[table + 8 : table + 12], "big")
    for at in range(table + 12, table + 12 + 4 * count, 4):
        content[at : at + 4] = words(int.from_bytes(content[at : at + 4], "big") + by)


def jpeg_xl(studio: Studio) -> Path:
    """A JPEG XL picture."""
    made = studio.folder / "picture.jxl"
    ffmpeg("-f", "lavfi", "-i", "color=blue:s=64x64", "-frames:v", "1", "-c:v", "libjxl", made)
    return made


def cut_gif(studio: Studio) -> Path:
    """A GIF of which only the first bytes arrived."""
    return studio.written("cut.gif", _bytes("GIF", "P", 3)[:-30])


def rich_text(studio: Studio) -> Path:
    """A document of a word processor."""
    return studio.written("document.rtf", b"{\\rtf1\\ansi Hello}")
