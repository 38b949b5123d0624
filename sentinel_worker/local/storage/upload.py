"""Uploads: rights first, then the bytes to disk, then the row; a cut connection leaves nothing behind."""

from __future__ import annotations

import base64
import binascii
import fnmatch
import json
import time
import uuid
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import psycopg
from starlette.requests import Request
from starlette.responses import Response

from sentinel_worker.local.database import fetch_one
from sentinel_worker.local.json_answer import json_answer
from sentinel_worker.local.storage.access import QUERIES, Access, Bucket, Caller, check_key, check_segments
from sentinel_worker.local.storage.errors import StorageError, duplicate, invalid_request, too_large
from sentinel_worker.local.storage.files import Stored, TooLarge
from sentinel_worker.local.storage.multipart import MalformedUpload, UploadForm

_SIGNED_UPLOAD_SECONDS = 2 * 3600


@dataclass(frozen=True, slots=True)
class Incoming:
    """What a client sends: its bytes, and what it says about them."""

    chunks: AsyncIterator[bytes]
    media_type: str
    cache_control: str
    user_metadata: dict[str, Any]


class Uploads:
    """POST and PUT of objects, and uploads by a signed URL."""

    def __init__(self, access: Access) -> None:
        self._access = access

    async def upload(self, request: Request) -> Response:
        """POST (x-upsert) and PUT (always replaces) of /object/{bucket}/{name}."""
        caller = self._access.caller(request)
        bucket_id, name = request.path_params["bucket"], request.path_params["name"]
        upsert = request.method == "PUT" or request.headers.get("x-upsert") == "true"
        check_key(name)
        bucket = await self._access.bucket(bucket_id)
        version = str(uuid.uuid4())
        check_segments(bucket_id, name, version)
        await self.check_rights(request, caller, bucket_id, name, upsert=upsert)
        object_id = await self._receive(request, bucket, name, version, caller)
        return json_answer({"Key": f"{bucket_id}/{name}", "Id": object_id})

    async def sign(self, request: Request) -> Response:
        """POST of /object/upload/sign/{bucket}/{name}: a token for one upload within two hours."""
        caller = self._access.caller(request)
        bucket_id, name = request.path_params["bucket"], request.path_params["name"]
        upsert = request.headers.get("x-upsert") == "true"
        check_key(name)
        check_segments(bucket_id, name, "")
        await self._access.bucket(bucket_id)
        await self.check_rights(request, caller, bucket_id, name, upsert=upsert)
        now = int(time.time())
        path = f"{bucket_id}/{name}"
        token = self._access.keys.sign(
            {
                "owner": caller.owner_id,
                "url": path,
                "upsert": upsert,
                "iat": now,
                "exp": now + _SIGNED_UPLOAD_SECONDS,
            }
        )
        return json_answer({"url": f"/object/upload/sign/{path}?token={token}", "token": token})

    async def upload_signed(self, request: Request) -> Response:
        """PUT of /object/upload/sign/{bucket}/{name}?token=…, with the rights of whoever signed."""
        bucket_id, name = request.path_params["bucket"], request.path_params["name"]
        check_key(name)
        claims = self._access.signed_claims(request, f"{bucket_id}/{name}")
        bucket = await self._access.bucket(bucket_id)
        caller = Caller("authenticated", {"sub": claims.get("owner")})
        if not claims.get("upsert"):
            await self._refuse_existing(bucket_id, name)
        version = str(uuid.uuid4())
        await self._receive(request, bucket, name, version, caller)
        return json_answer({"Key": f"{bucket_id}/{name}"})

    async def check_rights(self, request: Request, caller: Caller, bucket: str, name: str, *, upsert: bool) -> None:
        """Let PostgreSQL try the insert (or upsert) as the caller, and roll it back.

        Raises what PostgreSQL raises: missing rights, row security, the name exists.
        """
        query = QUERIES["try_upsert" if upsert else "try_insert"]
        parameters = [bucket, name, caller.owner, caller.owner_id, "", "{}", "{}"]
        async with self._access.acting(request, caller) as connection:
            await connection.execute(query.encode(), parameters)
            raise psycopg.Rollback

    async def _refuse_existing(self, bucket: str, name: str) -> None:
        try:
            await self._access.any_object(bucket, name)
        except StorageError:
            return
        raise duplicate()

    async def _receive(self, request: Request, bucket: Bucket, name: str, version: str, caller: Caller) -> str:
        limit = min(bucket.file_size_limit or self._access.limit_bytes, self._access.limit_bytes)
        incoming = await _incoming(request)
        _check_media_type(bucket, incoming.media_type)
        try:
            stored = await self._access.files.store(version, incoming.chunks, limit)
        except TooLarge as error:
            raise too_large() from error
        except MalformedUpload as error:
            raise invalid_request(str(error)) from error
        return await self._finish(bucket.id, name, caller, stored, incoming)

    async def _finish(self, bucket: str, name: str, caller: Caller, stored: Stored, incoming: Incoming) -> str:
        metadata = {
            "eTag": f'"{stored.md5}"',
            "size": stored.size,
            "mimetype": incoming.media_type,
            "cacheControl": incoming.cache_control,
            "lastModified": datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "contentLength": stored.size,
            "httpStatusCode": 200,
        }
        parameters = [
            bucket,
            name,
            caller.owner,
            caller.owner_id,
            stored.version,
            json.dumps(metadata),
            json.dumps(incoming.user_metadata),
        ]
        try:
            async with self._access.admin.transaction() as connection:
                # Two uploads of one name take turns, so that each sees the version it replaces.
                lock = "select pg_advisory_xact_lock(hashtextextended($1::text, 0))"
                await connection.execute(lock, [f"{bucket}/{name}"])
                before = await fetch_one(connection, QUERIES["current_version"], [bucket, name])
                row = await fetch_one(connection, QUERIES["finish_upload"], parameters)
        except BaseException:
            self._access.files.remove(stored.version)
            raise
        assert row is not None
        if before is not None:
            self._access.files.remove(before[0])
        return str(row[0])


async def _incoming(request: Request) -> Incoming:
    content_type = request.headers.get("content-type", "")
    if content_type.startswith("multipart/form-data"):
        try:
            form = UploadForm(content_type, request.stream())
            part = await form.open()
        except MalformedUpload as error:
            raise invalid_request(str(error)) from error
        seconds = form.fields.get("cacheControl")
        return Incoming(
            form.body(),
            part.media_type or "application/octet-stream",
            f"max-age={seconds}" if seconds else "no-cache",
            _metadata(form.fields.get("metadata")),
        )
    return Incoming(
        request.stream(),
        content_type or "application/octet-stream",
        request.headers.get("cache-control", "no-cache"),
        _metadata(_decoded(request.headers.get("x-metadata"))),
    )


def _decoded(text: str | None) -> str | None:
    try:
        return None if text is None else base64.b64decode(text).decode()
    except (binascii.Error, UnicodeDecodeError):
        return None


def _metadata(text: str | None) -> dict[str, Any]:
    try:
        parsed = json.loads(text or "{}")
    except ValueError:
        return {}
    return parsed if isinstance(parsed, dict) else {}


def _check_media_type(bucket: Bucket, media_type: str) -> None:
    bare = media_type.partition(";")[0].strip()
    allowed = bucket.allowed_mime_types
    if allowed and not any(fnmatch.fnmatchcase(bare, pattern) for pattern in allowed):
        message = f"mime type {media_type} is not supported"
        raise StorageError("415", "invalid_mime_type", "InvalidMimeType", message)
