"""Frames of bare sound: MPEG audio, AAC (ADTS) and AC-3, which have no header for the whole file."""

# ruff: noqa: PLR2004 the numbers come from the formats

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

SEARCH_BYTES: Final = 256 * 1024
"""Most junk before the first frame: a cover picture whose tag lies about its length."""
_FRAMES_IN_A_ROW: Final = 4
_HEADER_BYTES: Final = 7
_CANDIDATE: Final = re.compile(rb"(?=\xff[\xe2-\xff])")
# Bit rates in 1,000 bits per second by the header's index, for MPEG-1 and for its halves (MPEG-2 and 2.5).
_LAYER_1: Final = (32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448)
_LAYER_2: Final = (32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384)
_LAYER_3: Final = (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320)
_HALF_LAYER_1: Final = (32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256)
_HALF_LAYERS: Final = (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160)
_BIT_RATES: Final = {1: (_LAYER_1, _HALF_LAYER_1), 2: (_LAYER_2, _HALF_LAYERS), 3: (_LAYER_3, _HALF_LAYERS)}
_SAMPLE_RATES: Final = (44100, 48000, 32000)
_ADTS_RATES: Final = (96000, 88200, 64000, 48000, 44100, 32000, 24000, 22050, 16000, 12000, 11025, 8000, 7350)
_AC3_BIT_RATES: Final = (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384, 448, 512, 576, 640)


@dataclass(frozen=True, slots=True)
class Frame:
    """Container and length in bytes of a frame. Frames of one sound have the same `fixed` header bits."""

    container: str
    length: int
    fixed: int


def frame_at(content: bytes, at: int = 0) -> Frame | None:
    """Read a frame's header, with no reserved value in it; None if there is none at this offset."""
    head = content[at : at + _HEADER_BYTES]
    if len(head) < 4:
        return None
    if head[0] == 0xFF and head[1] & 0xF6 == 0xF0:
        return _adts(head)
    if head[0] == 0xFF and head[1] & 0xE0 == 0xE0:
        return _mpeg(head)
    return _ac3(head) if head[:2] == b"\x0b\x77" else None


def adts_rate(head: bytes) -> int:
    """Sample rate that an ADTS frame states; 0 if these are not the first bytes of one."""
    frame = frame_at(head)
    return _ADTS_RATES[frame.fixed >> 2 & 0xF] if frame is not None and frame.container == "aac" else 0


def first_frame(content: bytes) -> tuple[int, Frame] | None:
    """Find the first of four MPEG audio or ADTS frames in a row, and its offset; None if there are none.

    Before the end of `content`, two are enough.
    """
    for found in _CANDIDATE.finditer(content):
        frame = frame_at(content, found.start())
        if frame is not None and _is_followed(content, found.start(), frame):
            return found.start(), frame
    return None


def _is_followed(content: bytes, at: int, frame: Frame) -> bool:
    if frame.length < _HEADER_BYTES:
        return False
    at += frame.length
    for count in range(1, _FRAMES_IN_A_ROW):
        following = frame_at(content, at)
        if following is None:
            return count > 1 and at + 4 > len(content)
        if (following.container, following.fixed) != (frame.container, frame.fixed):
            return False
        at += max(following.length, _HEADER_BYTES)
    return True


def _mpeg(head: bytes) -> Frame | None:
    version, layer = head[1] >> 3 & 3, 4 - (head[1] >> 1 & 3)
    bit_rate, sample_rate = head[2] >> 4, head[2] >> 2 & 3
    if version == 1 or layer == 4 or bit_rate in (0, 15) or sample_rate == 3:
        return None
    halves = version != 3
    bits = 1000 * _BIT_RATES[layer][halves][bit_rate - 1]
    rate = _SAMPLE_RATES[sample_rate] >> (0 if version == 3 else 1 if version == 2 else 2)
    padding = head[2] >> 1 & 1
    if layer == 1:
        length = 4 * (12 * bits // rate + padding)
    else:
        length = (72 if layer == 3 and halves else 144) * bits // rate + padding
    return Frame("mp3", length, (head[1] & 0xFE) << 2 | sample_rate)


def _adts(head: bytes) -> Frame | None:
    if len(head) < _HEADER_BYTES or head[2] >> 2 & 0xF >= len(_ADTS_RATES):
        return None
    length = (head[3] & 3) << 11 | head[4] << 3 | head[5] >> 5
    return Frame("aac", length, head[2])


def _ac3(head: bytes) -> Frame | None:
    """AC-3, or from bit stream 11 on E-AC-3, whose header says its length in 16-bit words."""
    if len(head) < 6:
        return None
    stream, sample_rate = head[5] >> 3, head[4] >> 6
    if 11 <= stream <= 16 and head[2] >> 6 != 3:
        return Frame("eac3", 2 * (((head[2] & 7) << 8 | head[3]) + 1), sample_rate)
    code = head[4] & 0x3F
    if stream > 10 or sample_rate == 3 or code >= 2 * len(_AC3_BIT_RATES):
        return None
    kilobits = _AC3_BIT_RATES[code >> 1]
    words = (2 * kilobits, 320 * kilobits // 147 + (code & 1), 3 * kilobits)[sample_rate]
    return Frame("ac3", 2 * words, sample_rate)
