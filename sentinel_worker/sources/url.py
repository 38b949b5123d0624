"""A file behind an http(s) address that the operator typed, streamed into a private folder.

Only for `analyze`: it connects to whatever the name resolves to. Addresses that users put into rows need the
checks of docs/architecture.md, "Not there yet", and are not fetched.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Final

import httpx

from sentinel_worker import __version__
from sentinel_worker.errors import Permanent, Transient
from sentinel_worker.sources.fetched import FILE_NAME, Fetched
from sentinel_worker.sources.sink import Sink

MAX_REDIRECTS: Final = 5
STALL_SECONDS: Final = 30.0
LIMIT_SECONDS: Final = 1800.0
_BLOCK_BYTES: Final = 1024**2


async def fetch(
    url: str, *, directory: Path, limit_bytes: int, on_progress: Callable[[float], None] = lambda _: None
) -> Fetched:
    """Stream what `url` answers; `on_progress` gets fractions from 0 to 1 where the server says a length.

    Raises Permanent with `url_refused` or `media_too_large`, Transient with `url_unreachable` or `disk_full`.
    """
    try:
        async with asyncio.timeout(LIMIT_SECONDS), _client() as client, client.stream("GET", url) as response:
            if not response.is_success:
                raise Permanent("url_refused", f"The server of {shown(url)} answers {response.status_code}.")
            return await _receive(response, directory, limit_bytes, on_progress)
    except (httpx.InvalidURL, httpx.UnsupportedProtocol) as error:
        raise Permanent("url_refused", f"{shown(url)} is not an http(s) address.") from error
    except httpx.TooManyRedirects as error:
        raise Permanent("url_refused", f"{shown(url)} redirects more than {MAX_REDIRECTS} times.") from error
    except httpx.DecodingError as error:
        raise Permanent("url_refused", f"The server of {shown(url)} sends what its encoding does not allow.") from error
    except (httpx.TransportError, TimeoutError) as error:
        raise Transient("url_unreachable", f"{shown(url)} cannot be fetched now.") from error


async def _receive(
    response: httpx.Response, directory: Path, limit_bytes: int, on_progress: Callable[[float], None]
) -> Fetched:
    promised = int(response.headers.get("content-length") or 0)
    if promised > limit_bytes:
        raise _too_large(limit_bytes)
    async with Sink.create(directory / FILE_NAME) as sink:
        async for block in response.aiter_bytes(_BLOCK_BYTES):
            if sink.size_bytes + len(block) > limit_bytes:
                raise _too_large(limit_bytes)
            await sink.write(block)
            if promised:
                on_progress(min(1.0, sink.size_bytes / promised))
        return Fetched(
            sink.path,
            sink.size_bytes,
            sink.sha256,
            response.headers.get("etag"),
            response.headers.get("content-type"),
        )


def _too_large(limit_bytes: int) -> Permanent:
    return Permanent("media_too_large", f"The file is larger than the {limit_bytes} bytes that are allowed.")


def _client() -> httpx.AsyncClient:
    return httpx.AsyncClient(
        follow_redirects=True,
        max_redirects=MAX_REDIRECTS,
        timeout=STALL_SECONDS,
        # Media is compressed already, and what is unpacked here could be a thousand times what was sent.
        headers={"user-agent": f"sentinel-worker/{__version__}", "accept-encoding": "identity"},
    )


def shown(url: str) -> str:
    """The address without a password or a query, which may be secrets."""
    try:
        parsed = httpx.URL(url)
        return str(parsed.copy_with(userinfo=b"", query=None, fragment=None))
    except httpx.InvalidURL:
        return "The address"
