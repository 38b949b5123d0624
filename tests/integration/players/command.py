"""A file as FFmpeg's command plays it, with the tracks that it chooses by itself."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Final

import numpy as np

from tests.integration.players.answers import PARTS, SIDE_PIXELS, Answer, Small, loudest_hertz

_RATE: Final = 16_000
_FRAME: Final = re.compile(r"Parsed_showinfo.* n: *\d+ pts:.*? pts_time:(\S+).* sar:(\d+)/(\d+) s:(\d+)x(\d+) ")
_START: Final = re.compile(r"Duration: .*, start: (\S+),")
_CHOSEN: Final = re.compile(r"Stream #0:(\d+).* -> #0:0")
_COVER: Final = re.compile(r"Stream #0:(\d+).*\(attached pic\)")


async def ask_command(path: Path, moments: Sequence[float]) -> Answer:
    """Decode all pictures and all sound of the file; a cover is no picture of a film."""
    size = f"scale=flags=accurate_rnd+full_chroma_int,format=rgb24,scale={SIDE_PIXELS}:{SIDE_PIXELS}:flags=area"
    film, said = await _ffmpeg(path, "-an", "-vf", f"showinfo,{size}", "-fps_mode", "passthrough", "-f", "rawvideo")
    sound, said_of_sound = await _ffmpeg(path, "-vn", "-ac", "1", "-ar", str(_RATE), "-f", "s16le")
    chosen = _CHOSEN.search(said)
    if chosen and chosen[1] in _COVER.findall(said):
        film, said = b"", ""
    samples = (np.frombuffer(sound, "<i2") / 32768).astype(np.float32)
    seen = _seen(film, said, moments)
    return Answer(
        error="" if film or sound else f"{_last_line(said)} / {_last_line(said_of_sound)}",
        frames=seen.frames,
        width=seen.width,
        height=seen.height,
        seconds=seen.seconds,
        begin_seconds=seen.begin_seconds,
        shown=seen.shown,
        sound_seconds=len(samples) / _RATE,
        hertz=loudest_hertz(samples[: len(samples) // PARTS], _RATE),
    )


def _seen(film: bytes, said: str, moments: Sequence[float]) -> Answer:
    frames = np.frombuffer(film, np.uint8).reshape(-1, SIDE_PIXELS, SIDE_PIXELS, 3)
    found = _FRAME.findall(said)[: len(frames)]
    if not found:
        return Answer()
    stamps = [float(stamp) if stamp != "NOPTS" else 0.0 for stamp, *_ in found]
    starts, end = _own_clock(stamps)
    start = _START.search(said)
    sar_width, sar_height, width, height = map(int, found[0][1:])
    aspect = sar_width / sar_height if sar_width and sar_height else 1.0
    return Answer(
        frames=len(frames),
        width=round(width * max(aspect, 1.0)),
        height=round(height / min(aspect, 1.0)),
        seconds=end,
        begin_seconds=stamps[0] + (float(start[1]) if start else 0.0),
        shown={moment: _at(starts, frames, moment) for moment in moments},
    )


def _own_clock(stamps: Sequence[float]) -> tuple[list[float], float]:
    """Starts of the frames from the first on, and the end; where stamps begin anew, the frames go on."""
    steps = [later - earlier for earlier, later in pairwise(stamps)]
    usual = median([step for step in steps if step > 0] or [0.0])
    starts = [0.0]
    for step in steps:
        starts.append(starts[-1] + (step if step >= 0 else usual))
    return starts, starts[-1] + usual


def _at(starts: Sequence[float], frames: Small, moment: float) -> Small:
    return frames[max(sum(start <= moment + 1e-4 for start in starts) - 1, 0)]  # type: ignore[no-any-return]


def _last_line(said: str) -> str:
    return next(iter(reversed(said.strip().splitlines())), "")


async def _ffmpeg(path: Path, *options: str) -> tuple[bytes, str]:
    command = ["ffmpeg", "-nostdin", "-v", "info", "-nostats", "-hide_banner", "-threads", "1", "-i", str(path)]
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(*command, *options, "-", stdout=pipe, stderr=pipe)
    output, said = await process.communicate()
    return output, said.decode(errors="replace")
