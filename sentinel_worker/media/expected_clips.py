"""Answers that a child may still give to a question for clips, and checks of each answer."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from sentinel_worker.domain.media_facts import (
    Clip,
    ClipGeometry,
    Face,
    FaceSearch,
    Heard,
    MediaLimits,
    Skipped,
    SkipReason,
    SoundGeometry,
)
from sentinel_worker.domain.windows import Window
from sentinel_worker.media.protocol import ProbedFacts, ProtocolError

_SLOWEST: Final = 1e-6
_MAX_CHANNELS: Final = 64
_FASTEST: Final = 1e6


class ExpectedClips:
    """Windows that were asked for and are not answered yet.

    Each is answered once: by a clip of one shape and type (with faces: by at most `max_faces` clips in a row) or by the
    reason for skipping it.
    """

    def __init__(
        self,
        windows: Sequence[Window],
        shape: tuple[int, ...],
        dtype: type[np.uint8 | np.float32],
        skip_reason: SkipReason | None = None,
        max_faces: int | None = None,
        seconds: float = 0.0,
    ) -> None:
        self._windows = windows
        self._shape = shape
        self._dtype: np.dtype[Any] = np.dtype(dtype)
        self._skip_reason = skip_reason
        self._max_faces = max_faces
        self._seconds = seconds
        self._left = set(range(len(windows)))
        self._latest: int | None = None
        self._clips_of_latest = 0

    @classmethod
    def pictures(cls, windows: Sequence[Window], geometry: ClipGeometry, faces: FaceSearch | None) -> ExpectedClips:
        """Expect uint8 [frames, 3, height, width]."""
        shape = (geometry.frames, 3, geometry.crop_height, geometry.crop_width)
        if faces is None:
            return cls(windows, shape, np.uint8)
        return cls(windows, shape, np.uint8, "no_face", faces.max_faces)

    @classmethod
    def sounds(cls, windows: Sequence[Window], geometry: SoundGeometry) -> ExpectedClips:
        """Expect float32 [samples]."""
        seconds = geometry.samples / geometry.sample_rate
        return cls(windows, (geometry.samples,), np.float32, "silence", seconds=seconds)

    def take(self, answer: Mapping[str, Any]) -> Clip | Skipped:
        """Return what `answer` announces, a clip with its values still to be filled; raises `ProtocolError`."""
        if answer["answer"] == "skipped":
            return self._skipped(answer)
        index = answer["window"]
        if index == self._latest and self._clips_of_latest < (self._max_faces or 1):
            self._clips_of_latest += 1
        else:
            self._strike(index)
            self._latest, self._clips_of_latest = index, 1
        values: npt.NDArray[Any] = np.empty(self._shape, self._dtype)
        if (
            answer["dtype"] != self._dtype.name
            or tuple(answer["shape"]) != self._shape
            or answer["payload_bytes"] != values.nbytes
        ):
            raise ProtocolError("a clip that was not asked for")
        face = None if self._max_faces is None else _face(answer["face"])
        heard = _heard(answer["heard"], self._seconds) if "heard" in answer else None
        return Clip(self._windows[index], values, face, heard)

    def unreadable_frames(self, answer: Mapping[str, Any]) -> int:
        """Number of replaced frames in the clips, as `end` reports it: at most as many as were asked for."""
        count = answer["unreadable_frames"]
        most = len(self._windows) * (self._shape[0] if self._dtype == np.uint8 else 0)
        if type(count) is not int or not 0 <= count <= most:
            raise ProtocolError("more damaged frames than were asked for")
        return count

    def unheard_seconds(self, answer: Mapping[str, Any]) -> float:
        """Seconds of sound that could not be in any window, as `end` reports them; none of pictures."""
        seconds = float(answer.get("unheard_seconds", 0.0))
        if not 0 <= seconds < math.inf or (seconds and not self._seconds):
            raise ProtocolError("sound that no file holds")
        return seconds

    def _skipped(self, answer: Mapping[str, Any]) -> Skipped:
        if answer["reason"] != self._skip_reason or answer["payload_bytes"]:
            raise ProtocolError("a window that cannot be skipped")
        assert self._skip_reason is not None
        self._strike(answer["window"])
        self._latest = None
        return Skipped(self._windows[answer["window"]], self._skip_reason)

    def _strike(self, index: int) -> None:
        if index not in self._left:
            raise ProtocolError("a window that was not asked for, or answered already")
        self._left.remove(index)


def beyond_limits(facts: ProbedFacts, limits: MediaLimits) -> str | None:
    """Name of a fact that an honest child would have refused, or None. Lengths and rates are estimates."""
    if max(facts.duration_seconds, facts.audio_seconds) > 2 * limits.max_duration_seconds:
        return "length"
    slowest = _SLOWEST if facts.kind == "video" else 0.0
    is_usable = slowest <= facts.frames_per_second <= 2 * limits.max_frames_per_second
    if not is_usable or not (facts.typical_rate == 0 or _SLOWEST <= facts.typical_rate <= _FASTEST):
        return "frame rate"
    if facts.width * facts.height > (limits.max_picture_pixels if facts.kind == "image" else limits.max_pixels):
        return "picture size"
    if facts.size_bytes > limits.max_bytes:
        return "file size"
    if facts.frame_count > limits.max_frames:
        return "number of frames"
    return None


def check_values(clip: Clip) -> None:
    """Refuse sound that is not a number or beyond full scale: its verdict would mean nothing."""
    if clip.values.dtype == np.float32 and not (np.abs(clip.values) <= 1).all():
        raise ProtocolError("sound beyond full scale")


def _heard(values: Sequence[Any], clip_seconds: float) -> Heard:
    """Only a clip of sound has a length, so this refuses every `heard` of pictures."""
    seconds, channel = values
    if seconds is not None and not 0 <= float(seconds) < clip_seconds:
        raise ProtocolError("more sound than the clip holds")
    if channel is not None and not (type(channel) is int and 0 < channel <= _MAX_CHANNELS):
        raise ProtocolError("a channel that no file has")
    if seconds is None and (channel is None or not clip_seconds):
        raise ProtocolError("a clip that differs in nothing")
    return Heard(None if seconds is None else float(seconds), channel)


def _face(values: Sequence[Any]) -> Face:
    numbers = [float(value) for value in values]
    if len(numbers) != 5 or not all(math.isfinite(n) and 0 <= n <= 1 for n in numbers):  # noqa: PLR2004 Face's fields
        raise ProtocolError("a face with invalid numbers")
    face = Face(*numbers)
    if face.left >= face.right or face.top >= face.bottom:
        raise ProtocolError("a face without a size")
    return face
