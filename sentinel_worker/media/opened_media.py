"""A media file that passed every check, and how its pictures are read."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from torch import Tensor

from sentinel_worker.media.protocol import ProbedFacts, ProtocolError


@dataclass(frozen=True, slots=True)
class Shown:
    """A uint8 RGB frame [3, H, W], on screen in `[start_seconds, end_seconds)` after the first frame."""

    pixels: Tensor
    start_seconds: float
    end_seconds: float


class FrameReader(Protocol):
    """Reads frames by time; cheap when times rise."""

    def at(self, seconds: float) -> Shown | None:
        """The frame on screen at `seconds`; before the first and after the last frame, that one.

        None when it is damaged.
        """


@dataclass(frozen=True, slots=True)
class SoundTrack:
    """Which stream of the file is listened to, and the container's time of its first sample."""

    stream: int
    begin_seconds: float


@dataclass(frozen=True, slots=True)
class OpenedMedia(ABC):
    """A checked file and what is known about it; the path is absolute and of this program's making."""

    path: Path
    facts: ProbedFacts
    sound: SoundTrack | None = field(default=None, kw_only=True)

    @abstractmethod
    def frames(self) -> FrameReader:
        """A new reader that stands at the first frame."""


@dataclass(frozen=True, slots=True)
class OpenedSound(OpenedMedia):
    """A file that holds sound alone."""

    def frames(self) -> FrameReader:
        """There are none; the worker does not ask for them."""
        raise ProtocolError("a file without pictures was asked for pictures")
