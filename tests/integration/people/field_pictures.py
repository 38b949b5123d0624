"""H.264 of fields: two pictures, of the even and of the odd lines, make a frame, as 1080i cameras record it.

No encoder at hand writes fields, so this one does: every macroblock holds its pixels as they are (I_PCM).
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any, Final

import av
import numpy as np
import numpy.typing as npt

from tests.integration.media.films import ffmpeg
from tests.integration.people.studio import Clip, Make, Studio

_WIDTH, _HEIGHT = 176, 160
"""Fields are a whole number of macroblocks high."""
_FRAMES: Final = 60
_FIELD_SECONDS: Final = Fraction(1, 50)
# Zeros would have to be escaped.
_LEAST: Final = 16
_START_CODE: Final = b"\x00\x00\x00\x01"
_SEQUENCE, _PICTURE, _FIRST, _OTHER = 0x67, 0x68, 0x65, 0x61

Plane = npt.NDArray[np.uint8]


@dataclass
class _Bits:
    """A row of bits that grows."""

    text: list[str] = field(default_factory=list)

    def fixed(self, *numbers: tuple[int, int]) -> _Bits:
        """Append each number in so many bits."""
        self.text += [f"{value:0{count}b}" for value, count in numbers]
        return self

    def coded(self, *numbers: int) -> _Bits:
        """Append unsigned numbers in Exp-Golomb code."""
        for number in numbers:
            bits = f"{number + 1:b}"
            self.text.append("0" * (len(bits) - 1) + bits)
        return self

    def padded(self, bit: str = "0") -> bytes:
        """All bits, with this one and zeros behind them up to a whole byte."""
        bits = "".join(self.text)
        bits += (bit + "0" * 7)[: -len(bits) % 8] if len(bits) % 8 or bit == "0" else bit + "0" * 7
        return int(bits, 2).to_bytes(len(bits) // 8, "big")


def fields(clip: Clip, name: str, *, blu_ray: bool = True) -> Make:
    """The clip in fields, in a transport stream, with a packet for each; `blu_ray` puts four bytes before packets."""

    def make(studio: Studio) -> Path:
        bare, made = studio.folder / "bare.h264", studio.folder / name
        frames = _frames(studio.clip(clip), studio.folder / "frames.yuv")
        bare.write_bytes(_headers() + b"".join(_frame(number, *planes) for number, planes in enumerate(frames)))
        options = {"mpegts_m2ts_mode": str(int(blu_ray))}
        with av.open(str(bare), format="h264") as old, av.open(str(made), "w", format="mpegts", options=options) as new:
            stream = new.add_stream_from_template(old.streams.video[0])
            packets = [packet for packet in old.demux() if packet.size]
            assert len(packets) == 2 * _FRAMES, "a packet is not a field"
            for number, packet in enumerate(packets):
                packet.time_base = _FIELD_SECONDS
                packet.pts = packet.dts = number
                packet.duration = 1
                packet.stream = stream
                new.mux(packet)
        return made

    return make


def _frames(film: Path, raw: Path) -> list[tuple[Plane, Plane, Plane]]:
    chain = f"scale=176:144,pad={_WIDTH}:{_HEIGHT}"
    ffmpeg("-i", film, "-vf", chain, "-frames:v", str(_FRAMES), "-f", "rawvideo", "-pix_fmt", "yuv420p", raw)
    area, quarter = _WIDTH * _HEIGHT, _WIDTH * _HEIGHT // 4
    content = np.fromfile(raw, np.uint8).reshape(-1, area + 2 * quarter).clip(_LEAST)
    half = (_HEIGHT // 2, _WIDTH // 2)
    return [
        (
            row[:area].reshape(_HEIGHT, _WIDTH),
            row[area : area + quarter].reshape(half),
            row[area + quarter :].reshape(half),
        )
        for row in content
    ]


def _unit(kind: int, body: bytes) -> bytes:
    escaped = re.sub(rb"\x00\x00(?=[\x00-\x03])", b"\x00\x00\x03", body)
    return _START_CODE + bytes([kind]) + escaped


def _headers() -> bytes:
    """Main profile: fields are allowed, and the padding below is cut off (in steps of four lines)."""
    sequence = _Bits().fixed((77, 8), (0, 8), (40, 8)).coded(0, 0, 0, 4, 1).fixed((0, 1))
    sequence.coded(_WIDTH // 16 - 1, _HEIGHT // 32 - 1).fixed((0, 1), (0, 1), (1, 1), (1, 1))
    sequence.coded(0, 0, 0, (_HEIGHT - 144) // 4).fixed((0, 1))
    picture = _Bits().coded(0, 0).fixed((0, 1), (0, 1)).coded(0, 0, 0).fixed((0, 1), (0, 2))
    picture.coded(0, 0, 0).fixed((1, 1), (0, 1), (0, 1))
    return _unit(_SEQUENCE, sequence.padded("1")) + _unit(_PICTURE, picture.padded("1"))


def _frame(number: int, *planes: Plane) -> bytes:
    return b"".join(_field(number, lower, *(plane[lower::2] for plane in planes)) for lower in (0, 1))


def _field(number: int, lower: int, *planes: Plane) -> bytes:
    is_first = number == 0 and not lower
    head = _Bits().coded(0, 7, 0).fixed((number % 16, 4), (1, 1), (lower, 1))
    if is_first:
        head.coded(0)
    head.fixed(((2 * number + lower) % 256, 8))
    head.fixed((0, 1), (0, 1)) if is_first else head.fixed((0, 1))
    head.coded(0, 1)
    blocks = _blocks(*planes)
    first = head.coded(25).padded() + blocks[0]
    # Kind 25 (I_PCM) in nine bits, and zeros up to the next byte.
    rest = b"".join(b"\x0d\x00" + block for block in blocks[1:])
    return _unit(_FIRST if is_first else _OTHER, first + rest + b"\x80")


def _blocks(*planes: Plane) -> list[bytes]:
    """The pixels of each macroblock: 256 of luma, 64 of each chroma."""
    parts: list[npt.NDArray[Any]] = []
    for plane, edge in zip(planes, (16, 8, 8), strict=True):
        rows, columns = plane.shape[0] // edge, plane.shape[1] // edge
        parts.append(plane.reshape(rows, edge, columns, edge).swapaxes(1, 2).reshape(rows * columns, edge * edge))
    return [row.tobytes() for row in np.concatenate(parts, axis=1)]
