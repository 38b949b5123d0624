"""Small uploads that expand: in pixels, frames, memory or time."""

from __future__ import annotations

import gzip
import io
import struct
import zipfile
import zlib

from PIL import Image

from tests.integration.attacks.iso import TABLE, appended, body_of, box, boxes, replaced, words

PNG = b"\x89PNG\r\n\x1a\n"
BILLION = 10**9


def png_chunk(kind: bytes, body: bytes) -> bytes:
    """A PNG chunk with its checksum."""
    return struct.pack(">I4s", len(body), kind) + body + struct.pack(">I", zlib.crc32(kind + body))


def png(width: int, height: int, *chunks: bytes, data: bytes = b"") -> bytes:
    """A 1-bit grey PNG that claims this size, with `chunks` before its `data`."""
    header = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    pixels = png_chunk(b"IDAT", zlib.compress(data or bytes(64)))
    return PNG + png_chunk(b"IHDR", header) + b"".join(chunks) + pixels + png_chunk(b"IEND", b"")


def square_png() -> bytes:
    """50,000 x 50,000 real pixels: 312 MB packed into some 300 KB."""
    row, packed = bytes(1 + 50_000 // 8), zlib.compressobj(1)
    data = b"".join([*(packed.compress(row * 100) for _ in range(500)), packed.flush()])
    header = struct.pack(">IIBBBBB", 50_000, 50_000, 1, 0, 0, 0, 0)
    return PNG + png_chunk(b"IHDR", header) + png_chunk(b"IDAT", data) + png_chunk(b"IEND", b"")


def bloated_png(kind: bytes) -> bytes:
    """An 8 x 8 picture with 100 MiB of compressed colour profile or text."""
    packed = zlib.compress(bytes(100 * 1024**2), 1)
    return png(8, 8, png_chunk(kind, b"name\0\0" + packed), data=bytes(16))


def apng(promised: int) -> bytes:
    """An animated PNG with one frame that announces more."""
    control = png_chunk(b"acTL", struct.pack(">II", promised, 0))
    frame = png_chunk(b"fcTL", struct.pack(">IIIIIHHBB", 0, 8, 8, 0, 0, 1, 10, 0, 0))
    return png(8, 8, control, frame, data=bytes(16))


def gif(frames: int, width: int = 1, height: int = 1) -> bytes:
    """An animated GIF of single pixels on a large screen."""
    head = b"GIF89a" + struct.pack("<HHBBB", width, height, 0x80, 0, 0) + b"\0\0\0\xff\xff\xff"
    control = b"\x21\xf9\x04\x00\x0a\x00\x00\x00"
    frame = b"\x2c" + struct.pack("<HHHHB", 0, 0, 1, 1, 0) + b"\x02\x02\x44\x01\x00"
    return head + (control + frame) * frames + b";"


def webp(frames: int) -> bytes:
    """An animated WebP of single pixels."""
    whole = picture("WEBP", 1, 1, lossless=True)
    pixel = whole[12:]
    inside = bytes(6) + bytes(6) + (50).to_bytes(3, "little") + b"\0" + pixel
    frame = b"ANMF" + struct.pack("<I", len(inside)) + inside
    body = b"WEBPVP8X" + struct.pack("<I", 10) + b"\x02" + bytes(9) + b"ANIM" + struct.pack("<I", 6) + bytes(6)
    body += frame * frames
    return b"RIFF" + struct.pack("<I", len(body)) + body


def picture(kind: str, width: int, height: int, **options: object) -> bytes:
    """A black picture."""
    file = io.BytesIO()
    Image.new("RGB", (width, height)).save(file, kind, **options)
    return file.getvalue()


def pages(count: int) -> bytes:
    """A TIFF file of many pages."""
    file = io.BytesIO()
    first = Image.new("L", (1, 1))
    first.save(file, "TIFF", save_all=True, append_images=[first] * (count - 1))
    return file.getvalue()


def zip_bomb() -> bytes:
    """A zip file of zip files of zeros."""
    content = bytes(10 * 1024**2)
    for _ in range(2):
        file = io.BytesIO()
        with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
            for number in range(10):
                archive.writestr(f"{number}.zip", content)
        content = file.getvalue()
    return content


def gzip_bomb() -> bytes:
    """100 MiB of zeros."""
    return gzip.compress(bytes(100 * 1024**2), 1)


def many_frames(film: bytes) -> bytes:
    """An MP4 file whose table declares each of its bytes a frame, a billion in all."""
    film = replaced(film, *TABLE, b"stsz", body=words(0, 1, BILLION))
    film = replaced(film, *TABLE, b"stts", body=words(0, 1, BILLION, 1))
    film = replaced(film, *TABLE, b"stsc", body=words(0, 1, 1, BILLION, 1))
    return replaced(film, *TABLE, b"stco", body=words(0, 1, 48))


def many_in_a_fragment(film: bytes) -> bytes:
    """The same in a fragment, where a frame needs no entry of its own."""
    return replaced(film, b"moof", b"traf", b"trun", body=words(1, BILLION, 0))


def with_scale(film: bytes, scale: int) -> bytes:
    """An MP4 file whose track counts time in this many parts of a second."""
    track = TABLE[:-2]
    header = body_of(film, *track, b"mdhd")
    return replaced(film, *track, b"mdhd", body=header[:12] + words(scale) + header[16:])


def with_lengths(film: bytes, length: int) -> bytes:
    """An MP4 file whose frames all last this many ticks."""
    frames = int.from_bytes(body_of(film, *TABLE, b"stsz")[8:12], "big")
    return replaced(film, *TABLE, b"stts", body=words(0, 1, frames, length))


def with_edits(film: bytes, count: int) -> bytes:
    """An MP4 file whose edit list plays its beginning over and over, from before its start."""
    edits = words(0, count) + words(0x7FFFFFFF, 0xFFFFFFFF, 0x00010000) * count
    return replaced(film, b"moov", b"trak", b"edts", b"elst", body=edits)


def negative(film: bytes) -> bytes:
    """An MP4 file with a negative duration."""
    header = body_of(film, b"moov", b"mvhd")
    film = replaced(film, b"moov", b"mvhd", body=header[:16] + words(0x80000001) + header[20:])
    header = body_of(film, b"moov", b"trak", b"mdia", b"mdhd")
    return replaced(film, b"moov", b"trak", b"mdia", b"mdhd", body=header[:16] + words(0x80000001) + header[20:])


def many_tracks(film: bytes, count: int) -> bytes:
    """An MP4 file with the same track many times."""
    track = next(body for kind, body in boxes(body_of(film, b"moov")) if kind == b"trak")
    return appended(film, b"moov", more=box(b"trak", track) * (count - 1))


def nested(depth: int) -> bytes:
    """Nested boxes."""
    head = box(b"ftyp", b"isom", words(0), b"isom")
    return head + b"".join(struct.pack(">I4s", 8 * (depth - level), b"moov") for level in range(depth))


def crumbs(count: int) -> bytes:
    """An MP4 file of empty boxes."""
    return box(b"ftyp", b"isom", words(0), b"isom") + box(b"free") * count
