"""TIFF: what is decoded, by whom, and how the rest is named."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.integration.media.pictures.seen import array, opened, photograph, pixels, refusal, saved

W, H = 20, 10
RGB = array(photograph(W, H))
GREY = RGB[..., 0]
WHITE_IS_0, BLACK_IS_0, COLOURS, CIELAB = 0, 1, 2, 8
FLOAT = 3


def tiff(
    parts: Sequence[bytes],
    bits: Sequence[int],
    photometric: int,
    *,
    numbers: int = 1,
    compression: int = 1,
    planes: int = 1,
    extra: Sequence[int] = (),
) -> bytes:
    """A TIFF with these strips behind its directory; its pixels come last."""
    tags: dict[int, tuple[int, ...]] = {
        256: (W,),
        257: (H,),
        258: tuple(bits),
        259: (compression,),
        262: (photometric,),
        273: tuple(0 for _ in parts),
        277: (len(bits),),
        278: (H,),
        279: tuple(map(len, parts)),
        284: (planes,),
        339: (numbers,) * len(bits),
    }
    if extra:
        tags[338] = tuple(extra)
    end = 8 + 2 + 12 * len(tags) + 4 + sum(4 * len(values) for values in tags.values() if len(values) > 1)
    tags[273] = tuple(end + sum(map(len, parts[:place])) for place in range(len(parts)))
    place, entries, values_behind = 8 + 2 + 12 * len(tags) + 4, b"", b""
    for tag, values in sorted(tags.items()):
        packed = struct.pack(f"<{len(values)}I", *values)
        if len(values) > 1:
            where = struct.pack("<I", place + len(values_behind))
            values_behind += packed
        else:
            where = packed
        entries += struct.pack("<HHI", tag, 4, len(values)) + where
    return b"II*\0" + struct.pack("<IH", 8, len(tags)) + entries + bytes(4) + values_behind + b"".join(parts)


def deep(values: np.ndarray, kind: str = "<u2", scale: float = 257.0) -> bytes:
    return (values * scale).astype(kind).tobytes()


DECODED = {
    "planes of 8 bits": tiff([RGB[..., c].tobytes() for c in range(3)], (8, 8, 8), COLOURS, planes=2),
    "16 bits": tiff([deep(RGB)], (16, 16, 16), COLOURS),
    "planes of 16 bits": tiff([deep(RGB[..., c]) for c in range(3)], (16, 16, 16), COLOURS, planes=2),
    "floats": tiff([deep(RGB, "<f4", 1 / 255)], (32, 32, 32), COLOURS, numbers=FLOAT),
}
GREYS = {
    "16 bits": tiff([deep(GREY)], (16,), BLACK_IS_0),
    "16 bits, white is 0": tiff([deep(255 - GREY.astype(int))], (16,), WHITE_IS_0),
    "8 bits, white is 0": tiff([(255 - GREY).tobytes()], (8,), WHITE_IS_0),
    "16 bits with alpha": tiff([deep(np.dstack([GREY, np.full_like(GREY, 255)]))], (16, 16), BLACK_IS_0, extra=(2,)),
}


@pytest.mark.parametrize("name", DECODED)
def test_colours(tmp_path: Path, name: str) -> None:
    media = opened(tmp_path, DECODED[name])
    assert (media.facts.width, media.facts.height, media.facts.container) == (W, H, "tiff")
    assert np.abs(pixels(media).astype(int) - RGB).max() <= 1


@pytest.mark.parametrize("name", GREYS)
def test_greys(tmp_path: Path, name: str) -> None:
    assert np.abs(pixels(opened(tmp_path, GREYS[name])).astype(int) - GREY[..., None]).max() <= 1


def test_twelve_bits_are_scaled(tmp_path: Path) -> None:
    numbers = "".join(format(int(value) * 4095 // 255, "012b") for value in GREY.reshape(-1))
    content = tiff([int(numbers, 2).to_bytes(len(numbers) // 8, "big")], (12,), BLACK_IS_0)
    assert np.abs(pixels(opened(tmp_path, content)).astype(int) - GREY[..., None]).max() <= 1


def test_cielab_is_converted(tmp_path: Path) -> None:
    media = opened(tmp_path, saved(Image.new("RGB", (8, 8), (200, 60, 30)).convert("LAB"), "TIFF"))
    assert np.abs(pixels(media)[4, 4].astype(int) - [200, 60, 30]).max() <= 3


NAMED = {
    "3 floating point samples of 64 bits": tiff([deep(RGB, "<f8", 1 / 255)], (64, 64, 64), COLOURS, numbers=FLOAT),
    "3 unsigned samples of 32 bits": tiff([deep(RGB, "<u4", 1)], (32, 32, 32), COLOURS),
    "3 unsigned samples of 8/16/8 bits": tiff([bytes(W * H * 4)], (8, 16, 8), COLOURS),
    "CIELAB TIFF with 3 unsigned samples of 16 bits": tiff([deep(RGB)], (16, 16, 16), CIELAB),
    "WebP": tiff([bytes(999)], (8, 8, 8), COLOURS, compression=50001),
    "compression 999": tiff([bytes(999)], (8, 8, 8), COLOURS, compression=999),
}


@pytest.mark.parametrize("words", NAMED)
def test_what_is_not_decoded_is_named(tmp_path: Path, words: str) -> None:
    refused = refusal(tmp_path, NAMED[words])
    assert (refused.code, words in refused.message) == ("media_not_supported", True)


def test_a_cut_tiff_is_cut_off(tmp_path: Path) -> None:
    content = tiff([RGB.tobytes()], (8, 8, 8), COLOURS)
    for length in (len(content) - 3, len(content) // 2, 100, 12):
        assert refusal(tmp_path, content[:length]).code == "media_truncated"
    packed = saved(Image.effect_noise((64, 48), 90), "TIFF", compression="tiff_lzw")
    assert refusal(tmp_path, packed[:-500]).code == "media_truncated"


def test_a_broken_tiff_is_damaged(tmp_path: Path) -> None:
    content = tiff([b"\xff" * 500], (8, 8, 8), COLOURS, compression=8)
    assert refusal(tmp_path, content).code == "media_unreadable"
