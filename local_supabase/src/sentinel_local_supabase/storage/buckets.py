"""Buckets: create, read, change, empty and delete, each with the caller's rights."""

from __future__ import annotations

import json
import re
from typing import Any

import psycopg
from starlette.requests import Request
from starlette.responses import Response

from sentinel_local_supabase.database import fetch_all, fetch_one
from sentinel_local_supabase.json_answer import json_answer
from sentinel_local_supabase.storage.access import QUERIES, Access
from sentinel_local_supabase.storage.body import flag, or_null, read_body, text, texts
from sentinel_local_supabase.storage.storage_errors import (
    StorageError,
    duplicate,
    invalid_request,
    left_out,
    no_bucket,
    too_large,
)

_NAME = re.compile(r"[\w!.*'() &$@=;:+,?-]{1,100}", re.ASCII)
_SIZE = re.compile(r"(\d{1,19}(?:\.\d{1,19})?)\s*([KMGT]?)(i?)B?", re.ASCII | re.IGNORECASE)
_STANDARD = "STANDARD"
_POWERS = {"": 0, "K": 1, "M": 2, "G": 3, "T": 4}
_LIMITS = {"public": flag, "file_size_limit": or_null(text), "allowed_mime_types": or_null(texts())}


class Buckets:
    """Endpoints below /bucket."""

    def __init__(self, access: Access) -> None:
        self._access = access

    async def create(self, request: Request) -> Response:
        """POST of /bucket."""
        caller = self._access.caller(request)
        body = await read_body(request, {"name": text, "id": text, "type": text, **_LIMITS}, "name")
        if body.get("type", _STANDARD) != _STANDARD:
            raise left_out(f"buckets of the type {body['type']}")
        name = body.get("id") or body["name"]
        check_bucket_name(name)
        parameters = [
            *(name, name, caller.owner, caller.owner_id, body.get("public", False)),
            *(self._size(body.get("file_size_limit")), body.get("allowed_mime_types")),
        ]
        try:
            async with self._access.acting(request, caller) as connection:
                await connection.execute(QUERIES["create_bucket"].encode(), parameters)
        except psycopg.errors.UniqueViolation as error:
            raise duplicate("BucketAlreadyExists") from error
        return json_answer({"name": name})

    async def get(self, request: Request) -> Response:
        """GET of /bucket/{bucket}. Raises NoSuchBucket."""
        row = await self._one(request, "get_bucket", [request.path_params["bucket"]])
        return json_answer(json.loads(row[0]))

    async def list_all(self, request: Request) -> Response:
        """GET of /bucket."""
        return json_answer(json.loads((await self._one(request, "list_buckets", []))[0]))

    async def update(self, request: Request) -> Response:
        """PUT of /bucket/{bucket}: what the body leaves out stays as it is. Raises NoSuchBucket."""
        body = await read_body(request, _LIMITS)
        if not body:
            raise invalid_request("body must NOT have fewer than 1 properties")
        parameters = [
            *(request.path_params["bucket"], body.get("public")),
            *("file_size_limit" in body, self._size(body.get("file_size_limit"))),
            *("allowed_mime_types" in body, body.get("allowed_mime_types")),
        ]
        await self._one(request, "update_bucket", parameters)
        return json_answer({"message": "Successfully updated"})

    async def empty(self, request: Request) -> Response:
        """POST of /bucket/{bucket}/empty. Raises NoSuchBucket, also if the caller may not see the bucket."""
        await self._one(request, "get_bucket", [request.path_params["bucket"]])
        caller = self._access.caller(request)
        async with self._access.acting(request, caller) as connection:
            rows = await fetch_all(connection, QUERIES["empty_bucket"], [request.path_params["bucket"]])
        for (version,) in rows:
            self._access.files.remove(version)
        return json_answer({"message": "Empty bucket has been queued. Completion may take up to an hour."})

    async def delete(self, request: Request) -> Response:
        """DELETE of /bucket/{bucket}. Raises NoSuchBucket and ResourceNotEmpty."""
        bucket = request.path_params["bucket"]
        async with self._access.admin.connection() as connection:
            used = await fetch_one(connection, QUERIES["bucket_is_used"], [bucket])
        if used == (True,):
            message = "The bucket you tried to delete is not empty"
            raise StorageError("409", "ResourceNotEmpty", "ResourceNotEmpty", message)
        await self._one(request, "delete_bucket", [bucket])
        return json_answer({"message": "Successfully deleted"})

    async def _one(self, request: Request, query: str, parameters: list[Any]) -> Any:
        caller = self._access.caller(request)
        async with self._access.acting(request, caller) as connection:
            row = await fetch_one(connection, QUERIES[query], parameters)
        if row is None:
            raise no_bucket()
        return row

    def _size(self, value: str | None) -> int | None:
        """Parse a limit into bytes: 5MB is 5,000,000, 5MiB is 5,242,880. Raises EntityTooLarge above the server's."""
        if value is None:
            return None
        found = _SIZE.fullmatch(value)
        if found is None:
            raise invalid_request("body/file_size_limit must be a size")
        size = int(float(found[1]) * (1024 if found[3] else 1000) ** _POWERS[found[2].upper()])
        if size > self._access.limit_bytes:
            raise too_large()
        return size


def check_bucket_name(name: str) -> None:
    """Check a bucket name. Raises InvalidBucketName."""
    if _NAME.fullmatch(name) is None or name != name.strip():
        raise StorageError("400", "Invalid Input", "InvalidBucketName", "Bucket name invalid")
