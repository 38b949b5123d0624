"""Supabase Storage: downloads stream into a private file, derived files are uploaded.

Plain HTTP, because the client library holds a whole object in memory. An interrupted download resumes where it
stopped if the object is unchanged; Storage ignores If-Range, so etags are compared here.
"""

from __future__ import annotations

import asyncio
import os
import random
import re
from collections.abc import Callable
from pathlib import Path
from typing import Final
from urllib.parse import quote
from uuid import UUID

import httpx
import structlog

from sentinel_worker.domain.errors import CodedError, Permanent, Transient
from sentinel_worker.observe import logs
from sentinel_worker.sources.fetched import FILE_NAME, Fetched
from sentinel_worker.sources.minimum_speed import DEFAULT_SPEED, MinimumSpeed, stall_timeout
from sentinel_worker.sources.private_file import PrivateFile
from sentinel_worker.sources.storage_errors import key_of, storage_error, unreachable, wants_retry

BUCKET: Final = "media"
UPLOAD_POLICY: Final = "sentinel: worker adds derived"
_CONTENT_TYPES: Final = {".webp": "image/webp", ".mp4": "video/mp4"}
"""Types of derived files, whatever a child that was taken over put into them."""
MAX_TRIES: Final = 5
"""Tries in a row that each brought less than `MinimumSpeed.floor_bytes`."""
MAX_CONNECTIONS_A_FETCH: Final = 50

_BLOCK_BYTES: Final = 1024**2
_MAX_ANSWER_BYTES: Final = 64 * 1024
# The characters that Storage accepts in a key, except those with a special meaning in a URL.
_PATH: Final = re.compile(r"[A-Za-z0-9_/!.*'() &$@=;:+,-]{1,1024}")
_CONTENT_RANGE: Final = re.compile(r"bytes (\d+)-\d+/(\d+)")

log = structlog.get_logger()


async def fetch(
    client: httpx.AsyncClient,
    *,
    user_id: UUID,
    storage_path: str,
    directory: Path,
    limit_bytes: int,
    on_progress: Callable[[float], None] = lambda _: None,
    minimum_speed: MinimumSpeed = DEFAULT_SPEED,
) -> Fetched:
    """Stream the object `storage_path` of bucket `media` into a file with a fixed name in `directory`.

    `client` has the project as its base URL and a key in its headers. `on_progress` gets fractions from 0 to 1.
    Raises `Permanent` with `storage_path_refused`, `object_not_found`, `media_too_large` or
    `storage_refused`, and `Transient` with `storage_unreachable`, `storage_unavailable`, `storage_stalled`,
    `access_refused`, `bucket_missing` or `disk_full`.
    """
    url = _object_url("authenticated/" + BUCKET, _own_path(user_id, storage_path))
    async with PrivateFile.create(directory / FILE_NAME) as sink:
        download = _Download(client, url, sink, limit_bytes, on_progress, minimum_speed)
        await download.run()
        return Fetched(sink.path, sink.size_bytes, sink.sha256, download.etag)


async def upload(
    client: httpx.AsyncClient,
    *,
    bucket: str,
    path: str,
    file: Path,
    minimum_speed: MinimumSpeed = DEFAULT_SPEED,
) -> None:
    """Upload the derived `file` to `bucket/path`, replacing an older one.

    Raises the errors of `fetch`, including `Permanent('storage_refused')` for a file that the bucket does not accept,
    and `OSError` if `file` cannot be read.
    """
    content = await asyncio.to_thread(_read_plain, file)
    limit_seconds = minimum_speed.stall_seconds * max(1, len(content) / minimum_speed.floor_bytes)
    # Upsert makes a retry after a lost response harmless.
    headers = {"content-type": _CONTENT_TYPES[file.suffix], "x-upsert": "true"}
    url = _object_url(bucket, _checked(path))
    for tries in range(1, MAX_TRIES + 1):
        error: CodedError
        try:
            async with asyncio.timeout(limit_seconds):
                response = await client.post(url, content=content, headers=headers)
            if response.is_success:
                return
            error = storage_error(
                response.status_code, response.content, response.headers, key_of(client), policy=UPLOAD_POLICY
            )
        except httpx.TransportError as failure:
            error = unreachable(failure)
        except TimeoutError:
            error = _stalled()
        if tries == MAX_TRIES or not wants_retry(error):
            raise error
        log.info(logs.STORAGE_REPEATED, error_code=error.code, error=error.message)
        await _pause(tries, minimum_speed)


class _Download:
    """Download of one object into a sink, over as many connections as necessary."""

    def __init__(
        self,
        client: httpx.AsyncClient,
        url: str,
        sink: PrivateFile,
        limit_bytes: int,
        on_progress: Callable[[float], None],
        minimum_speed: MinimumSpeed,
    ) -> None:
        self._client = client
        self._url = url
        self._sink = sink
        self._limit_bytes = limit_bytes
        self._on_progress = on_progress
        self._minimum_speed = minimum_speed
        self._total_bytes: int | None = None
        self.etag: str | None = None

    async def run(self) -> None:
        vain = 0
        for _ in range(MAX_CONNECTIONS_A_FETCH):
            reached = self._sink.size_bytes
            try:
                if await self._once():
                    return
                error: CodedError = Transient("storage_unavailable", "The file changed while it was being read.")
            except httpx.TransportError as failure:
                error = unreachable(failure)
            except TimeoutError:
                error = _stalled()
            except Transient as failure:
                error = failure
            vain = 0 if self._sink.size_bytes - reached >= self._minimum_speed.floor_bytes else vain + 1
            if vain == MAX_TRIES or not wants_retry(error):
                raise error
            log.info(logs.STORAGE_REPEATED, error_code=error.code, error=error.message, begins_at=self._sink.size_bytes)
            await _pause(vain, self._minimum_speed)
        raise error

    async def _once(self) -> bool:
        """Read from where the sink ends; return False if the object turns out to be another one."""
        headers = {"accept-encoding": "identity"}
        if self._sink.size_bytes:
            headers["range"] = f"bytes={self._sink.size_bytes}-"
        async with (
            stall_timeout(self._minimum_speed) as received,
            self._client.stream("GET", self._url, headers=headers) as response,
        ):
            if not await self._accept(response):
                return False
            block = bytearray()
            try:
                async for part in response.aiter_raw():
                    received(len(part))
                    block += part
                    if self._sink.size_bytes + len(block) > self._limit_bytes:
                        block.clear()
                        raise self._too_large()
                    if len(block) >= _BLOCK_BYTES:
                        await self._write(block)
            finally:
                # Bytes received before an interruption need not be sent again.
                await self._write(block)
        if self._total_bytes is not None and self._sink.size_bytes != self._total_bytes:
            await self._start_over()
            return False
        return True

    async def _accept(self, response: httpx.Response) -> bool:
        """Return True if this response continues (or begins) the object; start over if it belongs to another one."""
        status, etag = response.status_code, response.headers.get("etag")
        if status not in (httpx.codes.OK, httpx.codes.PARTIAL_CONTENT):
            if status == httpx.codes.REQUESTED_RANGE_NOT_SATISFIABLE and self._sink.size_bytes:
                await self._start_over()
                return False
            raise storage_error(status, await _short_body(response), response.headers, key_of(self._client))
        if response.headers.get("content-encoding", "identity") != "identity":
            raise Transient("storage_unavailable", "Storage sent the file in an encoding that was not requested.")
        if status == httpx.codes.PARTIAL_CONTENT:
            place = _CONTENT_RANGE.fullmatch(response.headers.get("content-range", ""))
            same = etag is not None and etag == self.etag
            if place is None or int(place[1]) != self._sink.size_bytes or not same:
                await self._start_over()
                return False
            total: str | None = place[2]
        else:
            await self._start_over()
            total = response.headers.get("content-length")
        self.etag = etag
        self._total_bytes = int(total) if total is not None and total.isdigit() else None
        if self._total_bytes is not None and self._total_bytes > self._limit_bytes:
            raise self._too_large()
        return True

    async def _write(self, block: bytearray) -> None:
        if not block:
            return
        await self._sink.write(bytes(block))
        block.clear()
        if self._total_bytes:
            self._on_progress(min(1.0, self._sink.size_bytes / self._total_bytes))

    async def _start_over(self) -> None:
        await self._sink.clear()
        self.etag = self._total_bytes = None

    def _too_large(self) -> Permanent:
        return Permanent(
            "media_too_large",
            f"The file is larger than the allowed {self._limit_bytes} bytes.",
            params={"limit": self._limit_bytes},
        )


def _own_path(user_id: UUID, path: str) -> str:
    """Check that `path` is in the user's folder, as the database does; a prefix test allows `<me>/../<other>/x`."""
    if not _checked(path).startswith(f"{user_id}/"):
        raise _path_refused()
    return path


def _checked(path: str) -> str:
    segments = path.split("/")
    if not _PATH.fullmatch(path) or any(segment in ("", ".", "..") for segment in segments):
        raise _path_refused()
    return path


def _object_url(bucket: str, path: str) -> str:
    return f"/storage/v1/object/{bucket}/{quote(path, safe='/')}"


def _path_refused() -> Permanent:
    return Permanent("storage_path_refused", "The file's path is not in your own folder in Storage.")


def _stalled() -> Transient:
    return Transient("storage_stalled", "Storage sends data too slowly.")


async def _pause(tries: int, minimum_speed: MinimumSpeed) -> None:
    await asyncio.sleep(random.uniform(0, minimum_speed.pause_seconds * 2 ** max(tries - 1, 0)))  # noqa: S311 jitter


async def _short_body(response: httpx.Response) -> bytes:
    body = bytearray()
    async for part in response.aiter_raw():
        body += part
        if len(body) > _MAX_ANSWER_BYTES:
            break
    return bytes(body)


def _read_plain(file: Path) -> bytes:
    """Read a file without following links: a child that parses hostile media wrote it."""
    with os.fdopen(os.open(file, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC), "rb") as opened:
        return opened.read()
