"""What a player makes of a file, in terms that can be compared."""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

import numpy as np
import numpy.typing as npt
from PIL import Image

SIDE_PIXELS: Final = 16
PARTS: Final = 3
"""A track is looked at in so many windows; its pitch is that of the first one."""
Small = npt.NDArray[np.uint8]
"""A picture squashed to RGB [16, 16, 3]."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A file as one player plays it.

    `frames` and `seconds`, the length of the pictures, are None where the player does not tell them. Moments (keys of
    `shown`) count from the first picture; `begin_seconds` is the time of that in the file. `hertz` is the loudest pitch
    in the first part of the sound. `file_seconds` is the length that the player shows for the whole file, None if it
    shows none. `error` says why nothing is played.
    """

    error: str = ""
    frames: int | None = 0
    width: int = 0
    height: int = 0
    seconds: float | None = 0.0
    begin_seconds: float = 0.0
    shown: Mapping[float, Small] = field(default_factory=dict)
    sound_seconds: float = 0.0
    hertz: float | None = None
    file_seconds: float | None = None

    @property
    def has_pictures(self) -> bool:
        """True if anything is seen."""
        return self.frames is None or self.frames > 0

    @property
    def has_sound(self) -> bool:
        """True if anything is heard."""
        return self.sound_seconds > 0

    @property
    def plays(self) -> bool:
        """True if anything is seen or heard."""
        return self.has_pictures or self.has_sound


def small(picture: Image.Image) -> Small:
    """Squash a picture."""
    return np.asarray(picture.convert("RGB").resize((SIDE_PIXELS, SIDE_PIXELS), Image.Resampling.BOX))


def small_picture(content: bytes) -> Small:
    """Squash a picture in a file."""
    with Image.open(io.BytesIO(content)) as picture:
        return small(picture)


def distance(one: Small, other: Small) -> float:
    """Mean difference of two pictures, 0 to 255."""
    return float(np.abs(one.astype(int) - other.astype(int)).mean())


def loudest_hertz(samples: npt.NDArray[np.float32], rate: int) -> float | None:
    """The loudest pitch of mono samples, None in silence."""
    if not len(samples) or np.abs(samples).max() < 0.001:
        return None
    spectrum = np.abs(np.fft.rfft(samples * np.hanning(len(samples))))
    return float(spectrum.argmax()) * rate / len(samples)
