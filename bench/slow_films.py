"""Films that are slow to decode: noise in JPEG 2000, whose every bit costs the decoder a step."""

from __future__ import annotations

import subprocess
import tempfile
from pathlib import Path


def slow_film(path: Path, frames: int, side: int = 1000) -> Path:
    """Write a film of `frames` pictures of `side` × `side` pixels, one a second, in a MOV file; returns `path`.

    One picture is encoded, which is slow too, and its packet repeated.
    """
    noise = f"color=gray:s={side}x{side}:r=1:d=1,noise=alls=60:allf=t"
    with tempfile.TemporaryDirectory() as folder:
        one = Path(folder) / "one.mov"
        encode = ("-f", "lavfi", "-i", noise, "-frames:v", "1", "-pix_fmt", "yuv420p", "-c:v", "jpeg2000")
        _ffmpeg(*encode, one)
        _ffmpeg("-stream_loop", str(frames - 1), "-i", one, "-c", "copy", "-f", "mov", path)
    return path


def _ffmpeg(*arguments: str | Path) -> None:
    subprocess.run(["ffmpeg", "-v", "fatal", "-nostdin", "-y", *map(str, arguments)], check=True)
