"""Short films and tones from which the odd files are made. Every frame shows its number and which way is up."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Final

Make = Callable[[Path], object]
"""Writes a file at a path, whose folder is private to it."""
Corpus = dict[str, Make]
"""Makers by the name of their file."""

X264: Final = ("-c:v", "libx264", "-preset", "ultrafast", "-crf", "8", "-pix_fmt", "yuv420p", "-g", "5")
VP8: Final = ("-c:v", "libvpx", "-cpu-used", "8", "-crf", "6", "-b:v", "1M", "-g", "5", "-auto-alt-ref", "0")
VP9: Final = ("-c:v", "libvpx-vp9", "-cpu-used", "8", "-crf", "12", "-b:v", "0", "-g", "5")


def film(seconds: float = 1.0, *, grey: int = 40, size: str = "64x48", rate: float = 10) -> tuple[str, ...]:
    """FFmpeg's options for a grey film that gets brighter with each frame, its upper left corner white and its upper
    right one black."""
    width, height = map(int, size.split("x"))
    corner = f"w={width // 4}:h={height // 4}:t=fill"
    chain = (
        f"nullsrc=s={size}:r={rate}:d={seconds},geq=lum='{grey}+N*5':cb=128:cr=128,"
        f"drawbox=x=0:y=0:{corner}:color=white,drawbox=x={width - width // 4}:y=0:{corner}:color=black"
    )
    return ("-f", "lavfi", "-i", chain)


def tone(hertz: int = 440, seconds: float = 1.0) -> tuple[str, ...]:
    """FFmpeg's options for a tone."""
    return ("-f", "lavfi", "-i", f"sine={hertz}:r=48000:d={seconds}")


def ffmpeg(*arguments: str | Path) -> None:
    """Run FFmpeg; any error output fails."""
    command = ["ffmpeg", "-v", "error", "-nostdin", "-y", *map(str, arguments)]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    if ran.returncode or ran.stderr:
        raise RuntimeError(f"{' '.join(command)}: {ran.stderr[-500:]}")


def encoded(*options: str) -> Make:
    """A file that FFmpeg makes with these options."""
    return lambda path: ffmpeg(*options, "-threads", "1", path)
