"""yt-dlp, restricted to fetching one post into one file."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from time import monotonic
from typing import Any, Final

from yt_dlp import YoutubeDL
from yt_dlp.globals import all_plugins_loaded, plugin_dirs

from sentinel_worker.sources.fetched import FILE_NAME
from sentinel_worker.sources.social import formats
from sentinel_worker.sources.social.catalogue import Extractor
from sentinel_worker.sources.social.instructions import Order
from sentinel_worker.sources.social.reasons import Refused

REPORT_SECONDS: Final = 0.5
MAX_STEPS: Final = 10
"""Limit of extractors that handle one post in turn."""
_MAX_WARNINGS: Final = 50
_LIVE: Final = frozenset({"is_live", "is_upcoming", "post_live"})

Say = Callable[[Mapping[str, Any]], None]


class Downloader(YoutubeDL):  # type: ignore[misc]
    """A YoutubeDL that knows only the allowed extractors and downloads one video."""

    def __init__(self, order: Order, extractors: Sequence[Extractor], *, proxy: str, say: Say) -> None:
        # Load no plugins, which yt-dlp would look for on the search path.
        plugin_dirs.value = []
        all_plugins_loaded.value = True
        self._allowed = list(extractors)
        self._rules = _Rules(order, say)
        self._steps = 0
        self.warnings: list[str] = []
        super().__init__(_parameters(order, self._rules, _Log(self.warnings), proxy))

    def fetch(self, url: str) -> dict[str, Any]:
        """Fetch the post; return facts about the file `media` in the current folder."""
        info = self.extract_info(url, download=True) or {}
        downloads = info.get("requested_downloads") or []
        if not downloads or not Path(FILE_NAME).is_file():
            raise Refused("social_failed")
        chosen = downloads[0]
        return {
            "extractor": str(info.get("extractor"))[:80],
            "height": chosen.get("height") if isinstance(chosen.get("height"), int) else None,
            "sound_left_out": not formats.has_sound(chosen) and self._rules.site_has_sound,
        }

    def extract_info(self, *args: Any, **options: Any) -> Any:
        """Extract a post, and the posts that it links to, up to `MAX_STEPS`."""
        self._steps += 1
        if self._steps > MAX_STEPS:
            raise Refused("social_failed")
        return super().extract_info(*args, **options)

    def add_default_info_extractors(self) -> None:
        """Add only the allowed extractors; yt-dlp's setting for this can be bypassed, see `get_info_extractor`."""
        for extractor in self._allowed:
            self.add_info_extractor(extractor)

    def get_info_extractor(self, ie_key: str) -> Any:
        """Return an allowed extractor; yt-dlp itself would also add any that a page's result names, even `Generic`."""
        if ie_key not in self._ies:
            raise Refused("social_not_supported")
        return super().get_info_extractor(ie_key)

    def process_ie_result(
        self, ie_result: dict[str, Any], download: bool = True, extra_info: dict[str, Any] | None = None
    ) -> dict[str, Any]:
        """Unwrap a list of one, which some sites return for a post with one video; refuse other lists."""
        if ie_result.get("_type", "video") in ("playlist", "multi_video", "compat_list"):
            entries = list(itertools.islice(ie_result.get("entries") or (), 2))
            if not entries:
                raise Refused("social_no_video")
            if len(entries) > 1 or not isinstance(entries[0], dict):
                raise Refused("social_playlist")
            inherited: dict[str, Any] = {
                key: ie_result[key] for key in ("extractor", "extractor_key", "webpage_url") if key in ie_result
            }
            ie_result = inherited | dict(entries[0])
        answer: dict[str, Any] = super().process_ie_result(ie_result, download, extra_info)
        return answer


class _Rules:
    """Limits that are checked when the post's metadata arrives and during the download."""

    def __init__(self, order: Order, say: Say) -> None:
        self._order = order
        self._say = say
        self._reported_at = 0.0
        self.site_has_sound = False

    def match(self, info: Mapping[str, Any], *, incomplete: object = False) -> None:
        """Filter for yt-dlp's `match_filter`; the metadata may be incomplete."""
        if info.get("is_live") or info.get("live_status") in _LIVE:
            raise Refused("social_live")
        duration = info.get("duration")
        if isinstance(duration, int | float) and duration > self._order.limit_seconds:
            raise Refused("media_too_long")
        self.site_has_sound |= any(formats.has_sound(one) for one in info.get("formats") or ())

    def progress(self, state: Mapping[str, Any]) -> None:
        """Hook for yt-dlp's progress: the only size check for HLS and bodies without a length."""
        done, total = state.get("downloaded_bytes") or 0, state.get("total_bytes")
        if max(done, total or 0) > self._order.limit_bytes:
            raise Refused("media_too_large")
        if monotonic() - self._reported_at >= REPORT_SECONDS:
            self._reported_at = monotonic()
            self._say({"event": "progress", "done": done, "total": total or state.get("total_bytes_estimate")})


class _Log:
    """Logger for yt-dlp that prints nothing and keeps the first warnings."""

    def __init__(self, warnings: list[str]) -> None:
        self._warnings = warnings

    def debug(self, message: str) -> None:
        """Drop the message."""

    def warning(self, message: str) -> None:
        """Keep the message: a missing JavaScript runtime shows only in a warning."""
        if len(self._warnings) < _MAX_WARNINGS:
            self._warnings.append(message)

    def error(self, message: str) -> None:
        """Drop the message: it arrives as an exception too."""


def _parameters(order: Order, rules: _Rules, log: _Log, proxy: str) -> dict[str, Any]:
    return {
        "proxy": proxy,
        "socket_timeout": order.stall_seconds,
        "source_address": None,
        "geo_bypass": False,  # it would fake the worker's location
        "logger": log,
        "quiet": True,
        "noprogress": True,
        "color": "never",
        "cachedir": False,
        "cookiefile": None,
        "usenetrc": False,
        "js_runtimes": {},  # a runtime is a program, which the system call filter does not let start
        "format": formats.choose,
        "outtmpl": {"default": FILE_NAME},
        "paths": {},
        "noplaylist": True,
        "match_filter": rules.match,
        "progress_hooks": [rules.progress],
        "retries": 2,
        "fragment_retries": 2,
        "extractor_retries": 1,
        "file_access_retries": 0,
        "skip_unavailable_fragments": False,  # a video with gaps is not evidence
        "concurrent_fragment_downloads": 1,
        "hls_prefer_native": True,
        "external_downloader": {"default": "native"},
        "fixup": "never",
        "postprocessors": [],
        "check_formats": None,
        "writesubtitles": False,
        "writethumbnail": False,
        "updatetime": False,
        "overwrites": True,
        "enable_file_urls": False,
    }
