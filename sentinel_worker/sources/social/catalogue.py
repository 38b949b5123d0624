"""Allowed sites and the URLs that belong to them, decided without any traffic.

An extractor is yt-dlp's class for a site. A site's name covers the extractors `name` and `name:…`, so that a playlist
or a channel of an allowed site is recognized too, and refused as such.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final

from sentinel_worker.domain.errors import Fatal

GENERIC: Final = "generic"
"""Extractor that searches any page for media; never allowed."""

Extractor = Any
"""A class of yt-dlp, which has no types."""


def find_extractors(sites: Iterable[str]) -> list[Extractor]:
    """Return the extractors of `sites`, in the order in which yt-dlp tries them.

    Raises `Fatal('bad_settings')` for sites that this yt-dlp does not know. The first call takes a third of a second.
    """
    from yt_dlp.extractor import gen_extractor_classes

    wanted = set(sites)
    found = {extractor: _site(extractor, wanted) for extractor in gen_extractor_classes()}
    unknown = wanted - set(found.values())
    if unknown:
        raise Fatal(
            "bad_settings", f"SENTINEL_SOCIAL_EXTRACTORS: yt-dlp has no extractor named {', '.join(sorted(unknown))}"
        )
    return [extractor for extractor, site in found.items() if site is not None]


def suits(url: str, extractors: Sequence[Extractor]) -> bool:
    """Return True if one of `extractors` accepts `url`, and `url` is not a search (`ytsearch:…`)."""
    return url.startswith(("https://", "http://")) and any(extractor.suitable(url) for extractor in extractors)


def _site(extractor: Extractor, wanted: set[str]) -> str | None:
    name = extractor.IE_NAME.lower()
    site = name.partition(":")[0]
    for candidate in (name, site):
        if candidate in wanted and candidate != GENERIC:
            return str(candidate)
    return None
