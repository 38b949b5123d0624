"""Decoding of a video's windows into clips: each frame is resized at once, so that memory holds one full frame.

Runs in a decoding child, and directly for trusted files: the checkpoint's training and tests take their clips from
here, so that training and production see the same pixels.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from sentinel_worker.domain.errors import Permanent
from sentinel_worker.domain.media_facts import Clip, ClipGeometry, SkipReason
from sentinel_worker.domain.windows import Window, frame_times
from sentinel_worker.media.films.frame_steps import stepped_times
from sentinel_worker.media.opened_media import FrameReader, OpenedMedia
from sentinel_worker.media.stills import Stills

# A clip with more holes than this says too little about its window.
_MAX_UNREADABLE_SHARE: Final = 0.5


@dataclass(frozen=True, slots=True)
class DecodedClip:
    """A clip, the index of its window in the question, and the number of its damaged frames.

    A damaged frame is replaced by its predecessor in the clip (the first ones by the first good frame).
    """

    index: int
    clip: Clip
    unreadable_frames: int


@dataclass(frozen=True, slots=True)
class SkippedWindow:
    """Index in the question of a window with nothing to score, and the reason."""

    index: int
    reason: SkipReason


def decode_clips(
    media: OpenedMedia, windows: Sequence[Window], geometry: ClipGeometry, stills: Stills | None = None
) -> Iterator[DecodedClip]:
    """Decode the clip of every window, in one pass forward over the file.

    A clip is yielded when its last frame is decoded, so windows that are sorted and equally long come in order; clips
    of overlapping windows are held until then. A window with more than half of its frames damaged gives no clip.
    `stills` get the frame in the middle of each. Raises `Permanent('media_unreadable')` if no window gives a clip.
    """
    check_geometry(geometry)
    pending = [_Pending(index, window, geometry) for index, window in enumerate(windows)]
    times = [clip_times(media, window, geometry) for window in windows]
    places = sorted(
        (time, index, position) for index in range(len(windows)) for position, time in enumerate(times[index])
    )
    want_middles(stills, windows, times)
    frames = PreparedFrames(
        media.frames(), lambda pixels: resize_frame(pixels, geometry, media.size_on_screen(pixels)), stills
    )
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


def clip_times(media: OpenedMedia, window: Window, geometry: ClipGeometry) -> list[float]:
    """Times at which the frames of a window's clip are on screen.

    Steps in frames leave the window where the film stands still: the next frames are what a detector of motion needs.
    """
    rate = media.facts.planning_rate
    if geometry.step_frames is None or media.frame_starts is None:
        return frame_times(window, geometry.frames, geometry.step_seconds, rate)
    return stepped_times(media.frame_starts, window, geometry.frames, geometry.step_frames, rate)


def want_middles(stills: Stills | None, windows: Sequence[Window], times: Sequence[Sequence[float]]) -> None:
    """Have `stills` keep the middle one of each window's frames, which are on screen at `times`."""
    if stills is not None:
        for window, of_window in zip(windows, times, strict=True):
            stills.want(window, of_window[len(of_window) // 2])


class _Pending:
    """An unfinished clip; its buffer is made with its first frame."""

    def __init__(self, index: int, window: Window, geometry: ClipGeometry) -> None:
        self._index = index
        self._window = window
        self._shape = (geometry.frames, 3, geometry.crop_height, geometry.crop_width)
        self._frames: npt.NDArray[np.uint8] | None = None
        self._readable = np.zeros(geometry.frames, dtype=bool)
        self._missing = geometry.frames

    def put(self, position: int, frame: Tensor | None) -> None:
        if self._frames is None:
            self._frames = np.zeros(self._shape, dtype=np.uint8)
        self._missing -= 1
        if frame is not None:
            self._frames[position] = frame.numpy()
            self._readable[position] = True

    @property
    def is_complete(self) -> bool:
        return self._missing == 0

    def finish(self) -> DecodedClip | None:
        """Return the clip with its holes filled, or None if there are too many; gives up the buffer."""
        frames, self._frames = self._frames, None
        assert frames is not None
        sources = fill_holes(self._readable)
        if sources is None:
            return None
        holes = np.flatnonzero(~self._readable)
        for hole in holes:
            frames[hole] = frames[sources[hole]]
        return DecodedClip(self._index, Clip(self._window, frames), len(holes))


def fill_holes(readable: npt.NDArray[np.bool_]) -> list[int] | None:
    """Index of the frame used at each place: a damaged frame gets its good predecessor. None if too many are
    damaged."""
    good = np.flatnonzero(readable)
    if len(readable) - len(good) > _MAX_UNREADABLE_SHARE * len(readable):
        return None
    before = np.searchsorted(good, np.arange(len(readable)), side="right") - 1
    return [int(good[max(place, 0)]) for place in before]


class PreparedFrames:
    """Frames by time, each prepared once: neighbours in time are often the same frame, so the last one is kept.

    Each frame that is decoded is also shown to `stills`.
    """

    def __init__(self, reader: FrameReader, prepare: Callable[[Tensor], Tensor], stills: Stills | None = None) -> None:
        self._reader = reader
        self._prepare = prepare
        self._stills = stills
        self._start_seconds = self._end_seconds = 0.0
        self._kept: Tensor | None = None

    def at(self, seconds: float) -> Tensor | None:
        """Return the frame on screen `seconds` after the first frame, or None if it is damaged."""
        if not self._start_seconds <= seconds < self._end_seconds:
            shown = self._reader.at(seconds)
            if shown is None:
                return None
            if self._stills is not None:
                self._stills.look(seconds, shown)
            self._kept = self._prepare(shown.pixels)
            self._start_seconds, self._end_seconds = shown.start_seconds, shown.end_seconds
        return self._kept


def resize_frame(frame: Tensor, geometry: ClipGeometry, on_screen: tuple[int, int] | None = None) -> Tensor:
    """Resize and centre-crop a uint8 frame [3, H, W] to [3, crop_height, crop_width], as Pillow would.

    `on_screen` is its height and width on screen if its pixels are not square.
    """
    height, width = on_screen or frame.shape[-2:]
    if geometry.resize_mode == "squash":
        new_height, new_width = geometry.resize_height, geometry.resize_width
    else:
        edge, shorter = geometry.resize_height, min(height, width)
        new_height, new_width = edge * height // shorter, edge * width // shorter
    if (new_height, new_width) != frame.shape[-2:]:
        frame = torch.nn.functional.interpolate(
            frame[None], size=(new_height, new_width), mode=geometry.resample, antialias=True
        )[0]
    top, left = (new_height - geometry.crop_height) // 2, (new_width - geometry.crop_width) // 2
    return frame[:, top : top + geometry.crop_height, left : left + geometry.crop_width]


def check_geometry(geometry: ClipGeometry) -> None:
    """Refuse a geometry that no frame can have; that is a bug of the caller."""
    if geometry.crop_height > geometry.resize_height or geometry.crop_width > geometry.resize_width:
        raise ValueError("the crop of a clip must not be larger than its resized frames")
    if geometry.resize_mode == "shortest_edge" and geometry.resize_height != geometry.resize_width:
        raise ValueError("shortest_edge needs equal resize_height and resize_width")
