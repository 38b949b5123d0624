"""Rows of storage.objects: a trial write with the caller's rights before an upload, and the write after it."""

from __future__ import annotations

import base64
import json
import re
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import psycopg
from starlette.requests import Request

from sentinel_local_supabase.database import fetch_one
from sentinel_local_supabase.json_input import NotJson, parse_json
from sentinel_local_supabase.storage.access import QUERIES, Access, Bucket, Caller
from sentinel_local_supabase.storage.files import Stored
from sentinel_local_supabase.storage.storage_errors import StorageError, invalid_request

DEFAULT_MEDIA_TYPE = "application/octet-stream"
_HEADER = re.compile("[\\t\\x20-\\x7e\\x80-\\xff]*")
# Writers of the same name take turns, so that each sees the version it replaces.
_TAKE_TURNS = b"select pg_advisory_xact_lock(hashtextextended($1::text, 0))"


@dataclass(frozen=True, slots=True)
class Description:
    """A client's description of an object: media type, Cache-Control, and custom metadata."""

    media_type: str = DEFAULT_MEDIA_TYPE
    cache_control: str = "no-cache"
    user_metadata: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Check that download headers can carry the values. Raises InvalidRequest."""
        for name, value in (("media type", self.media_type), ("Cache-Control", self.cache_control)):
            if _HEADER.fullmatch(value) is None:
                raise invalid_request(f"the {name} has characters that no header may have")


async def try_write(
    access: Access,
    request: Request,
    caller: Caller,
    target: tuple[str, str],
    description: Description,
    *,
    upsert: bool,
    length: int | None = None,
) -> None:
    """Write the row of `target` (bucket, name) as the caller and roll it back, to check their rights.

    `length` is the object's size in bytes if known, as policies may read it. Raises PostgreSQL's errors: missing
    rights, row security, the name exists.
    """
    metadata = {"mimetype": description.media_type} | ({} if length is None else {"contentLength": length})
    parameters = [
        *(*target, caller.owner, caller.owner_id, "1"),
        *(json.dumps(metadata), json.dumps(description.user_metadata)),
    ]
    async with access.acting(request, caller) as connection:
        await connection.execute(QUERIES["try_upsert" if upsert else "try_insert"].encode(), parameters)
        raise psycopg.Rollback


async def write(
    access: Access, caller: Caller, target: tuple[str, str], version: str, metadata: dict[str, Any], user_metadata: Any
) -> dict[str, Any]:
    """Make `version` the object at `target` (bucket, name), with all rights, and return the new row."""
    parameters = [
        *(*target, caller.owner, caller.owner_id, version),
        *(json.dumps(metadata), json.dumps(user_metadata)),
    ]
    async with access.admin.transaction() as connection:
        await connection.execute(_TAKE_TURNS, ["/".join(target)])
        before = await fetch_one(connection, QUERIES["current_version"], list(target))
        row = await fetch_one(connection, QUERIES["finish_upload"], parameters)
    assert row is not None
    if before is not None and before[0] != version:
        access.files.remove(before[0])
    written: dict[str, Any] = json.loads(row[0])
    return written


def measured(stored: Stored, description: Description) -> dict[str, Any]:
    """Return the column `metadata` of a complete file."""
    return {
        "eTag": f'"{stored.md5}"',
        "size": stored.size,
        "mimetype": description.media_type,
        "cacheControl": description.cache_control,
        "lastModified": now(),
        "contentLength": stored.size,
        "httpStatusCode": 200,
    }


def now() -> str:
    """Return the current time in Storage's format."""
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def user_metadata_of(text: str | None) -> dict[str, Any]:
    """Parse a JSON object that a client sent; anything else becomes an empty object."""
    try:
        parsed = parse_json(text or "{}")
    except NotJson:
        return {}
    return parsed if isinstance(parsed, dict) else {}


def metadata_header(request: Request) -> dict[str, Any]:
    """Return the user metadata of the header `x-metadata`: JSON in base64."""
    try:
        return user_metadata_of(base64.b64decode(request.headers.get("x-metadata", "")).decode())
    except ValueError:  # not base64, or not text
        return {}


def check_media_type(bucket: Bucket, media_type: str) -> None:
    """Check a media type against the bucket's list, whose entries may end in `/*`. Raises InvalidMimeType."""
    allowed = bucket.allowed_mime_types
    kind = media_type.partition("/")[0]
    if allowed and ("/" not in media_type or not {media_type, f"{kind}/*"} & set(allowed)):
        message = f"mime type {media_type} is not supported"
        raise StorageError("415", "invalid_mime_type", "InvalidMimeType", message)
