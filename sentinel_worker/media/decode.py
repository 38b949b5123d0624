"""Windows of a video become clips: frame by frame, resized at once, so that memory holds one full frame.

Runs in a decoding child, and directly for trusted files: the checkpoint's training and tests take their
clips from here, so that training and production see the same pixels.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from sentinel_worker.errors import Permanent
from sentinel_worker.media.facts import Clip, ClipGeometry
from sentinel_worker.media.probe import OpenedMedia, out_of_memory
from sentinel_worker.media.windows import Window, frame_times

# A clip with more holes than this says too little about its window.
_MAX_UNREADABLE_SHARE: Final = 0.5


@dataclass(frozen=True, slots=True)
class DecodedClip:
    """A clip, the place of its window in the question, and how many of its frames were damaged.

    A damaged frame is replaced by its predecessor in the clip (the first ones by the first good frame).
    """

    index: int
    clip: Clip
    unreadable_frames: int


def decode_clips(media: OpenedMedia, windows: Sequence[Window], geometry: ClipGeometry) -> Iterator[DecodedClip]:
    """Decode the clip of every window, in one pass forward over the file.

    Clips come when their last frame is decoded, so windows that are sorted and equally long come in order;
    clips of overlapping windows are held until then. A window of which more than half the frames are
    damaged gives no clip. Raises `Permanent('media_unreadable')` when no window gave one.
    """
    _check(geometry)
    pending = [_Pending(index, window, geometry) for index, window in enumerate(windows)]
    places = sorted(
        (time, index, position)
        for index, window in enumerate(windows)
        for position, time in enumerate(
            frame_times(window, geometry.frames, geometry.step_seconds, media.facts.frames_per_second)
        )
    )
    frames = _Frames(media, geometry)
    usable = 0
    for time, index, position in places:
        clip = pending[index]
        clip.put(position, frames.at(time))
        if clip.is_complete:
            decoded = clip.finish()
            if decoded is not None:
                usable += 1
                yield decoded
    if windows and not usable:
        raise Permanent("media_unreadable", "The video's pictures are damaged and cannot be decoded.")


class _Frames:
    """Resized frames by time; the last one is kept, because neighbours in time are often the same frame."""

    def __init__(self, media: OpenedMedia, geometry: ClipGeometry) -> None:
        self._decoder = media.decoder
        self._begin = media.begin_seconds
        self._geometry = geometry
        self._shown = (0.0, 0.0)
        self._kept: Tensor | None = None

    def at(self, seconds: float) -> Tensor | None:
        """The frame on screen `seconds` after the first frame, or None when it is damaged."""
        start, end = self._shown
        if not start <= seconds < end:
            self._kept = None
            full = read_frame(self._decoder, self._begin + seconds)
            if full is None:
                self._shown = (seconds, seconds)
                return None
            frame, start, end = full
            self._kept = resize_frame(frame, self._geometry)
            self._shown = (start - self._begin, end - self._begin)
        return self._kept


def read_frame(decoder: object, seconds: float) -> tuple[Tensor, float, float] | None:
    """The uint8 RGB frame [3, H, W] on screen at the container's time `seconds`, and from when to when.

    A time outside the track takes its first or last frame. None when the frame cannot be decoded.
    """
    raise NotImplementedError


def resize_frame(frame: Tensor, geometry: ClipGeometry) -> Tensor:
    """Resize and centre-crop a uint8 frame [3, H, W] to [3, crop_height, crop_width], as Pillow would."""
    raise NotImplementedError
