"""Errors for damaged files and for files beyond the limits."""

from __future__ import annotations

from typing import Final

from sentinel_worker.domain.errors import Permanent
from sentinel_worker.domain.media_facts import MediaLimits

_TOLERANCE: Final = 1.01
"""Timestamps are rounded and last frames are long: what is beyond a limit by less than this is at the limit."""


def not_media(found: str) -> Permanent:
    """Return the error for a file that is `found` ("an archive", "a JPEG XL picture, which is not supported")."""
    return Permanent(
        "media_not_supported",
        f"The file is not media that can be analyzed: it looks like {found}.",
        params={"found": found},
    )


def too_large(sentence: str, limit: float) -> Permanent:
    """Return the error for more than `limit` of something other than time."""
    return Permanent("media_too_large", sentence, params={"limit": limit})


def too_long(what: str, seconds: float, limits: MediaLimits) -> Permanent:
    """Return the error for a `what` ("video", "sound") that lasts longer than is allowed."""
    return Permanent(
        "media_too_long",
        f"The {what} lasts {seconds:.0f} seconds; at most {limits.max_duration_seconds:.0f} are allowed.",
        params={"seconds": seconds, "limit": limits.max_duration_seconds},
    )


def check_duration(what: str, seconds: float, limits: MediaLimits) -> None:
    """Refuse a `what` that lasts longer than is allowed."""
    if seconds > limits.max_duration_seconds * _TOLERANCE:
        raise too_long(what, seconds, limits)


def check_frames(what: str, frames: int, limit: int) -> None:
    """Refuse `what` ("video", "animation") with more than `limit` frames."""
    if frames > limit:
        raise Permanent(
            "media_too_long",
            f"The {what} has {frames} frames; at most {limit} are allowed.",
            params={"limit": limit},
        )


def check_picture_size(width: int, height: int, limits: MediaLimits) -> None:
    """Refuse pictures that have no size, are too large, or are nearly a line."""
    if width <= 0 or height <= 0:
        raise Permanent("media_unreadable", "The file is damaged: it gives no picture size.")
    check_pixels(width, height, limits)
    if max(width, height) > limits.max_side_ratio * min(width, height):
        raise too_large(
            f"The pictures are {width} x {height} pixels; "
            f"one side may be at most {limits.max_side_ratio:g} times as long as the other.",
            limits.max_side_ratio,
        )


def check_pixels(width: int, height: int, limits: MediaLimits) -> None:
    """Refuse pictures with too many pixels."""
    if width * height > limits.max_pixels:
        raise too_large(
            f"The pictures are {width} x {height} pixels; at most {limits.max_pixels} pixels are allowed.",
            limits.max_pixels,
        )


def check_rate(frames_per_second: float, limits: MediaLimits) -> None:
    """Refuse videos with too many frames per second."""
    if frames_per_second > limits.max_frames_per_second * _TOLERANCE:
        raise too_large(
            f"The video has {frames_per_second:g} frames per second; "
            f"at most {limits.max_frames_per_second:g} are allowed.",
            limits.max_frames_per_second,
        )
