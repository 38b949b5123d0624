"""JPEG as browsers show it: without its end, with odd EXIF, in unusual kinds."""

from __future__ import annotations

import io
import struct
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.integration.media.films import ffmpeg
from tests.integration.media.pictures.seen import Pixels, array, opened, photograph, pixels, refusal, saved

SHORT, LONG, ASCII, BYTE, RATIONAL, FLOAT = 3, 4, 2, 1, 5, 11
NOISE = Image.effect_noise((320, 240), 90).convert("RGB")
WAYS: dict[str, dict[str, object]] = {
    "baseline": {},
    "full colour": {"subsampling": 0},
    "progressive": {"progressive": True},
    "restarts": {"restart_marker_blocks": 4},
}
START_OF_SCAN = b"\xff\xda"


def shown_by_pillow(content: bytes) -> Pixels:
    return array(Image.open(io.BytesIO(content)))


@pytest.mark.parametrize("name", WAYS)
@pytest.mark.parametrize("lost", [1, 2])
def test_a_picture_without_its_end_marker_is_complete(tmp_path: Path, name: str, lost: int) -> None:
    whole = saved(NOISE, "JPEG", quality=90, **WAYS[name])
    media = opened(tmp_path, whole[:-lost])
    assert not media.facts.truncated
    assert (pixels(media) == shown_by_pillow(whole)).all()


@pytest.mark.parametrize("name", ["baseline", "full colour", "restarts"])
def test_a_picture_without_its_last_blocks_is_truncated(tmp_path: Path, name: str) -> None:
    whole = saved(NOISE, "JPEG", quality=90, **WAYS[name])
    media = opened(tmp_path, whole[:-500])
    assert media.facts.truncated
    assert (pixels(media)[:208] == shown_by_pillow(whole)[:208]).all()


@pytest.mark.parametrize("name", WAYS)
def test_a_picture_that_lacks_more_is_cut_off(tmp_path: Path, name: str) -> None:
    whole = saved(NOISE, "JPEG", quality=90, **WAYS[name])
    for share in (0.2, 0.5, 0.9):
        assert refusal(tmp_path, whole[: int(len(whole) * share)]).code == "media_truncated"


def test_a_progressive_picture_that_lacks_a_scan_is_cut_off(tmp_path: Path) -> None:
    """What it shows does not depend on what follows, so only the scans tell."""
    whole = saved(NOISE, "JPEG", quality=90, progressive=True)
    last_scan = whole.rindex(START_OF_SCAN)
    assert refusal(tmp_path, whole[:last_scan]).code == "media_truncated"


def with_exif(tiff: bytes) -> bytes:
    """The photograph with this EXIF."""
    whole = saved(photograph(), "JPEG", quality=95)
    body = b"Exif\0\0" + tiff
    return whole[:2] + b"\xff\xe1" + struct.pack(">H", 2 + len(body)) + body + whole[2:]


def directory(*entries: bytes, order: str = "<") -> bytes:
    """TIFF with one directory."""
    head = b"II*\0" if order == "<" else b"MM\0*"
    return head + struct.pack(f"{order}IH", 8, len(entries)) + b"".join(entries) + bytes(4)


def entry(kind: int, value: bytes, count: int = 1, order: str = "<", tag: int = 0x0112) -> bytes:
    return struct.pack(f"{order}HHI", tag, kind, count) + value.ljust(4, b"\0")


TURNS = {
    "a number of 16 bits": directory(entry(SHORT, b"\6")),
    "the other byte order": directory(entry(SHORT, b"\0\6", order=">"), order=">"),
    "twice": directory(entry(SHORT, b"\6"), entry(SHORT, b"\3")),
    "beside a text beyond the end": directory(entry(SHORT, b"\6"), entry(ASCII, b"\xff\xff\xff", 99999, tag=0x010F)),
    "more entries than there are": directory(entry(SHORT, b"\6"))[:8] + b"\xff\xff" + entry(SHORT, b"\6"),
}
DOES_NOT_TURN = {
    "0": directory(entry(SHORT, b"\0")),
    "9": directory(entry(SHORT, b"\x09")),
    "a number of 32 bits": directory(entry(LONG, b"\6")),
    "a byte": directory(entry(BYTE, b"\6")),
    "a text": directory(entry(ASCII, b"6\0", 2)),
    "a float": directory(entry(FLOAT, struct.pack("<f", 6))),
    "a fraction": directory(entry(RATIONAL, struct.pack("<I", 26))) + struct.pack("<II", 6, 1),
    "two numbers": directory(entry(SHORT, b"\6\0\6", 2)),
    "no number": directory(entry(SHORT, b"\6", 0)),
    "an unknown type": directory(entry(99, b"\6")),
    "a directory beyond the end": b"II*\0\xff\xff\xff\xff",
    "garbage": bytes(range(200)),
    "nothing": b"",
}


@pytest.mark.parametrize("name", TURNS)
def test_exif_that_turns(tmp_path: Path, name: str) -> None:
    media = opened(tmp_path, with_exif(TURNS[name]))
    assert (media.facts.width, media.facts.height) == (48, 64)


@pytest.mark.parametrize("name", DOES_NOT_TURN)
def test_exif_that_browsers_do_not_believe(tmp_path: Path, name: str) -> None:
    media = opened(tmp_path, with_exif(DOES_NOT_TURN[name]))
    assert (media.facts.width, media.facts.height) == (64, 48)
    assert (pixels(media) == shown_by_pillow(saved(photograph(), "JPEG", quality=95))).all()


def test_xmp_does_not_turn(tmp_path: Path) -> None:
    xmp = b"<x:xmpmeta xmlns:x='adobe:ns:meta/' xmlns:t='http://ns.adobe.com/tiff/1.0/' t:Orientation='6'/>"
    media = opened(tmp_path, saved(photograph(), "JPEG", xmp=xmp))
    assert (media.facts.width, media.facts.height) == (64, 48)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_every_orientation_is_what_pillow_makes_of_it(tmp_path: Path, orientation: int) -> None:
    turns = {
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_270,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_90,
    }
    coded = Image.fromarray(shown_by_pillow(saved(photograph(), "JPEG", quality=95)))
    expected = coded.transpose(turns[orientation]) if orientation in turns else coded
    content = with_exif(directory(entry(SHORT, bytes([orientation]))))
    assert (pixels(opened(tmp_path, content)) == array(expected)).all()


def test_a_second_picture_that_is_broken_does_not_matter(tmp_path: Path) -> None:
    both = saved(photograph(), "MPO", save_all=True, append_images=[photograph().rotate(180)])
    first = pixels(opened(tmp_path, both))
    index = both.index(b"MPF\0")
    for content in (both[: len(both) * 3 // 4], both[: index + 4] + bytes(40) + both[index + 44 :]):
        media = opened(tmp_path, content)
        assert (media.facts.kind, media.facts.truncated) == ("image", False)
        assert (pixels(media) == first).all()


def test_a_lossless_jpeg_is_read(tmp_path: Path) -> None:
    path = tmp_path / "lossless.jpg"
    source = ("-f", "lavfi", "-i", "color=0xff8000:s=64x48", "-frames:v", "1")
    ffmpeg(*source, "-pix_fmt", "bgr24", "-c:v", "ljpeg", "-strict", "-1", path)
    apart = pixels(opened(tmp_path, path.read_bytes())).astype(int) - [255, 128, 0]
    assert np.abs(apart).max() <= 1


@pytest.mark.parametrize(("marker", "words"), [(0xC5, "a hierarchical JPEG"), (0xC3, "a lossless JPEG")])
def test_a_jpeg_that_nothing_reads_is_named(tmp_path: Path, marker: int, words: str) -> None:
    content = bytearray(saved(photograph(), "JPEG"))
    content[content.index(b"\xff\xc0") + 1] = marker
    refused = refusal(tmp_path, bytes(content))
    assert (refused.code, words in refused.message) == ("media_not_supported", True)


def test_twelve_bits_are_named(tmp_path: Path) -> None:
    content = bytearray(saved(photograph(), "JPEG"))
    place = content.index(b"\xff\xc0")
    content[place + 1], content[place + 4] = 0xC1, 12
    refused = refusal(tmp_path, bytes(content))
    assert (refused.code, "12 bits" in refused.message) == ("media_not_supported", True)


def test_garbage_behind_the_first_bytes(tmp_path: Path) -> None:
    assert refusal(tmp_path, b"\xff\xd8\xff\xe0" + bytes(2000)).code == "media_unreadable"
