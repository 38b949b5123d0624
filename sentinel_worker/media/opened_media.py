"""A media file that passed every check, and the reader of its pictures."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
from torch import Tensor

from sentinel_worker.media.protocol import ProbedFacts, ProtocolError
from sentinel_worker.media.scan.media_file import MediaFile


@dataclass(frozen=True, slots=True)
class Shown:
    """An upright uint8 RGB frame [3, H, W], on screen in `[start_seconds, end_seconds)` after the first frame.

    Its pixels may not be square (`OpenedMedia.size_on_screen`).
    """

    pixels: Tensor
    start_seconds: float
    end_seconds: float


class FrameReader(Protocol):
    """Reads frames by time; cheap when times rise."""

    def at(self, seconds: float) -> Shown | None:
        """Return the frame on screen at `seconds`; outside the film, its first or last frame.

        None if it is damaged.
        """


@dataclass(frozen=True, slots=True)
class SoundTrack:
    """Stream of the file whose sound is analyzed."""

    file: MediaFile
    stream: int


@dataclass(frozen=True, slots=True)
class OpenedMedia(ABC):
    """A checked file and its facts; the path is absolute and was made by this program.

    `frame_starts` are the sorted times at which its frames appear, in seconds from the first one, if they are known.
    """

    path: Path
    facts: ProbedFacts
    sound: SoundTrack | None = field(default=None, kw_only=True)
    frame_starts: npt.NDArray[np.floating[Any]] | None = field(default=None, kw_only=True)

    @abstractmethod
    def frames(self) -> FrameReader:
        """Return a new reader at the first frame."""

    def size_on_screen(self, pixels: Tensor) -> tuple[int, int]:
        """Height and width at which a frame [3, H, W] is shown."""
        height, width = pixels.shape[-2:]
        return height, width


@dataclass(frozen=True, slots=True)
class OpenedSound(OpenedMedia):
    """A file with only sound."""

    def frames(self) -> FrameReader:
        """Raise `ProtocolError`: the file has no pictures, so the worker does not ask for them."""
        raise ProtocolError("a file without pictures was asked for pictures")
