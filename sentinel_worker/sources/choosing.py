"""Choice of a file's source: Storage, a URL, a post of a social site, or this machine."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager, nullcontext
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Protocol

import httpx

from sentinel_worker.concurrency.fair_places import FairPlaces
from sentinel_worker.config.settings import Settings
from sentinel_worker.domain.compute import Compute
from sentinel_worker.domain.errors import Permanent
from sentinel_worker.domain.request import Claim
from sentinel_worker.sources import local, storage, url
from sentinel_worker.sources.fetched import Fetched
from sentinel_worker.sources.social.fetcher import Social

URL_PATIENCE_SECONDS = 15.0
"""Longest wait of a URL for a place. It keeps a slot of the worker meanwhile, which uploads may need."""


class Fetch(Protocol):
    """Fetches a file into the private folder `directory`; `on_progress` gets fractions from 0 to 1."""

    def __call__(
        self, *, directory: Path, limit_bytes: int, on_progress: Callable[[float], None]
    ) -> Awaitable[Fetched]: ...


@dataclass(frozen=True, slots=True)
class Source:
    """A fetch of one file, and the place it occupies meanwhile if places are limited."""

    fetch: Fetch
    place: AbstractAsyncContextManager[object] = field(default_factory=nullcontext)


class RequestSources:
    """The sources of one worker's requests, and their places. `http` is for Storage only: it carries the key."""

    def __init__(
        self, settings: Settings, http: httpx.AsyncClient, url_rules: url.UrlRules, social: Social | None
    ) -> None:
        self._kinds = settings.url_sources
        self._http = http
        self._url_rules = url_rules
        self._social = social
        # Separate places, so that slow third-party servers never delay downloads from Storage.
        self._uploads = FairPlaces(settings.fetch_concurrency)
        self._urls = FairPlaces(settings.url_places, patience_seconds=URL_PATIENCE_SECONDS)

    def of(self, claim: Claim, compute: Compute) -> Source:
        """Return the source of the request's file; `compute` counts the process that fetches a post.

        Raises `Permanent('source_not_supported')`.
        """
        if claim.source_url is not None:
            return Source(self._url(claim.source_url, compute), self._urls.place(claim.user_id))
        assert claim.storage_path is not None  # the database's one_source
        fetch = partial(storage.fetch, self._http, user_id=claim.user_id, storage_path=claim.storage_path)
        return Source(fetch, self._uploads.place(claim.user_id))

    def _url(self, source_url: str, compute: Compute) -> Fetch:
        """Return a fetch by yt-dlp for a post of a social site, and a direct download for any other URL."""
        if not self._kinds:
            raise Permanent("source_not_supported", "This worker does not fetch URLs: upload the file instead.")
        if self._social is not None and self._social.suits(source_url):
            social = replace(self._social, egress=self._social.egress.of_one_client(), compute=compute)
            return partial(social.fetch, source_url)
        if "direct" not in self._kinds:
            raise Permanent(
                "source_not_supported", "This worker fetches only posts of social sites: upload the file instead."
            )
        return partial(url.fetch, source_url, rules=self._url_rules)


def of_operator(argument: Path | str) -> Source:
    """Return the source that an operator named: an http(s) URL to any address, or a file on this machine."""
    if isinstance(argument, str) and _is_address(argument):
        return Source(partial(url.fetch, argument, rules=url.UrlRules.of_operator()))
    return Source(partial(local.copy, Path(argument)))


def shown(argument: str) -> str:
    """Format an operator's argument for people, reports and logs: a URL loses its secrets."""
    return url.shown(argument) if _is_address(argument) else argument


def _is_address(argument: str) -> bool:
    return argument.lower().startswith(("http://", "https://"))
