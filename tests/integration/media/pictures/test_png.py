"""PNG as browsers show it: compared with Chromium once, chunk by chunk, and kept here as rules."""

import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.integration.media.pictures.icc_profiles import rgb_profile
from tests.integration.media.pictures.png_files import END, WRONG_SUM, Parts, chunk, header, packed, png
from tests.integration.media.pictures.seen import array, opened, photograph, pixels, refusal, saved

PHOTOGRAPH = array(photograph())
PARTS = Parts.of(photograph())
ORIENTED = b"II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0\0\0\0\0"
"""EXIF that turns the picture by a quarter."""
XMP = b"<x:xmpmeta xmlns:x='adobe:ns:meta/' xmlns:t='http://ns.adobe.com/tiff/1.0/' t:Orientation='6'/>"
LONG = zlib.compress(b"x" * 3 * 1024**2)

SHOWN_WHOLE: dict[str, bytes] = {
    "a text of 3 MB": PARTS.with_chunk(b"iTXt", b"XML:com.adobe.xmp\0\1\0\0\0" + LONG),
    "a packed text of 3 MB": PARTS.with_chunk(b"zTXt", b"comment\0\0" + LONG),
    "a text after the pixels": png(PARTS.header, PARTS.pixels, chunk(b"zTXt", b"comment\0\0" + LONG), END),
    "a text packed in an unknown way": PARTS.with_chunk(b"zTXt", b"comment\0\7abc"),
    "a text between the pixels": png(
        PARTS.header, chunk(b"IDAT", PARTS.data[:99]), chunk(b"tEXt", b"a\0b"), chunk(b"IDAT", PARTS.data[99:]), END
    ),
    "a wrong checksum of a text": PARTS.with_chunk(b"tEXt", b"comment\0abc", WRONG_SUM),
    "a wrong checksum of the gamma": PARTS.with_chunk(b"gAMA", struct.pack(">I", 45455), WRONG_SUM),
    "a wrong checksum of the pixels": png(PARTS.header, chunk(b"IDAT", PARTS.data, WRONG_SUM), END),
    "a wrong checksum in the pixels": png(PARTS.header, chunk(b"IDAT", PARTS.data[:-4] + b"abcd"), END),
    "no checksum in the pixels": png(PARTS.header, chunk(b"IDAT", PARTS.data[:-4]), END),
    "an impossible name of a chunk": PARTS.with_chunk(b"a\0\1x", b"abcd"),
    "a short density": PARTS.with_chunk(b"pHYs", b"abc"),
    "a short transparency": PARTS.with_chunk(b"tRNS", b"abc"),
    "a broken profile": PARTS.with_chunk(b"iCCP", b"name\0\0" + zlib.compress(b"garbage" * 99)),
    "a profile that is no profile": PARTS.with_chunk(b"iCCP", b"garbage"),
    "broken EXIF": PARTS.with_chunk(b"eXIf", b"garbage"),
    "EXIF that turns, after the pixels": png(PARTS.header, PARTS.pixels, chunk(b"eXIf", ORIENTED), END),
    "XMP that turns": PARTS.with_chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + XMP),
    "no end": png(PARTS.header, PARTS.pixels),
    "no checksum at the end": png(PARTS.header, PARTS.pixels)[:-4],
    "rows beyond the last": png(
        PARTS.header, chunk(b"IDAT", zlib.compress(zlib.decompress(PARTS.data) + bytes(999))), END
    ),
    "other bytes after the end": png(PARTS.header, PARTS.pixels, END) + b"other" * 99,
    "an empty part of the pixels": png(PARTS.header, chunk(b"IDAT", b""), PARTS.pixels, END),
    "a transparency that is not for its palette": Parts.of(photograph()).with_chunk(b"tRNS", bytes(300)),
}


@pytest.mark.parametrize("name", SHOWN_WHOLE)
def test_nothing_beside_the_pixels_spoils_a_picture(tmp_path: Path, name: str) -> None:
    media = opened(tmp_path, SHOWN_WHOLE[name])
    assert (media.facts.kind, media.facts.container, media.facts.truncated) == ("image", "png", False)
    assert (pixels(media) == PHOTOGRAPH).all()


def test_exif_before_the_pixels_turns(tmp_path: Path) -> None:
    media = opened(tmp_path, PARTS.with_chunk(b"eXIf", ORIENTED))
    assert (media.facts.width, media.facts.height) == (48, 64)
    assert (pixels(media) == np.rot90(PHOTOGRAPH, -1)).all()


@pytest.mark.parametrize("lost", [20, 60])
def test_a_picture_without_its_last_rows_is_truncated(tmp_path: Path, lost: int) -> None:
    """Noise does not compress, so bytes and rows are lost together."""
    noise = np.random.default_rng(0).integers(0, 255, (48, 64, 3), dtype=np.uint8)
    whole = saved(Image.fromarray(noise), "PNG")
    media = opened(tmp_path, whole[: -len(END) - lost])
    assert media.facts.truncated
    assert (pixels(media)[:-2] == noise[:-2]).all()


def test_data_that_end_in_the_middle_are_cut_off_and_garbage_is_damaged(tmp_path: Path) -> None:
    half = PARTS.data[: len(PARTS.data) // 2]
    assert refusal(tmp_path, png(PARTS.header, chunk(b"IDAT", half), END)).code == "media_truncated"
    assert refusal(tmp_path, png(PARTS.header, chunk(b"IDAT", half))).code == "media_truncated"
    broken = PARTS.data[:2] + b"\xff" * len(half)  # no deflate begins like this
    assert refusal(tmp_path, png(PARTS.header, chunk(b"IDAT", broken), END)).code == "media_unreadable"
    assert refusal(tmp_path, png(PARTS.header)).code == "media_truncated"
    assert refusal(tmp_path, png(PARTS.header, END)).code == "media_unreadable"


def test_a_picture_packed_for_iphones_is_named(tmp_path: Path) -> None:
    refused = refusal(tmp_path, png(chunk(b"CgBI", b"\x50\0\x20\2"), PARTS.header, PARTS.pixels, END))
    assert refused.code == "media_not_supported"
    assert "iPhone" in refused.message


@pytest.mark.parametrize(("depth", "grey"), [(1, 255), (2, 85), (4, 17), (8, 1), (16, 64)])
def test_one_grey_is_transparent_at_any_depth(tmp_path: Path, depth: int, grey: int) -> None:
    """Black is the transparent colour, and lies on white; the pixel beside it is `grey`."""
    row = {1: b"\x40", 2: b"\x10", 4: b"\x01", 8: b"\0\1", 16: b"\0\0\x40\0"}[depth]
    content = png(header(2, 1, depth, colour=0), chunk(b"tRNS", bytes(2)), chunk(b"IDAT", packed([row])), END)
    assert pixels(opened(tmp_path, content))[0].tolist() == [[255] * 3, [grey] * 3]


@pytest.mark.parametrize("depth", [8, 16])
def test_one_colour_is_transparent(tmp_path: Path, depth: int) -> None:
    samples = [0x20, 0x40, 0x60, 0x60, 0x40, 0x20]
    wide = [value << 8 if depth == 16 else value for value in samples]
    row = b"".join(value.to_bytes(depth // 8, "big") for value in wide)
    key = struct.pack(">3H", *wide[:3])
    content = png(header(2, 1, depth), chunk(b"tRNS", key), chunk(b"IDAT", packed([row])), END)
    assert pixels(opened(tmp_path, content))[0].tolist() == [[255] * 3, samples[3:]]


def test_a_colour_beyond_the_palette_is_its_last(tmp_path: Path) -> None:
    palette = chunk(b"PLTE", bytes([9, 9, 9, 10, 20, 30]))
    content = png(header(3, 1, colour=3), palette, chunk(b"IDAT", packed([bytes([0, 1, 200])])), END)
    assert pixels(opened(tmp_path, content))[0].tolist() == [[9, 9, 9], [10, 20, 30], [10, 20, 30]]
    assert refusal(tmp_path, content.replace(palette, b"")).code == "media_unreadable"


def test_a_gamma_and_a_profile_count_as_in_browsers(tmp_path: Path) -> None:
    """Linear light: 55 of 255 is shown as 128."""
    parts = Parts.of(Image.new("RGB", (4, 4), (55, 55, 55)))
    profile = b"linear\0\0" + zlib.compress(rgb_profile(1.0))
    gamma, screen = chunk(b"gAMA", struct.pack(">I", 100_000)), chunk(b"sRGB", b"\0")
    for before, expected in (
        (gamma, 128),
        (chunk(b"iCCP", profile), 128),
        (screen + gamma, 55),
        (gamma + screen, 55),
        (chunk(b"gAMA", struct.pack(">I", 45_455)), 55),
        (chunk(b"gAMA", bytes(4)), 55),
    ):
        content = png(parts.header, before, parts.pixels, END)
        assert np.abs(pixels(opened(tmp_path, content)).astype(int) - expected).max() <= 1, before
