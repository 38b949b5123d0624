"""Storage: the endpoints of Supabase Storage 1.70 that supabase-js and supabase-py use, on files and row security."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Self

import psycopg
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from sentinel_local_supabase.database import DatabaseDown, PoolExhausted
from sentinel_local_supabase.json_answer import json_answer
from sentinel_local_supabase.keys import ProjectKeys
from sentinel_local_supabase.storage.access import Access
from sentinel_local_supabase.storage.buckets import Buckets
from sentinel_local_supabase.storage.copies import Copies
from sentinel_local_supabase.storage.download import Downloads
from sentinel_local_supabase.storage.files import Files
from sentinel_local_supabase.storage.listing import Listings
from sentinel_local_supabase.storage.objects import Objects
from sentinel_local_supabase.storage.partials import Partials
from sentinel_local_supabase.storage.resumable import Resumable
from sentinel_local_supabase.storage.storage_errors import StorageError, from_database, internal, left_out
from sentinel_local_supabase.storage.tus import TusError
from sentinel_local_supabase.storage.upload import Uploads

DEFAULT_LIMIT_BYTES = 2 * 1024**3
_log = logging.getLogger(__name__)

_LEFT_OUT = (
    ("/render/image", "image transformation: ask for the object itself"),
    ("/s3", "S3 protocol: use the Storage API"),
    ("/iceberg", "analytics buckets"),
    ("/vector", "vector buckets"),
    ("/cdn", "CDN, so that nothing is to be purged"),
)
"""Folders of the real server's endpoints that are left out, and what they are."""

Endpoint = Callable[[Request], Awaitable[Response]]


class Storage:
    """The service behind /storage/v1: an async context manager; mount `routes` there while it is open.

    `caller_dsn` logs in as authenticator, `admin_dsn` as supabase_storage_admin. Objects are files below `folder`,
    of at most `limit_bytes` each.
    """

    def __init__(
        self,
        caller_dsn: str,
        admin_dsn: str,
        keys: ProjectKeys,
        folder: Path,
        *,
        limit_bytes: int = DEFAULT_LIMIT_BYTES,
    ) -> None:
        self._files = Files(folder)
        self._access = Access(caller_dsn, admin_dsn, keys, self._files, limit_bytes=limit_bytes)
        downloads, uploads = Downloads(self._access), Uploads(self._access)
        objects, buckets = Objects(self._access), Buckets(self._access)
        copies, listings = Copies(self._access), Listings(self._access)
        self._partials = Partials(folder / "resumable")
        self._resumable = Resumable(self._access, self._partials)
        an_object = "{bucket}/{name:path}"
        table: list[tuple[str, str, Endpoint]] = [
            ("GET", "/status", self._status),
            ("GET", "/health", self._health),
            ("GET", f"/object/info/authenticated/{an_object}", downloads.info),
            ("GET", f"/object/info/public/{an_object}", downloads.public_info),
            ("GET", f"/object/info/{an_object}", downloads.info),
            ("GET", f"/object/public/{an_object}", downloads.public),
            ("GET", f"/object/authenticated/{an_object}", downloads.authenticated),
            ("GET", f"/object/sign/{an_object}", downloads.signed),
            ("POST", f"/object/upload/sign/{an_object}", uploads.sign),
            ("PUT", f"/object/upload/sign/{an_object}", uploads.upload_signed),
            ("POST", f"/object/sign/{an_object}", objects.sign),
            ("POST", "/object/sign/{bucket}", objects.sign_many),
            ("POST", "/object/copy", copies.copy),
            ("POST", "/object/move", copies.move),
            ("POST", "/object/list/{bucket}", listings.level),
            ("POST", "/object/list-v2/{bucket}", listings.page),
            *self._resumable.table(),
            ("DELETE", "/object/{bucket}", objects.remove),
            ("GET", f"/object/{an_object}", downloads.plain),
            ("POST", f"/object/{an_object}", uploads.upload),
            ("PUT", f"/object/{an_object}", uploads.upload),
            ("DELETE", f"/object/{an_object}", objects.remove_one),
            ("POST", "/bucket", buckets.create),
            ("GET", "/bucket", buckets.list_all),
            ("GET", "/bucket/{bucket}", buckets.get),
            ("PUT", "/bucket/{bucket}", buckets.update),
            ("DELETE", "/bucket/{bucket}", buckets.delete),
            ("POST", "/bucket/{bucket}/empty", buckets.empty),
        ]
        every = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"]
        self.routes: list[BaseRoute] = [
            *(Route(path, _answering(endpoint), methods=[method]) for method, path, endpoint in table),
            *(Route(f"{path}/{{rest:path}}", _answering(_refusing(what)), methods=every) for path, what in _LEFT_OUT),
            Route("/{rest:path}", _unknown, methods=every),
        ]

    async def __aenter__(self) -> Self:
        self._files.prepare()
        self._partials.prepare()
        await self._resumable.finisher.sweep()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._access.close()

    async def _status(self, _: Request) -> Response:
        return Response(b"")

    async def _health(self, _: Request) -> Response:
        try:
            async with self._access.admin.connection():
                return json_answer({"healthy": True})
        except (DatabaseDown, PoolExhausted):
            return json_answer({"healthy": False})


def _answering(endpoint: Endpoint) -> Endpoint:
    async def answer(request: Request) -> Response:
        try:
            return await endpoint(request)
        except (StorageError, TusError) as error:
            refusal: StorageError | TusError = error
        except ClientDisconnect:
            return Response(status_code=499)
        except (DatabaseDown, PoolExhausted) as error:
            _log.info("no database: %s", error)
            refusal = internal()
        except psycopg.Error as error:
            refusal = from_database(error)
        await _drain(request)
        return refusal.response(head=request.method == "HEAD")

    return answer


async def _drain(request: Request) -> None:
    """Read the rest of the request: a client refused while it sends would see a reset, not the response."""
    try:
        async for _ in request.stream():
            pass
    except (ClientDisconnect, RuntimeError):
        return


def _refusing(what: str) -> Endpoint:
    async def refuse(_: Request) -> Response:
        raise left_out(what)

    return refuse


async def _unknown(request: Request) -> Response:
    path = request.url.path.removeprefix("/storage/v1")
    message = f"Route {request.method}:{path} not found"
    return json_answer({"message": message, "error": "Not Found", "statusCode": 404}, 404)
