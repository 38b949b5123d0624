"""Copying and moving objects: the caller's rights are checked first, and no bytes are read."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from typing import Any

import psycopg
from starlette.requests import Request
from starlette.responses import Response

from sentinel_local_supabase.database import fetch_one
from sentinel_local_supabase.json_answer import json_answer
from sentinel_local_supabase.storage.access import QUERIES, Access, Caller, StoredObject, check_key, check_segments
from sentinel_local_supabase.storage.body import flag, or_null, part, read_body, text
from sentinel_local_supabase.storage.rows import Description, metadata_header, now, try_write, write
from sentinel_local_supabase.storage.storage_errors import duplicate, internal, no_object

_WAY = {"sourceKey": text, "bucketId": text, "destinationKey": text, "destinationBucket": or_null(text)}
_COPY = _WAY | {
    "metadata": or_null(part({"cacheControl": text, "mimetype": text})),
    "copyMetadata": or_null(flag),
}


@dataclass(frozen=True, slots=True)
class Way:
    """Source and target of a copy or move, each (bucket, name)."""

    source: tuple[str, str]
    target: tuple[str, str]


class Copies:
    """Endpoints /object/copy and /object/move."""

    def __init__(self, access: Access) -> None:
        self._access = access

    async def copy(self, request: Request) -> Response:
        """POST of /object/copy: requires the rights to read the source and to upload to the target."""
        caller = self._access.caller(request)
        body = await read_body(request, _COPY, "sourceKey", "bucketId", "destinationKey")
        way = _way(body)
        source = await self._access.visible(request, caller, *way.source)
        metadata, user_metadata = _copied(request, body, source)
        description = Description(metadata["mimetype"], metadata["cacheControl"], user_metadata)
        upsert = request.headers.get("x-upsert") == "true"
        await try_write(self._access, request, caller, way.target, description, upsert=upsert, length=metadata["size"])
        version = await self._duplicate(source.version, way.target)
        metadata |= {"lastModified": now()}
        try:
            row = await write(self._access, caller, way.target, version, metadata, user_metadata)
        except BaseException:
            self._access.files.remove(version)
            raise
        return json_answer({"Key": "/".join(way.target), "Id": row["id"], **row})

    async def move(self, request: Request) -> Response:
        """POST of /object/move: requires the right to update the row to the new one. Raises NoSuchKey."""
        caller = self._access.caller(request)
        way = _way(await read_body(request, _WAY, "bucketId", "sourceKey", "destinationKey"))
        await self._try_move(request, caller, way)
        if way.source != way.target:
            source = await self._access.any_object(*way.source)
            version = await self._duplicate(source.version, way.target)
            try:
                await self._move(caller, way, source.version, version)
            except BaseException:
                self._access.files.remove(version)
                raise
            self._access.files.remove(source.version)
        return json_answer({"message": "Successfully moved"})

    async def _try_move(self, request: Request, caller: Caller, way: Way) -> None:
        parameters = [*way.source, *way.target, str(uuid.uuid4()), caller.owner, caller.owner_id]
        try:
            async with self._access.acting(request, caller) as connection:
                seen = await fetch_one(connection, QUERIES["object"], list(way.source))
                changed = await connection.execute(QUERIES["try_move"].encode(), parameters)
                if seen is None or changed.rowcount == 0:
                    raise no_object()
                raise psycopg.Rollback
        except psycopg.errors.UniqueViolation as error:
            raise duplicate("ResourceAlreadyExists") from error

    async def _move(self, caller: Caller, way: Way, old: str, new: str) -> None:
        """Rename the row. Raises NoSuchKey if its version is no longer `old`."""
        parameters = [*way.source, *way.target, new, caller.owner, caller.owner_id, now(), old]
        try:
            async with self._access.admin.transaction() as connection:
                row = await fetch_one(connection, QUERIES["move"], parameters)
        except psycopg.errors.UniqueViolation as error:
            raise duplicate("ResourceAlreadyExists") from error
        if row is None:
            raise no_object()

    async def _duplicate(self, version: str, target: tuple[str, str]) -> str:
        copy = str(uuid.uuid4())
        check_segments(*target, copy)
        try:
            await self._access.files.duplicate(version, copy)
        except FileNotFoundError as error:
            raise internal() from error
        return copy


def _way(body: dict[str, Any]) -> Way:
    bucket, target = body["bucketId"], body["destinationKey"]
    check_key(target)
    return Way((bucket, body["sourceKey"]), (body.get("destinationBucket") or bucket, target))


def _copied(request: Request, body: dict[str, Any], source: StoredObject) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return measured and user metadata of the copy: the source's, or the client's with `copyMetadata: false`."""
    metadata = dict(source.metadata)
    if body.get("copyMetadata") is not False:
        return metadata, source.user_metadata
    metadata |= body.get("metadata") or {}
    return metadata, metadata_header(request)
