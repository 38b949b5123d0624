"""Choice of a post's format: one file, best for detection, that yt-dlp can download on its own.

Sites that offer pictures and sound separately expect FFmpeg to merge them, but no FFmpeg runs here. A file with both
is preferred unless its pictures are too small to show a face well. Then only the pictures are fetched, or the sound if
nothing else is offered.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

SMALLEST_HEIGHT: Final = 360
"""Height below which larger pictures without sound are preferred to a file with sound."""
LARGEST_HEIGHT: Final = 1080
"""Greatest useful height: detectors see faces of 224 pixels, so more pixels only cost bytes."""
NATIVE_PROTOCOLS: Final = frozenset({"http", "https", "m3u8", "m3u8_native", "http_dash_segments"})
"""Protocols that yt-dlp downloads without FFmpeg and only over HTTP."""

Format = Mapping[str, Any]


def choose(context: Mapping[str, Any]) -> Iterator[Format]:
    """Format selector for yt-dlp: yields one of `context['formats']`, which are sorted from worst to best."""
    usable = [one for one in context["formats"] if _usable(one)]
    both = [one for one in usable if _has(one, "vcodec") and _has(one, "acodec")]
    pictures = [one for one in usable if _has(one, "vcodec")]
    for candidates in (
        [one for one in both if SMALLEST_HEIGHT <= _height(one) <= LARGEST_HEIGHT],
        [one for one in both if _height(one) >= SMALLEST_HEIGHT],
        [one for one in pictures if SMALLEST_HEIGHT <= _height(one) <= LARGEST_HEIGHT],
        both,
        pictures,
        usable,
    ):
        if candidates:
            yield _best(candidates)
            return


def has_sound(one: Format) -> bool:
    """Return True unless the site says that the format has no sound."""
    return _has(one, "acodec")


def _best(candidates: Sequence[Format]) -> Format:
    """Return the smallest if all are too large, else yt-dlp's best."""
    if all(_height(one) > LARGEST_HEIGHT for one in candidates):
        return min(candidates, key=_height)
    return candidates[-1]


def _usable(one: Format) -> bool:
    return one.get("protocol") in NATIVE_PROTOCOLS and not one.get("has_drm") and one.get("ext") != "mhtml"


def _has(one: Format, codec: str) -> bool:
    return one.get(codec) != "none"


def _height(one: Format) -> int:
    """Return the height in pixels, or `SMALLEST_HEIGHT` if the site does not give one."""
    return one.get("height") or SMALLEST_HEIGHT
