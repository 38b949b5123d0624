"""Resumable uploads: created once, sent in pieces over any number of connections, made an object at the last byte."""

from __future__ import annotations

import re
import time
import uuid
from collections.abc import Awaitable, Callable

import psycopg
from starlette.requests import Request
from starlette.responses import Response

from sentinel_local_supabase.json_input import bigint
from sentinel_local_supabase.storage import tus
from sentinel_local_supabase.storage.access import Access, Caller, check_key, check_segments
from sentinel_local_supabase.storage.buckets import check_bucket_name
from sentinel_local_supabase.storage.partials import Partials, Upload
from sentinel_local_supabase.storage.rows import check_media_type, try_write
from sentinel_local_supabase.storage.storage_errors import StorageError, bad_signature, from_database
from sentinel_local_supabase.storage.tus import TusError
from sentinel_local_supabase.storage.upload_completion import Finisher, described
from sentinel_local_supabase.storage.upload_locks import HeldLock, UploadLocks

_WHOLE_NUMBER = re.compile(r"-?\d+")

Endpoint = Callable[[Request], Awaitable[Response]]
Step = Callable[[Request, Caller | None], Awaitable[Response]]


class Resumable:
    """Endpoints below /upload/resumable; those below …/sign take a signed token instead of a session."""

    def __init__(self, access: Access, partials: Partials) -> None:
        self._access = access
        self._partials = partials
        self._locks = UploadLocks()
        self.finisher = Finisher(access, partials, self._locks)

    def table(self) -> list[tuple[str, str, Endpoint]]:
        """Return method, path and endpoint of each."""
        rows: list[tuple[str, str, Endpoint]] = []
        for base, signed in (("/upload/resumable/sign", True), ("/upload/resumable", False)):
            create = self._served(self._create, signed=signed)
            rows += [("POST", base, create), ("POST", f"{base}/", create)]
            rows += [("OPTIONS", path, self._options) for path in (base, f"{base}/", f"{base}/{{id}}")]
            steps = {"HEAD": self._head, "PATCH": self._patch, "DELETE": self._terminate}
            rows += [(method, f"{base}/{{id}}", self._served(step, signed=signed)) for method, step in steps.items()]
        return rows

    def _served(self, step: Step, *, signed: bool) -> Endpoint:
        async def serve(request: Request) -> Response:
            # Only a refused token is reported as JSON, like Storage's other errors.
            caller = None if signed else self._access.caller_of_token(request)
            try:
                tus.check_headers(request)
                return await step(request, caller)
            except StorageError as error:
                raise _worded(error) from error
            except psycopg.Error as error:
                raise _worded(from_database(error)) from error

        return serve

    async def _options(self, _: Request) -> Response:
        maximum = str(self._access.limit_bytes)
        return tus.answer(204, {"Tus-Version": tus.VERSION, "Tus-Extension": tus.EXTENSIONS, "Tus-Max-Size": maximum})

    async def _create(self, request: Request, caller: Caller | None) -> Response:
        """POST: respond with the URL of the upload; a body, if any, is its beginning."""
        upload = _announced(request)
        limit = await self._limit(upload.bucket)
        if upload.size is not None and upload.size > limit:
            raise TusError(413, "Maximum size exceeded\n")
        caller = await self._allowed(request, caller, upload)
        if (media_type := upload.metadata.get("contentType")) is not None:
            check_media_type(await self._access.bucket(upload.bucket), media_type)
        check_segments(upload.bucket, upload.name, upload.version)
        await self.finisher.sweep_now_and_then()
        await self._partials.create(upload.owned(caller.owner_id))
        url = tus.location(request, tus.encode_id(upload.bucket, upload.name, upload.version))
        headers, offset = {"Location": url}, 0
        async with self._locks.acquire(upload.version) as lock:
            if request.headers.get("content-type") == tus.BODY_TYPE:
                offset = await self._receive(request, upload, 0, _room(request, upload, 0, limit), lock)
                headers["Upload-Offset"] = str(offset)
            if offset == upload.size:
                await self.finisher.finish(upload, caller)
                headers["Tus-Complete"] = "1"
        return tus.answer(201, headers)

    async def _head(self, request: Request, caller: Caller | None) -> Response:
        """HEAD: respond with the offset. Waits for a running PATCH."""
        bucket, name, version = tus.decode_id(request.path_params["id"])
        if caller is None:
            self._signer(request, bucket, name)
        async with self._locks.acquire(version):
            upload, offset = await self.finisher.find(bucket, name, version)
        length = {"Upload-Defer-Length": "1"} if upload.size is None else {"Upload-Length": str(upload.size)}
        metadata = {"Upload-Metadata": tus.format_metadata(upload.metadata)}
        return tus.answer(200, {"Cache-Control": "no-store", "Upload-Offset": str(offset), **length, **metadata})

    async def _patch(self, request: Request, caller: Caller | None) -> Response:
        """PATCH: receive the next bytes. Bytes before a lost connection are kept; the last byte makes the object."""
        bucket, name, version = tus.decode_id(request.path_params["id"])
        if "upload-offset" not in request.headers:
            raise TusError(403, "Upload-Offset header required\n")
        if "content-type" not in request.headers:
            raise TusError(403, "Content-Type header required\n")
        caller = await self._allowed(request, caller, await self.finisher.known(bucket, name, version))
        limit = await self._limit(bucket)
        async with self._locks.acquire(version) as lock:
            upload, offset = await self.finisher.find(bucket, name, version)
            if offset != bigint(request.headers["upload-offset"]):
                raise TusError(409, "Upload-Offset conflict\n")
            upload = await self._sized(request, upload, offset, limit)
            room = _room(request, upload, offset, limit)
            if not upload.complete:
                offset = await self._receive(request, upload, offset, room, lock)
                if offset == upload.size:
                    await self.finisher.finish(upload, caller)
            headers = {"Upload-Offset": str(offset)}
            if offset == upload.size:
                headers["Tus-Complete"] = "1"
            if lock.is_over:
                headers["Connection"] = "close"
        return tus.answer(204, headers)

    async def _terminate(self, request: Request, caller: Caller | None) -> Response:
        """DELETE: remove an unfinished upload."""
        bucket, name, version = tus.decode_id(request.path_params["id"])
        await self._allowed(request, caller, await self.finisher.known(bucket, name, version))
        async with self._locks.acquire(version):
            upload, offset = await self.finisher.find(bucket, name, version)
            if offset == upload.size:
                raise TusError(400, "Cannot terminate an already completed upload")
            await self._partials.remove(version)
        return tus.answer(204, {})

    async def _allowed(self, request: Request, caller: Caller | None, upload: Upload) -> Caller:
        """Return the caller if they may send the upload's bytes, the signer if there is none."""
        if caller is None:
            return self._signer(request, upload.bucket, upload.name)
        target, upsert = (upload.bucket, upload.name), request.headers.get("x-upsert") == "true"
        await try_write(self._access, request, caller, target, described(upload), upsert=upsert, length=upload.size)
        return caller

    def _signer(self, request: Request, bucket: str, name: str) -> Caller:
        signature = request.headers.get("x-signature")
        if not signature:
            raise bad_signature("Missing x-signature header")
        claims = self._access.signature_claims(signature, f"{bucket}/{name}", "upload")
        return Caller("service_role", {"sub": claims.get("owner")})

    async def _limit(self, bucket: str) -> int:
        return self._access.limit_of(await self._access.bucket(bucket))

    async def _sized(self, request: Request, upload: Upload, offset: int, limit: int) -> Upload:
        """Return the upload with its deferred length, if this request has it."""
        if "upload-length" not in request.headers:
            return upload
        size = bigint(request.headers["upload-length"])
        if upload.size is not None or size < offset:
            raise _no_length()
        if size > limit:
            raise TusError(413, "Maximum size exceeded\n")
        upload = upload.sized(size)
        await self._partials.save(upload)
        return upload

    async def _receive(self, request: Request, upload: Upload, offset: int, room: int, lock: HeldLock) -> int:
        """Append at most `room` bytes of the body as they arrive; return the new offset."""
        chunks = request.stream()
        async with self._partials.appending(upload.version) as append:
            while (chunk := await lock.next_of(chunks)) is not None:
                room -= len(chunk)
                if room < 0:
                    raise TusError(413, "Maximum size exceeded\n")
                await append(chunk)
                offset += len(chunk)
        return offset


def _announced(request: Request) -> Upload:
    """Return the upload that a POST creates."""
    headers = request.headers
    if "upload-concat" in headers:
        message = "Concatenation extension is not (yet) supported. Disable parallel uploads in the tus client.\n"
        raise TusError(501, message)
    if ("upload-length" in headers) == ("upload-defer-length" in headers):
        raise _no_length()
    if "upload-metadata" not in headers:
        raise TusError(400, "Metadata header is required")
    metadata = tus.parse_metadata(headers["upload-metadata"])
    seconds = metadata.get("cacheControl") or ""
    metadata["cacheControl"] = f"max-age={seconds}" if _WHOLE_NUMBER.fullmatch(seconds) else "no-cache"
    bucket, name = metadata.get("bucketName") or "", metadata.get("objectName") or ""
    check_bucket_name(bucket)
    check_key(name)
    size = bigint(headers["upload-length"]) if "upload-length" in headers else None
    return Upload(str(uuid.uuid4()), bucket, name, size, metadata, None, time.time())


def _room(request: Request, upload: Upload, offset: int, limit: int) -> int:
    """Return the number of bytes this body may have. Raises TusError if it announces more."""
    length = int(request.headers.get("content-length", "0"))
    room = (limit if upload.size is None else upload.size) - offset
    if length > room:
        raise TusError(413, "upload's size exceeded\n")
    return room


def _no_length() -> TusError:
    return TusError(400, "Upload-Length or Upload-Defer-Length header required\n")


def _worded(error: StorageError) -> TusError:
    return TusError(int(error.body["statusCode"]), error.body["message"])
