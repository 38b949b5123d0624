"""Download of a URL into a private folder, limited in bytes, time and speed.

Every URL, the first and each redirect, is parsed strictly, its addresses are checked, and the connection goes to a
checked address. Proxies and cookies from the environment are ignored.
"""

from __future__ import annotations

import asyncio
import re
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from ipaddress import ip_network
from pathlib import Path
from typing import Final, Self

import httpcore
import httpx

from sentinel_worker import __version__
from sentinel_worker.config.settings import Settings
from sentinel_worker.domain.errors import Permanent
from sentinel_worker.sources.egress import Egress
from sentinel_worker.sources.egress_policy import MAX_URL_CHARACTERS, EgressPolicy, Target, shown_host
from sentinel_worker.sources.fetched import Fetched
from sentinel_worker.sources.http_body import Receiving
from sentinel_worker.sources.minimum_speed import DEFAULT_SPEED, MinimumSpeed
from sentinel_worker.sources.pinned_connection import answer
from sentinel_worker.sources.url_errors import network_errors, stalled, unusable

_REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})
_ABSOLUTE: Final = re.compile(r"[a-z][a-z0-9+.-]*:", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class UrlRules:
    """Rules for downloads: allowed targets, redirects and time limits. `tls` verifies certificates."""

    egress: Egress
    max_redirects: int = 5
    minimum_speed: MinimumSpeed = DEFAULT_SPEED
    answer_seconds: float = 30.0
    """Time limit for the look-up, the connection and the head of one response."""
    limit_seconds: float = 1800.0
    """Time limit for the whole download."""
    tls: ssl.SSLContext = field(default_factory=httpx.create_ssl_context, repr=False)

    @classmethod
    def from_settings(cls, settings: Settings) -> Self:
        """Return the rules for users' URLs."""
        floor_bytes = round(settings.url_min_bytes_per_second * DEFAULT_SPEED.stall_seconds)
        return cls(
            Egress(EgressPolicy.from_settings(settings)),
            max_redirects=settings.url_max_redirects,
            minimum_speed=replace(DEFAULT_SPEED, floor_bytes=floor_bytes),
            limit_seconds=settings.fetch_deadline_seconds,
        )

    @classmethod
    def of_operator(cls) -> Self:
        """Return the rules for the operator's URLs: any address, http included."""
        anywhere = (ip_network("0.0.0.0/0"), ip_network("::/0"))
        policy = EgressPolicy(frozenset({"http", "https"}), ports=range(1, 2**16), allowed_networks=anywhere)
        return cls(Egress(policy))


async def fetch(
    url: str,
    *,
    rules: UrlRules,
    directory: Path,
    limit_bytes: int,
    on_progress: Callable[[float], None] = lambda _: None,
) -> Fetched:
    """Download `url` into `directory`; `on_progress` gets fractions from 0 to 1 if the server sends a length.

    Raises `Permanent` with `url_refused`, `url_host_unknown`, `url_not_found`, `url_forbidden`, `url_untrusted`,
    `url_unusable` or `media_too_large`, and `Transient` with `url_unreachable`, `url_unavailable`, `url_stalled` or
    `disk_full`.
    """
    target = first = rules.egress.policy.check_url(url)
    try:
        async with asyncio.timeout(rules.limit_seconds):
            for _ in range(rules.max_redirects + 1):
                async with _asked(target, rules) as response:
                    if response.status not in _REDIRECTS:
                        receiving = Receiving(target.host, response, limit_bytes, on_progress, rules.minimum_speed)
                        return replace(await receiving.into(directory), source_url=first.shown)
                    target = _onwards(target, response, rules.egress.policy)
    except TimeoutError as error:
        raise stalled(target.host) from error
    raise unusable(first.host, f"redirects more than {rules.max_redirects} times")


@asynccontextmanager
async def _asked(target: Target, rules: UrlRules) -> AsyncIterator[httpcore.Response]:
    """Request `target` and yield the response, its body unread."""
    headers = [
        ("host", target.authority),
        ("user-agent", f"sentinel-worker/{__version__}"),
        ("accept", "*/*"),
        # Media is already compressed, and decompressed data could be a thousand times larger.
        ("accept-encoding", "identity"),
        ("connection", "close"),
    ]
    async with AsyncExitStack() as stack:
        with network_errors(target.host):
            async with asyncio.timeout(rules.answer_seconds):
                addresses = await rules.egress.resolve(target)
                response = await stack.enter_async_context(answer(target, addresses, rules.tls, headers))
        yield response


def _onwards(target: Target, response: httpcore.Response, policy: EgressPolicy) -> Target:
    """Return the target of a redirect. Raises `Permanent` if it is not allowed."""
    location = httpx.Headers(response.headers).get("location", "")
    if not location:
        raise unusable(target.host, "redirects without a location")
    if len(location) > MAX_URL_CHARACTERS:
        raise unusable(target.host, f"redirects to a URL of more than {MAX_URL_CHARACTERS} characters")
    if not _ABSOLUTE.match(location):
        try:
            location = str(httpx.URL(f"{target.scheme}://{target.authority}{target.resource.decode()}").join(location))
        except httpx.InvalidURL as error:
            raise unusable(target.host, "redirects to an invalid URL") from error
    following = policy.check_url(location)
    if (target.scheme, following.scheme) == ("https", "http"):
        raise Permanent(
            "url_refused",
            f"The server of {shown_host(target.host)} redirects from https to http, which is not allowed.",
        )
    return following


def shown(url: str) -> str:
    """Return the URL without user name, password and query, which may be secrets."""
    try:
        parsed = httpx.URL(url)
        return str(parsed.copy_with(userinfo=b"", query=None, fragment=None))
    except httpx.InvalidURL:
        return "The address"
