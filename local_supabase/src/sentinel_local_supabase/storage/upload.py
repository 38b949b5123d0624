"""Uploads in one request: check rights, write bytes to disk, write the row; a lost connection leaves nothing."""

from __future__ import annotations

import time
import uuid
from collections.abc import AsyncIterator
from dataclasses import dataclass

from starlette.requests import Request
from starlette.responses import Response

from sentinel_local_supabase.json_answer import json_answer
from sentinel_local_supabase.json_input import bigint
from sentinel_local_supabase.storage.access import Access, Bucket, Caller, check_key, check_segments
from sentinel_local_supabase.storage.files import TooLarge
from sentinel_local_supabase.storage.multipart import MalformedUpload, UploadForm
from sentinel_local_supabase.storage.rows import (
    DEFAULT_MEDIA_TYPE,
    Description,
    check_media_type,
    measured,
    metadata_header,
    try_write,
    user_metadata_of,
    write,
)
from sentinel_local_supabase.storage.storage_errors import StorageError, duplicate, invalid_request, too_large

_SIGNED_UPLOAD_SECONDS = 2 * 3600


@dataclass(frozen=True, slots=True)
class Incoming:
    """An upload: its bytes, the client's description, and the announced length (None: unknown)."""

    chunks: AsyncIterator[bytes]
    description: Description
    length: int | None = None


class Uploads:
    """Endpoints for POST and PUT of objects, and for uploads by a signed URL."""

    def __init__(self, access: Access) -> None:
        self._access = access

    async def upload(self, request: Request) -> Response:
        """POST (x-upsert) and PUT (always replaces) of /object/{bucket}/{name}."""
        caller = self._access.caller(request)
        bucket_id, name = request.path_params["bucket"], request.path_params["name"]
        upsert = request.method == "PUT" or request.headers.get("x-upsert") == "true"
        check_key(name)
        bucket = await self._access.bucket(bucket_id)
        incoming = await self._open(request, bucket)
        target = (bucket_id, name)
        await try_write(
            self._access, request, caller, target, incoming.description, upsert=upsert, length=incoming.length
        )
        object_id = await self._receive(bucket, name, incoming, caller)
        return json_answer({"Key": f"{bucket_id}/{name}", "Id": object_id})

    async def sign(self, request: Request) -> Response:
        """POST of /object/upload/sign/{bucket}/{name}: returns a token for one upload within two hours."""
        caller = self._access.caller(request)
        bucket_id, name = request.path_params["bucket"], request.path_params["name"]
        upsert = request.headers.get("x-upsert") == "true"
        check_key(name)
        check_segments(bucket_id, name, "")
        await self._access.bucket(bucket_id)
        description = Description(user_metadata=metadata_header(request))
        await try_write(self._access, request, caller, (bucket_id, name), description, upsert=upsert)
        path, now = f"{bucket_id}/{name}", int(time.time())
        owner = {} if caller.owner_id is None else {"owner": caller.owner_id}
        lifetime = {"iat": now, "exp": now + _SIGNED_UPLOAD_SECONDS}
        token = self._access.keys.sign({**owner, "url": path, "upsert": upsert, "scope": "upload", **lifetime})
        return json_answer({"url": f"/object/upload/sign/{path}?token={token}", "token": token})

    async def upload_signed(self, request: Request) -> Response:
        """PUT of /object/upload/sign/{bucket}/{name}?token=…, with the signer's rights."""
        bucket_id, name = request.path_params["bucket"], request.path_params["name"]
        check_key(name)
        claims = self._access.signed_claims(request, f"{bucket_id}/{name}", "upload")
        bucket = await self._access.bucket(bucket_id)
        if not claims.get("upsert"):
            await self._refuse_existing(bucket_id, name)
        caller = Caller("authenticated", {"sub": claims.get("owner")})
        await self._receive(bucket, name, await self._open(request, bucket), caller)
        return json_answer({"Key": f"{bucket_id}/{name}"})

    async def _refuse_existing(self, bucket: str, name: str) -> None:
        try:
            await self._access.any_object(bucket, name)
        except StorageError:
            return
        raise duplicate()

    async def _open(self, request: Request, bucket: Bucket) -> Incoming:
        """Read up to the first byte of the object, and refuse announced values that are not allowed."""
        incoming = await _incoming(request)
        check_media_type(bucket, incoming.description.media_type)
        if incoming.length is not None and incoming.length > self._access.limit_of(bucket):
            raise too_large()
        return incoming

    async def _receive(self, bucket: Bucket, name: str, incoming: Incoming, caller: Caller) -> str:
        version = str(uuid.uuid4())
        check_segments(bucket.id, name, version)
        try:
            stored = await self._access.files.store(version, incoming.chunks, self._access.limit_of(bucket))
        except TooLarge as error:
            raise too_large() from error
        except MalformedUpload as error:
            raise invalid_request(str(error)) from error
        metadata = measured(stored, incoming.description)
        target, user_metadata = (bucket.id, name), incoming.description.user_metadata
        try:
            row = await write(self._access, caller, target, version, metadata, user_metadata)
        except BaseException:
            self._access.files.remove(version)
            raise
        return str(row["id"])


async def _incoming(request: Request) -> Incoming:
    content_type = request.headers.get("content-type", "")
    if content_type.startswith("multipart/form-data"):
        try:
            form = UploadForm(content_type, request.stream())
            part = await form.open()
        except MalformedUpload as error:
            raise invalid_request(str(error)) from error
        media_type = form.fields.get("contentType") or (part.media_type or "").partition(";")[0].strip()
        seconds = form.fields.get("cacheControl")
        description = Description(
            media_type or DEFAULT_MEDIA_TYPE,
            f"max-age={seconds}" if seconds else "no-cache",
            user_metadata_of(form.fields.get("metadata") or form.fields.get("userMetadata")),
        )
        return Incoming(form.body(), description)
    description = Description(
        content_type or DEFAULT_MEDIA_TYPE, request.headers.get("cache-control", "no-cache"), metadata_header(request)
    )
    length = request.headers.get("content-length", "")
    return Incoming(request.stream(), description, bigint(length) if length.isdecimal() else None)
