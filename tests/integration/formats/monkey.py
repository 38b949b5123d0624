"""A small encoder of Monkey's Audio (version 3.99, its fastest level, mono), which FFmpeg only decodes."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from typing import Final

_VERSION, _LEVEL, _BLOCKS_A_FRAME = 3990, 1000, 73728
_COUNTS: Final = (
    *(0, 19578, 36160, 48417, 56323, 60899, 63265, 64435, 64971, 65232, 65351, 65416, 65447, 65466, 65476, 65482),
    *(65485, 65488, 65490, 65491, 65492),
)
"""Cumulative frequencies of the high parts of a residual, out of 65,536; those that are not here have one each."""
_ESCAPE: Final = 63


def monkey(samples: Sequence[int], rate: int) -> bytes:
    """Encode 16-bit mono samples, of which at most one frame (73,728) is allowed."""
    assert len(samples) <= _BLOCKS_A_FRAME
    # Words of 32 bits are written the other way round; a frame begins with its checksum, which FFmpeg ignores.
    coded = bytes(4) + b"\x00" + _coded(_residuals(samples))
    coded += bytes(-len(coded) % 4)
    frame = b"".join(coded[at : at + 4][::-1] for at in range(0, len(coded), 4))
    descriptor = b"MAC " + struct.pack("<HH7I16x", _VERSION, 0, 52, 24, 4, 0, len(frame), 0, 0)
    header = struct.pack("<HHIIIHHI", _LEVEL, 0, _BLOCKS_A_FRAME, len(samples), 1, 16, 1, rate)
    return descriptor + header + struct.pack("<I", len(descriptor) + len(header) + 4) + frame


def _residuals(samples: Iterable[int]) -> Iterable[int]:
    """Subtract what the adaptive predictor of the format expects of each sample."""
    weights = [360, 317, -109, 98]
    delayed, adapted = [0, 0, 0, 0], [0, 0, 0, 0]
    last = filtered = 0
    for sample in samples:
        delayed = [last, last - delayed[0], *delayed[1:3]]
        expected = sum(value * weight for value, weight in zip(delayed, weights, strict=True)) >> 10
        current = sample - (31 * filtered >> 5)
        residual = current - expected
        adapted = [_sign(delayed[0]), _sign(delayed[1]), *adapted[1:3]]
        weights = [weight + value * _sign(residual) for weight, value in zip(weights, adapted, strict=True)]
        last, filtered = current, sample
        yield residual


def _sign(value: int) -> int:
    return (value < 0) - (value > 0)


def _coded(residuals: Iterable[int]) -> bytes:
    """Code the residuals with a range coder, whose state here is one long number."""
    coder, level = _RangeCoder(), 16 << 10
    for residual in residuals:
        value = 2 * residual - 1 if residual > 0 else -2 * residual
        pivot = max(level >> 5, 1)
        high, low = divmod(value, pivot)
        if high < len(_COUNTS) - 1:
            coder.put(_COUNTS[high], _COUNTS[high + 1] - _COUNTS[high], 1 << 16)
        else:
            assert high < _ESCAPE, "the sound is too sudden for this encoder"
            coder.put(65472 + high, 1, 1 << 16)
        coder.put(low, 1, pivot)
        level += (value + 1) // 2 - (level + 16 >> 5)
    return coder.content()


class _RangeCoder:
    def __init__(self) -> None:
        self._low, self._range, self._bytes = 0, 1 << 7, 1

    def put(self, below: int, width: int, total: int) -> None:
        """Narrow the range to the part [below, below + width) of `total`."""
        self._widen()
        part = self._range // total
        self._low += part * below
        self._range = part * width

    def _widen(self) -> None:
        while self._range <= 1 << 23:
            self._low <<= 8
            self._range <<= 8
            self._bytes += 1

    def content(self) -> bytes:
        """Return a number inside the range, and a few bytes that the decoder reads ahead."""
        self._widen()
        return (self._low << 1).to_bytes(self._bytes, "big") + bytes(8)
