"""Long films of a real clip with a splice of its tampered version, cut at key frames without encoding again."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

REAL, TAMPERED = "carphone_pristine.mp4", "carphone_pristine-tampered.mp4"
GROUP_SECONDS: Final = 30 * 1001 / 30000
"""Distance of two key frames, at which the films can be cut."""
CLIP_GROUPS: Final = 4
_ENCODE = (
    *("-an", "-c:v", "libx264", "-preset", "veryfast", "-crf", "23", "-threads", "1", "-bf", "0"),
    *("-g", "30", "-keyint_min", "30", "-sc_threshold", "0", "-video_track_timescale", "30000"),
)


@dataclass(frozen=True, slots=True)
class Splice:
    """A film, and the span of it that is tampered, in seconds."""

    path: Path
    start_seconds: float
    end_seconds: float


class LongFilms:
    """The clip and its tampered version, each repeated to fill `minutes`; splices are made from the two."""

    def __init__(self, folder: Path, clips: Mapping[str, Path], minutes: int) -> None:
        self._folder = folder
        self.groups = round(60 * minutes / GROUP_SECONDS / CLIP_GROUPS) * CLIP_GROUPS
        self.real, self.tampered = (self._repeated(clips[name]) for name in (REAL, TAMPERED))

    @property
    def seconds(self) -> float:
        """Length of each film."""
        return self.groups * GROUP_SECONDS

    def splice(self, start_seconds: float, splice_seconds: float) -> Splice:
        """Make the film with a splice of about this place and length; it replaces the one before."""
        first = round(start_seconds / GROUP_SECONDS)
        last = min(first + round(splice_seconds / GROUP_SECONDS), self.groups)
        begin, end = first * GROUP_SECONDS, last * GROUP_SECONDS
        parts = ((self.real, 0, first), (self.tampered, first, last), (self.real, last, self.groups))
        listed = self._folder / "parts.txt"
        listed.write_text("ffconcat version 1.0\n" + "".join(_part(*part) for part in parts if part[1] < part[2]))
        path = self._folder / "splice.mp4"
        _ffmpeg("-f", "concat", "-safe", "0", "-i", listed, "-c", "copy", path)
        return Splice(path, begin, end)

    def _repeated(self, clip: Path) -> Path:
        encoded, film = self._folder / f"clip-{clip.name}", self._folder / f"{self.groups}-{clip.name}"
        _ffmpeg("-i", clip, *_ENCODE, encoded)
        _ffmpeg("-stream_loop", str(self.groups // CLIP_GROUPS - 1), "-i", encoded, "-c", "copy", film)
        return film


def _part(film: Path, first: int, last: int) -> str:
    return f"file {film}\ninpoint {first * GROUP_SECONDS:.6f}\noutpoint {last * GROUP_SECONDS:.6f}\n"


def _ffmpeg(*arguments: str | Path) -> None:
    subprocess.run(["ffmpeg", "-v", "error", "-nostdin", "-y", *map(str, arguments)], check=True)
