"""The only manipulation that the demo checkpoint for sound detects: frames of 20 to 50 ms that do not fit each
other, as a poor vocoder leaves them. The sound flickers from frame to frame.

It has three kinds: `loudness` (frames are louder or quieter), `timbre` (low against high frequencies) and `mix`
(another sound is heard in some frames).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import numpy as np

from examples.demo_audio_checkpoint.spectrum import low_pass
from examples.demo_audio_checkpoint.voices import RATE, Samples
from examples.demo_checkpoint.footage import chance

Kind = Literal["loudness", "timbre", "mix"]
KINDS: tuple[Kind, ...] = ("loudness", "timbre", "mix")

_FRAME_SECONDS = (0.02, 0.05)
# Jump from a quiet frame to a loud one.
_DECIBELS = (8.0, 16.0)
_OTHER_DECIBELS = (0.0, 8.0)
_RAMP_SECONDS = 0.003
SMALLEST_SHARE = 0.7


def tamper(
    rng: np.random.Generator, line: Samples, kind: Kind, another: Callable[[], Samples]
) -> tuple[Samples, Samples]:
    """Return the tampered sound and the tampered stretch (0 or 1 for each sample), 0.7 of it at least.

    `another` makes the sound, as long as this one, that is heard in some frames of `mix`.
    """
    count = len(line)
    gains = 10 ** (_flicker(rng, count) * float(rng.uniform(*_DECIBELS)) / 20)
    changed: Samples
    if kind == "loudness":
        changed = line * gains
    elif kind == "timbre":
        split = float(np.exp(rng.uniform(np.log(400), np.log(2500))))
        low = low_pass(line, split)
        changed = low * gains + (line - low) / gains
    else:
        other = another()
        level = 10 ** (float(rng.uniform(*_OTHER_DECIBELS)) / 20)
        level *= float(np.std(line)) / max(1e-6, float(np.std(other)))
        changed = line + other * level * (0.5 + _flicker(rng, count))
    stretch = np.ones(count)
    if chance(rng, 0.5):
        stretch[:] = 0
        length = int(count * float(rng.uniform(SMALLEST_SHARE, 1)))
        start = int(rng.integers(0, count - length + 1))
        stretch[start : start + length] = 1
    result = line + (changed - line) * stretch
    return result / max(1.0, float(np.abs(result).max())), stretch


def _flicker(rng: np.random.Generator, count: int) -> Samples:
    """Return a value in -0.5..0.5 for each sample that jumps from frame to frame."""
    frame = int(RATE * float(rng.uniform(*_FRAME_SECONDS)))
    frames = count // frame + 2
    if chance(rng, 0.5):
        steps = np.where(np.arange(frames) % 2 == 0, 0.5, -0.5)
    else:
        steps = rng.choice([-0.5, 0.5], frames) * rng.uniform(0.5, 1, frames)
    ramp = int(_RAMP_SECONDS * RATE)
    smooth: Samples = np.convolve(np.repeat(steps, frame)[:count], np.ones(ramp) / ramp, "same")
    return smooth
