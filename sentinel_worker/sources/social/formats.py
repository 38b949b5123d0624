"""Which of a post's formats is fetched: one file, by a downloader that is part of yt-dlp, best for detection.

Sites that offer pictures and sound apart expect FFmpeg to join them; no FFmpeg runs here. A file with both is
preferred unless its pictures are too small to show a face well; then the pictures alone are fetched, or the sound
where there is nothing else.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

SMALLEST_HEIGHT: Final = 360
"""Below it a file with sound loses against larger pictures without."""
LARGEST_HEIGHT: Final = 1080
"""Detectors see faces of 224 pixels; more pixels cost bytes and gain nothing."""
NATIVE_PROTOCOLS: Final = frozenset({"http", "https", "m3u8", "m3u8_native", "http_dash_segments"})
"""What yt-dlp downloads without FFmpeg and over HTTP alone."""

Format = Mapping[str, Any]


def choose(context: Mapping[str, Any]) -> Iterator[Format]:
    """A format selector of yt-dlp: yields one of `context['formats']`, which are sorted from worst to best."""
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
    """Whether the site says that sound is in it, or does not say."""
    return _has(one, "acodec")


def _best(candidates: Sequence[Format]) -> Format:
    """The smallest of what is too large, else yt-dlp's best."""
    if all(_height(one) > LARGEST_HEIGHT for one in candidates):
        return min(candidates, key=_height)
    return candidates[-1]


def _usable(one: Format) -> bool:
    return one.get("protocol") in NATIVE_PROTOCOLS and not one.get("has_drm") and one.get("ext") != "mhtml"


def _has(one: Format, codec: str) -> bool:
    return one.get(codec) != "none"


def _height(one: Format) -> int:
    """In pixels; the smallest good one where the site does not say."""
    return one.get("height") or SMALLEST_HEIGHT
