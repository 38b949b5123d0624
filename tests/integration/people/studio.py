"""Where files of people are made anew: from the demo's real clip and its tampered twin, in an empty folder."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from tests.integration.media.films import ffmpeg

REAL: Final = "carphone_pristine.mp4"
TAMPERED: Final = "carphone_pristine-tampered.mp4"
"""The demo's clips that files are made from."""

Clip = Literal["real", "tampered"]

H264: Final = ("-c:v", "libx264", "-preset", "veryfast", "-crf", "16", "-threads", "1", "-pix_fmt", "yuv420p")
VP8: Final = ("-c:v", "libvpx", "-deadline", "realtime", "-cpu-used", "8", "-crf", "6", "-b:v", "4M")
VOICE: Final = "aevalsrc=0.3*sin(2*PI*220*t)*(0.5+0.5*sin(2*PI*3*t)):s=48000:d={seconds}"
"""A tone that comes and goes three times a second."""


@dataclass(frozen=True, slots=True)
class Studio:
    """The two clips (4 s, 120 frames, 176 x 144, pixels of 12:11) and the folder of one file."""

    real: Path
    tampered: Path
    folder: Path

    def clip(self, name: Clip) -> Path:
        """The clip of this name."""
        return self.real if name == "real" else self.tampered

    def encoded(self, clip: Clip, name: str, *options: str | Path) -> Path:
        """Encode the clip with these options of FFmpeg's command."""
        made = self.folder / name
        ffmpeg("-i", self.clip(clip), *options, made)
        return made

    def voice(self, name: str, *options: str, seconds: float = 4) -> Path:
        """Encode the voice with these options of FFmpeg's command."""
        made = self.folder / name
        ffmpeg("-f", "lavfi", "-i", VOICE.format(seconds=seconds), *options, made)
        return made

    def written(self, name: str, content: bytes) -> Path:
        """Write a file byte by byte."""
        made = self.folder / name
        made.write_bytes(content)
        return made


Make = Callable[[Studio], Path]
"""Makes one file."""
