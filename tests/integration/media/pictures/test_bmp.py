"""BMP of every kind that Chromium shows, from the same pixels."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest

from tests.integration.media.pictures.bmp_files import (
    FIELDS,
    MASKS_444,
    MASKS_555,
    MASKS_565,
    MASKS_888,
    bmp,
    colours,
    fields,
    head,
    numbers,
    palette,
)
from tests.integration.media.pictures.seen import array, opened, photograph, pixels, refusal

W, H = 21, 11
PHOTOGRAPH = array(photograph(W, H))
OPAQUE = np.dstack([PHOTOGRAPH, np.full((H, W), 255, np.uint8)])
FADING = np.dstack([PHOTOGRAPH, np.tile(np.arange(W) * 255 // (W - 1), (H, 1)).astype(np.uint8)])
GREYS = np.arange(H * W).reshape(H, W).astype(np.uint8)
RAINBOW = np.random.default_rng(0).integers(0, 255, (256, 3), dtype=np.uint8)


def masks(*values: int) -> bytes:
    return struct.pack(f"<{len(values)}I", *values)


PLAIN = bmp(head(40, W, H, 24), colours(PHOTOGRAPH))
TRUE_COLOUR = {
    f"header of {size} bytes": bmp(head(size, W, H, 24), colours(PHOTOGRAPH))
    for size in (12, 16, 20, 24, 32, 36, 40, 42, 48, 52, 56, 64, 108, 124)
} | {
    "top down": bmp(head(40, W, -H, 24), colours(PHOTOGRAPH, top_down=True)),
    "32 bits": bmp(head(40, W, H, 32), fields(OPAQUE, 32, MASKS_888)),
    "32 bits, the fourth byte is no alpha": bmp(head(40, W, H, 32), fields(FADING, 32, (*MASKS_888, 0xFF000000))),
    "32 bits, fields in another order": bmp(
        head(40, W, H, 32, FIELDS), fields(OPAQUE, 32, MASKS_888[::-1]), masks(*MASKS_888[::-1])
    ),
    "32 bits, 10 bits a colour": bmp(
        head(40, W, H, 32, FIELDS),
        fields(OPAQUE, 32, (0x3FF00000, 0xFFC00, 0x3FF)),
        masks(0x3FF00000, 0xFFC00, 0x3FF),
    ),
    "other bytes before and after the pixels": bmp(head(40, W, H, 24), colours(PHOTOGRAPH) + b"after", b"between"),
    "without the padding of the last row": bmp(head(40, W, H, 24), colours(PHOTOGRAPH)[:-1]),
    "without a length": PLAIN[:2] + bytes(4) + PLAIN[6:],
    "without a place of its pixels": PLAIN[:10] + bytes(4) + PLAIN[14:],
}
FEW_BITS = {
    "555": (bmp(head(40, W, H, 16), fields(OPAQUE, 16, MASKS_555)), 5),
    "555, given": (bmp(head(40, W, H, 16, FIELDS), fields(OPAQUE, 16, MASKS_555), masks(*MASKS_555)), 5),
    "565": (bmp(head(40, W, H, 16, FIELDS), fields(OPAQUE, 16, MASKS_565), masks(*MASKS_565)), 5),
    "565, blue first": (
        bmp(head(40, W, H, 16, FIELDS), fields(OPAQUE, 16, MASKS_565[::-1]), masks(*MASKS_565[::-1])),
        5,
    ),
    "444": (bmp(head(40, W, H, 16, FIELDS), fields(OPAQUE, 16, MASKS_444), masks(*MASKS_444)), 4),
    "565 in the header": (bmp(head(108, W, H, 16, FIELDS, MASKS_565), fields(OPAQUE, 16, MASKS_565)), 5),
}
TRANSPARENT = {
    "16 bits": (16, (*MASKS_444, 0xF000), 4),
    "32 bits": (32, (*MASKS_888, 0xFF000000), 8),
}


@pytest.mark.parametrize("name", TRUE_COLOUR)
def test_true_colour(tmp_path: Path, name: str) -> None:
    media = opened(tmp_path, TRUE_COLOUR[name])
    assert (media.facts.kind, media.facts.container, media.facts.truncated) == ("image", "bmp", False)
    assert (pixels(media) == PHOTOGRAPH).all()


@pytest.mark.parametrize("name", FEW_BITS)
def test_few_bits_a_colour(tmp_path: Path, name: str) -> None:
    content, bits = FEW_BITS[name]
    apart = pixels(opened(tmp_path, content)).astype(int) - PHOTOGRAPH
    assert np.abs(apart).max() <= 255 / ((1 << bits) - 1) / 2 + 1


@pytest.mark.parametrize("name", TRANSPARENT)
def test_alpha_with_a_mask_lies_on_white(tmp_path: Path, name: str) -> None:
    depth, given, bits = TRANSPARENT[name]
    content = bmp(head(124, W, H, depth, FIELDS, given), fields(FADING, depth, given))
    alpha = FADING[..., 3:] / 255
    apart = pixels(opened(tmp_path, content)) - (PHOTOGRAPH * alpha + 255 * (1 - alpha))
    assert np.abs(apart).max() <= 2 * 255 / ((1 << bits) - 1)


@pytest.mark.parametrize("size", [12, 16, 40, 64])
@pytest.mark.parametrize("bits", [1, 2, 4, 8])
def test_a_palette(tmp_path: Path, size: int, bits: int) -> None:
    values = (GREYS & (1 << bits) - 1).astype(np.uint8)
    table = palette(RAINBOW[: 1 << bits], 3 if size == 12 else 4)
    media = opened(tmp_path, bmp(head(size, W, H, bits), numbers(values, bits), table))
    assert (pixels(media) == RAINBOW[values]).all()


def test_a_palette_shorter_or_longer_than_its_bits_allow(tmp_path: Path) -> None:
    values = GREYS % 100
    for count in (100, 300, 0x7FFFFFFF):
        table = palette(RAINBOW[:100] if count == 100 else RAINBOW)
        whole = bytearray(bmp(head(40, W, H, 8), numbers(values, 8), table))
        whole[46:50] = struct.pack("<I", count)
        assert (pixels(opened(tmp_path, bytes(whole))) == RAINBOW[values]).all()


SKIP = bytes([0, 2, 3, 1])
END_OF_ROW, END = bytes(2), bytes([0, 1])
BLACK, FIRST, SECOND = [0, 0, 0], RAINBOW[1].tolist(), RAINBOW[2].tolist()
RUNS = {
    "8 bits": (8, 1, 40, bytes([2, 1, 0, 3, 2, 2, 2, 0]) + END_OF_ROW + bytes([5, 2]) + END),
    "4 bits": (4, 2, 40, bytes([2, 0x11, 0, 3, 0x22, 0x20]) + END_OF_ROW + bytes([5, 0x22]) + END),
    "24 bits": (
        24,
        4,
        64,
        bytes([2, *FIRST[::-1], 0, 3]) + bytes(SECOND[::-1]) * 3 + b"\0" + END_OF_ROW + bytes([5, *SECOND[::-1]]) + END,
    ),
}


@pytest.mark.parametrize("name", RUNS)
def test_runs(tmp_path: Path, name: str) -> None:
    bits, compression, size, data = RUNS[name]
    table = palette(RAINBOW[: 1 << bits]) if bits < 24 else b""
    media = opened(tmp_path, bmp(head(size, 5, 2, bits, compression), data, table))
    assert pixels(media).tolist() == [[SECOND] * 5, [FIRST] * 2 + [SECOND] * 3]
    assert not media.facts.truncated


def test_what_runs_skip_is_black(tmp_path: Path) -> None:
    data = SKIP + bytes([2, 1]) + END
    shown = pixels(opened(tmp_path, bmp(head(40, 5, 3, 8, 1), data, palette(RAINBOW)))).tolist()
    assert shown == [[BLACK] * 5, [BLACK] * 3 + [FIRST] * 2, [BLACK] * 5]


def test_runs_that_are_cut_off(tmp_path: Path) -> None:
    rows = (bytes([50, 1]) + END_OF_ROW) * 50
    content = bmp(head(40, 50, 50, 8, 1), rows, palette(RAINBOW))
    assert not opened(tmp_path, content).facts.truncated
    assert opened(tmp_path, content[:-8]).facts.truncated
    assert refusal(tmp_path, content[: -len(rows) // 2]).code == "media_truncated"


def test_rows_that_are_missing(tmp_path: Path) -> None:
    rgb = array(photograph(60, 60))
    content = bmp(head(40, 60, 60, 24), colours(rgb))
    media = opened(tmp_path, content[: -2 * 180])
    assert media.facts.truncated
    assert (pixels(media)[2:] == rgb[2:]).all()
    assert refusal(tmp_path, content[: len(content) // 2]).code == "media_truncated"


def test_masks_that_make_no_sense_do_no_harm(tmp_path: Path) -> None:
    for given in ((0, 0, 0), (0xFFFFFFFF,) * 3, (0xFFFF0000, 0xF0F, 1)):
        for bits in (16, 32):
            media = opened(tmp_path, bmp(head(40, W, H, bits, FIELDS), fields(OPAQUE, bits, (1, 2, 4)), masks(*given)))
            assert pixels(media).shape == (H, W, 3)


def test_what_no_browser_shows_is_named(tmp_path: Path) -> None:
    for compression, words in ((4, "JPEG"), (5, "PNG")):
        refused = refusal(tmp_path, bmp(head(40, W, H, 0, compression), bytes(99)))
        assert (refused.code, words in refused.message) == ("media_not_supported", True)
    assert refusal(tmp_path, bmp(head(40, W, H, 64), bytes(W * H * 8))).code == "media_not_supported"
    assert refusal(tmp_path, bmp(head(40, W, H, 7), bytes(999))).code == "media_unreadable"
    assert refusal(tmp_path, bmp(head(40, -W, H, 24), bytes(999))).code == "media_unreadable"
