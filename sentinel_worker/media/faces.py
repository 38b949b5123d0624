"""Linking of boxes in searched frames into faces, each with a square that stays in place for the whole window."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from sentinel_worker.domain.media_facts import Face, FaceSearch
from sentinel_worker.media.centerface import Boxes, Found, overlap

# Samples lie up to a second apart, and a head moves meanwhile: boxes are compared with their size added on each
# side, so that a move by two faces between two samples still links (bikes has such a passer-by).
_GROWN_BY = 1.0
_LINK_IOU = 0.2


@dataclass(slots=True)
class FaceTrack:
    """One face in the searched frames of a window."""

    boxes: list[Boxes] = field(default_factory=list)
    scores: list[float] = field(default_factory=list)
    last_frame: int = -1

    @property
    def size(self) -> float:
        """Mean area of its boxes, in square pixels."""
        return float(np.mean([(box[2] - box[0]) * (box[3] - box[1]) for box in self.boxes]))


@dataclass(frozen=True, slots=True)
class Square:
    """A square in whole pixels; it extends beyond the picture only if the picture is too small for it."""

    left: int
    top: int
    side: int


def link(found: Sequence[Found], search: FaceSearch) -> list[FaceTrack]:
    """Return the faces that are seen in at least half of the searched frames, at most `max_faces`, the largest first.

    A face seen in less of the window is left out: most frames of its crop would show something else, which a detector
    trained on faces has never seen.
    """
    tracks: list[FaceTrack] = []
    for frame, seen in enumerate(found):
        _extend(tracks, frame, seen)
    steady = [track for track in tracks if 2 * len(track.boxes) >= len(found)]
    return sorted(steady, key=lambda track: -track.size)[: search.max_faces]


def _extend(tracks: list[FaceTrack], frame: int, seen: Found) -> None:
    """Give each box to the track whose latest box it overlaps most, the best pairs first; the rest begin new tracks."""
    unlinked = set(range(len(seen.boxes)))
    if tracks and unlinked:
        latest = np.array([track.boxes[-1] for track in tracks])
        shares = overlap(_grown(latest), _grown(seen.boxes))
        for place in np.argsort(-shares, axis=None, kind="stable"):
            number, index = divmod(int(place), shares.shape[1])
            if shares[number, index] < _LINK_IOU:
                break
            if index in unlinked and tracks[number].last_frame < frame:
                unlinked.remove(index)
                _add(tracks[number], frame, seen, index)
    for index in sorted(unlinked):
        tracks.append(FaceTrack())
        _add(tracks[-1], frame, seen, index)


def _grown(boxes: Boxes) -> Boxes:
    more = _GROWN_BY * (boxes[:, 2:] - boxes[:, :2])
    return np.concatenate([boxes[:, :2] - more, boxes[:, 2:] + more], axis=1)


def _add(track: FaceTrack, frame: int, seen: Found, index: int) -> None:
    track.boxes.append(seen.boxes[index])
    track.scores.append(float(seen.scores[index]))
    track.last_frame = frame


def square_around(track: FaceTrack, margin: float, width: int, height: int) -> Square:
    """Return the square around all boxes of a face, with `margin` of the longer side added on each side.

    It is moved into the picture if it sticks out. If it is larger than the picture's shorter side, the margin shrinks;
    what the boxes themselves need beyond the picture is filled with its edge (`face_clips`).
    """
    boxes = np.array(track.boxes, dtype=np.float64)
    (left, top), (right, bottom) = boxes[:, :2].min(axis=0), boxes[:, 2:].max(axis=0)
    longer = max(right - left, bottom - top)
    side = round(min(longer * (1 + 2 * margin), max(longer, min(width, height))))
    return Square(_placed((left + right) / 2, side, width), _placed((top + bottom) / 2, side, height), side)


def _placed(middle: float, side: int, length: int) -> int:
    if side > length:
        return (length - side) // 2
    return min(max(round(middle - side / 2), 0), length - side)


def as_face(square: Square, track: FaceTrack, width: int, height: int) -> Face:
    """Return the crop as fractions of the picture, with the mean score of its boxes."""
    return Face(
        left=max(square.left, 0) / width,
        top=max(square.top, 0) / height,
        right=min(square.left + square.side, width) / width,
        bottom=min(square.top + square.side, height) / height,
        score=float(np.clip(np.mean(track.scores), 0, 1)),
    )
