"""Films whose frames encode their own number."""

import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np

from sentinel_worker.domain.media_facts import Clip, ClipGeometry

Make = Callable[..., Path]

# Frame n of a ramp is a flat grey of this luma, in steps that survive lossy codecs.
RAMP = "geq=lum='16+N*4':cb=128:cr=128"


def ffmpeg(*arguments: str | Path) -> None:
    """Run FFmpeg; any error output fails the test."""
    subprocess.run(["ffmpeg", "-v", "error", "-nostdin", "-y", *map(str, arguments)], check=True)


def geometry(frames: int, step_seconds: float, size: int = 16) -> ClipGeometry:
    """Square clips that ignore the aspect ratio."""
    return ClipGeometry(frames, step_seconds, "squash", size, size, size, size)


def frame_numbers(clip: Clip) -> list[int]:
    """Return, for each frame of the clip, its number in the ramp."""
    luma = clip.values.reshape(len(clip.values), -1).mean(axis=1) * 219 / 255
    return [int(number) for number in np.rint(luma / 4)]
