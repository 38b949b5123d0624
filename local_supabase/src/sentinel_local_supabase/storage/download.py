"""Downloads, whole or one byte range: with row security, from public buckets, or with a signed URL."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime
from email.utils import format_datetime
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from sentinel_local_supabase.json_answer import json_answer
from sentinel_local_supabase.json_input import bigint
from sentinel_local_supabase.storage.access import Access, StoredObject
from sentinel_local_supabase.storage.storage_errors import StorageError, internal, no_bucket

_RANGE = re.compile(r"bytes=(\d*)-(\d*)", re.ASCII)


@dataclass(frozen=True, slots=True)
class Span:
    """A byte range: `length` bytes from `start`."""

    start: int
    length: int


class Downloads:
    """Endpoints for GET and HEAD of objects and their metadata."""

    def __init__(self, access: Access) -> None:
        self._access = access

    async def plain(self, request: Request) -> Response:
        """/object/{bucket}/{name}: a refused token is reported as a missing bucket, as on the real server."""
        return await self._answer(request, lambda: self._plain_object(request))

    async def authenticated(self, request: Request) -> Response:
        """/object/authenticated/{bucket}/{name}: a refused token is reported as such."""

        async def find() -> StoredObject:
            caller = self._access.caller(request)
            bucket, name = _path(request)
            await self._access.bucket(bucket)
            return await self._access.visible(request, caller, bucket, name)

        return await self._answer(request, find)

    async def public(self, request: Request) -> Response:
        """/object/public/{bucket}/{name}: without a token, in public buckets."""
        return await self._answer(request, lambda: self._public_object(request))

    async def signed(self, request: Request) -> Response:
        """/object/sign/{bucket}/{name}?token=…: without cache-control."""
        bucket, name = _path(request)

        async def find() -> StoredObject:
            self._access.signed_claims(request, f"{bucket}/{name}", "download")
            return await self._access.any_object(bucket, name)

        return await self._answer(request, find, cached=False)

    async def info(self, request: Request) -> Response:
        """/object/info/{bucket}/{name}: metadata of an object."""
        return _info(await self._plain_object(request))

    async def public_info(self, request: Request) -> Response:
        """/object/info/public/{bucket}/{name}."""
        return _info(await self._public_object(request))

    async def _plain_object(self, request: Request) -> StoredObject:
        bucket_id, name = _path(request)
        bucket = await self._access.bucket(bucket_id)
        if bucket.public:
            return await self._access.any_object(bucket_id, name)
        caller = self._access.caller_if_any(request)
        if caller is None:
            raise no_bucket()
        return await self._access.visible(request, caller, bucket_id, name)

    async def _public_object(self, request: Request) -> StoredObject:
        bucket_id, name = _path(request)
        if not (await self._access.bucket(bucket_id)).public:
            raise no_bucket()
        return await self._access.any_object(bucket_id, name)

    async def _answer(
        self, request: Request, find: Callable[[], Awaitable[StoredObject]], *, cached: bool = True
    ) -> Response:
        for attempt in (1, 2):
            found = await find()
            try:
                return await self._stream(request, found, cached=cached)
            except FileNotFoundError:
                # An upload replaced this version between the lookup and the opening: look it up again.
                if attempt == 2:  # noqa: PLR2004 - the second of two
                    break
        raise internal()

    async def _stream(self, request: Request, found: StoredObject, *, cached: bool) -> Response:
        size = int(found.metadata["size"])
        headers = _headers(found)
        if not cached:
            del headers["Cache-Control"]
        if request.headers.get("if-none-match") == found.metadata["eTag"]:
            return Response(b"", 304, {**headers, "Content-Length": "0"})
        if "download" in request.query_params:
            headers["Content-Disposition"] = _disposition(request.query_params["download"])
        status, span = 200, Span(0, size)
        if (wanted := request.headers.get("range")) is not None:
            status, span = 206, _span(wanted, size)
            headers["Content-Range"] = f"bytes {span.start}-{span.start + span.length - 1}/{size}"
        headers["Content-Length"] = str(span.length)
        if request.method == "HEAD":
            return Response(b"", status, headers)
        pieces = await self._access.files.read(found.version, span.start, span.length)
        return StreamingResponse(pieces, status, headers)


def _disposition(name: str) -> str:
    """Return the header that makes a browser save the object, under another name if one is given."""
    if not name:
        return "attachment;"
    encoded = quote(name, safe="!~*'()")  # as JavaScript's encodeURIComponent
    return f"attachment; filename={encoded}; filename*=UTF-8''{encoded}"


def _path(request: Request) -> tuple[str, str]:
    return request.path_params["bucket"], request.path_params["name"]


def _headers(found: StoredObject) -> dict[str, str]:
    modified = datetime.fromisoformat(found.metadata["lastModified"])
    return {
        "Accept-Ranges": "bytes",
        "Content-Type": found.metadata["mimetype"],
        "ETag": found.metadata["eTag"],
        "Last-Modified": format_datetime(modified, usegmt=True),
        "Cache-Control": found.metadata["cacheControl"],
        "X-Robots-Tag": "none",
    }


def _span(header: str, size: int) -> Span:
    found = _RANGE.fullmatch(header)
    if found is None or (not found[1] and not found[2]):
        raise _bad_range()
    if not found[1]:
        length = min(bigint(found[2]), size)
        start = size - length
    else:
        start = bigint(found[1])
        end = min(bigint(found[2]), size - 1) if found[2] else size - 1
        length = end - start + 1
    if length <= 0:
        raise _bad_range()
    return Span(start, length)


def _bad_range() -> StorageError:
    return StorageError("416", "invalid_range", "InvalidRange", "invalid range provided")


def _info(found: StoredObject) -> Response:
    headers = _headers(found)
    body = {
        "id": found.id,
        "name": found.name,
        "version": found.version,
        "bucket_id": found.bucket_id,
        "size": found.metadata["size"],
        "content_type": found.metadata["mimetype"],
        "cache_control": found.metadata["cacheControl"],
        "etag": found.metadata["eTag"],
        "metadata": found.user_metadata,
        "last_modified": found.metadata["lastModified"],
        "created_at": found.created_at,
    }
    kept = {name: headers[name] for name in ("ETag", "Last-Modified", "Cache-Control")}
    return json_answer(body, headers=kept)
