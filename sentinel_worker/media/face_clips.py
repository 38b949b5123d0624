"""Clips of the faces in windows: decode once, search a few frames, cut the same square from all."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Final

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from sentinel_worker.domain.errors import Permanent
from sentinel_worker.domain.media_facts import Clip, ClipGeometry, FaceSearch
from sentinel_worker.domain.windows import Window
from sentinel_worker.media.centerface import SIDE_MULTIPLE, Found, face_model
from sentinel_worker.media.decode import (
    DecodedClip,
    PreparedFrames,
    SkippedWindow,
    check_geometry,
    clip_times,
    fill_holes,
    resize_frame,
    want_middles,
)
from sentinel_worker.media.faces import FaceTrack, Square, as_face, link, square_around
from sentinel_worker.media.opened_media import OpenedMedia
from sentinel_worker.media.stills import Stills

SEARCH_PIXELS: Final = 640
"""Longest side of a frame while it is searched."""

MAX_WINDOW_BYTES: Final = 192 * 1024**2
"""Limit for the frames of one window (32 of 1080p fit); larger frames are kept smaller."""


def decode_faces(
    media: OpenedMedia,
    windows: Sequence[Window],
    geometry: ClipGeometry,
    search: FaceSearch,
    stills: Stills | None = None,
) -> Iterator[DecodedClip | SkippedWindow]:
    """Yield for every window, by their starts, a clip for each of its faces, the largest first, or `no_face`.

    A window with more than half of its frames damaged gives nothing. `stills` get the frame in the middle of each.
    Raises `Permanent('media_unreadable')` if all windows are damaged.
    """
    check_geometry(geometry)
    size = _kept_size(media, geometry.frames)
    want_middles(stills, windows, [clip_times(media, window, geometry) for window in windows])
    frames = PreparedFrames(media.frames(), lambda pixels: _resized(pixels, size), stills)
    usable = False
    for index in sorted(range(len(windows)), key=lambda index: windows[index].start_seconds):
        for answer in _decode_window(index, windows[index], media, frames, geometry, search):
            usable = True
            yield answer
    if windows and not usable:
        raise Permanent("media_unreadable", "The video's pictures are damaged and cannot be decoded.")


def _decode_window(
    index: int,
    window: Window,
    media: OpenedMedia,
    frames: PreparedFrames,
    geometry: ClipGeometry,
    search: FaceSearch,
) -> Iterator[DecodedClip | SkippedWindow]:
    """Yield one window's answers. Its frames are freed at the end, before the next window is decoded."""
    shown = [frames.at(time) for time in clip_times(media, window, geometry)]
    sources = fill_holes(np.array([frame is not None for frame in shown]))
    if sources is None:
        return
    holes = sum(frame is None for frame in shown)
    whole = [frame for source in sources if (frame := shown[source]) is not None]
    height, width = whole[0].shape[1:]
    tracks = _faces_of(whole, search, search.min_pixels * height / media.facts.height)
    if not tracks:
        yield SkippedWindow(index, "no_face")
    for place, track in enumerate(tracks):
        square = square_around(track, search.margin, width, height)
        clip = Clip(window, _cut_all(whole, square, geometry), as_face(square, track, width, height))
        # The holes belong to the window, so they are counted once.
        yield DecodedClip(index, clip, 0 if place else holes)


def _kept_size(media: OpenedMedia, frames: int) -> tuple[int, int]:
    """Height and width at which `frames` frames fit into `MAX_WINDOW_BYTES`."""
    height, width = media.facts.height, media.facts.width
    scale = min(1.0, math.sqrt(MAX_WINDOW_BYTES / (3 * frames * height * width)))
    return max(1, int(height * scale)), max(1, int(width * scale))


def _resized(pixels: Tensor, size: tuple[int, int]) -> Tensor:
    if pixels.shape[1:] == size:
        return pixels
    return torch.nn.functional.interpolate(pixels[None], size=size, mode="bilinear", antialias=True)[0]


def _faces_of(window: Sequence[Tensor], search: FaceSearch, min_pixels: float) -> list[FaceTrack]:
    """Find the faces in one window's frames; boxes with a shorter side below `min_pixels` do not count."""
    count = min(search.samples, len(window))
    places = [(2 * sample + 1) * len(window) // (2 * count) for sample in range(count)]
    found: dict[int, Found] = {}
    for place in places:
        # A repeated frame is searched once.
        found.setdefault(id(window[place]), _search(window[place], search.min_score, min_pixels))
    return link([found[id(window[place])] for place in places], search)


def _search(frame: Tensor, min_score: float, min_pixels: float) -> Found:
    height, width = frame.shape[1:]
    scale = min(1.0, SEARCH_PIXELS / max(height, width))
    size = (_next_multiple(height * scale), _next_multiple(width * scale))
    found = face_model().find(_resized(frame, size).numpy(), min_score)
    back = np.array([width / size[1], height / size[0]] * 2, dtype=np.float32)
    boxes = found.boxes * back
    large = np.minimum(boxes[:, 2] - boxes[:, 0], boxes[:, 3] - boxes[:, 1]) >= min_pixels
    return Found(boxes[large], found.scores[large])


def _next_multiple(length: float) -> int:
    return math.ceil(length / SIDE_MULTIPLE) * SIDE_MULTIPLE


def _cut_all(window: Sequence[Tensor], square: Square, geometry: ClipGeometry) -> npt.NDArray[np.uint8]:
    shape = (geometry.frames, 3, geometry.crop_height, geometry.crop_width)
    values = np.empty(shape, dtype=np.uint8)
    kept: tuple[Tensor, npt.NDArray[np.uint8]] | None = None
    for position, frame in enumerate(window):
        if kept is None or kept[0] is not frame:
            kept = frame, resize_frame(_cut(frame, square), geometry).numpy()
        values[position] = kept[1]
    return values


def _cut(frame: Tensor, square: Square) -> Tensor:
    """Cut the square out of a frame; beyond the picture, its edge is repeated."""
    height, width = frame.shape[1:]
    rows = torch.arange(square.top, square.top + square.side).clamp(0, height - 1)
    columns = torch.arange(square.left, square.left + square.side).clamp(0, width - 1)
    top, left = int(rows[0]), int(columns[0])
    part = frame[:, top : int(rows[-1]) + 1, left : int(columns[-1]) + 1]
    if part.shape[1:] == (square.side, square.side):
        return part.contiguous()
    return part[:, rows - top][:, :, columns - left]
