"""Callers of Storage, and the transactions in which PostgreSQL checks their rights."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Literal

import psycopg
from starlette.requests import Request

from sentinel_local_supabase.database import Connection, Pool, fetch_one
from sentinel_local_supabase.keys import ProjectKeys
from sentinel_local_supabase.queries import load_queries
from sentinel_local_supabase.storage.files import Files
from sentinel_local_supabase.storage.storage_errors import (
    StorageError,
    bad_signature,
    denied,
    internal,
    invalid_key,
    invalid_request,
    no_bucket,
    no_object,
    token_words,
)
from sentinel_local_supabase.tokens import TokenRefused, verify

Scope = Literal["download", "upload"]
QUERIES = load_queries("storage/access.sql")
_BEARER = re.compile(r"^Bearer\s+", re.IGNORECASE)
# The real server's pattern for a uuid; a subject like 11111111-1111-… does not match.
_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-5][0-9a-f]{3}-[089ab][0-9a-f]{3}-[0-9a-f]{12}", re.IGNORECASE)
_KEY = re.compile(r"[\w/!.*'() &$@=;:+,?-]*", re.ASCII)
_KEY_BYTES = 1024


@dataclass(frozen=True, slots=True)
class Caller:
    """A caller: the role and claims of the request's token."""

    role: str
    claims: dict[str, Any]

    @property
    def owner_id(self) -> str | None:
        """The token's subject in any format."""
        subject = self.claims.get("sub")
        return subject if isinstance(subject, str) else None

    @property
    def owner(self) -> str | None:
        """The token's subject if it is a uuid."""
        subject = self.owner_id
        return subject if subject is not None and _UUID.fullmatch(subject) else None


@dataclass(frozen=True, slots=True)
class Bucket:
    """A bucket and its limits; None means that the server's limit applies."""

    id: str
    public: bool
    file_size_limit: int | None
    allowed_mime_types: list[str] | None


@dataclass(frozen=True, slots=True)
class StoredObject:
    """A row of storage.objects; `metadata` is measured by Storage, `user_metadata` sent by a client."""

    id: str
    name: str
    version: str
    bucket_id: str
    created_at: str
    metadata: dict[str, Any]
    user_metadata: dict[str, Any] = field(default_factory=dict)


class Access:
    """State shared by all of Storage: pools, keys, files, and the server's limit for one object in bytes."""

    def __init__(self, caller_dsn: str, admin_dsn: str, keys: ProjectKeys, files: Files, *, limit_bytes: int) -> None:
        self._callers = Pool(caller_dsn, size=6)
        self.admin = Pool(admin_dsn, size=6)
        self.keys = keys
        self.files = files
        self.limit_bytes = limit_bytes

    async def close(self) -> None:
        """Close the connections."""
        await self._callers.close()
        await self.admin.close()

    def caller(self, request: Request) -> Caller:
        """Return the caller of a path that requires a token. Raises InvalidRequest or AccessDenied."""
        if "authorization" not in request.headers:
            raise invalid_request("headers must have required property 'authorization'")
        return self.caller_of_token(request)

    def caller_of_token(self, request: Request) -> Caller:
        """Return the caller; a missing token is refused like a malformed one. Raises AccessDenied."""
        token = _BEARER.sub("", request.headers.get("authorization", ""), count=1)
        try:
            claims = verify(token, self.keys.jwt_secret)
        except TokenRefused as refused:
            raise denied(token_words(refused)) from refused
        return Caller(str(claims.get("role", "anon")), claims)

    def caller_if_any(self, request: Request) -> Caller | None:
        """Return the caller, or None if the token is absent or refused."""
        try:
            return self.caller(request)
        except StorageError:
            return None

    @asynccontextmanager
    async def acting(self, request: Request, caller: Caller) -> AsyncIterator[Connection]:
        """Open a transaction in which PostgreSQL sees the caller."""
        settings = {
            "search_path": "storage, public, extensions",
            "request.jwt.claims": json.dumps(caller.claims),
            "request.headers": json.dumps({name.lower(): value for name, value in request.headers.items()}),
            "request.method": request.method,
            "request.path": request.url.path.removeprefix("/storage/v1"),
            "storage.allow_delete_query": "true",
            "role": caller.role,
        }
        async with self._callers.transaction(settings) as connection:
            yield connection

    async def bucket(self, name: str) -> Bucket:
        """Return a bucket, read with all rights. Raises NoSuchBucket."""
        async with self.admin.connection() as connection:
            row = await fetch_one(connection, QUERIES["bucket"], [name])
        if row is None:
            raise no_bucket()
        return Bucket(row[0], bool(row[1]), row[2], row[3])

    async def visible(self, request: Request, caller: Caller, bucket: str, name: str) -> StoredObject:
        """Return the object as the caller sees it. Raises NoSuchKey, also if rights are missing."""
        check_key(name)
        try:
            async with self.acting(request, caller) as connection:
                row = await fetch_one(connection, QUERIES["object"], [bucket, name])
        except psycopg.errors.InsufficientPrivilege as error:
            if "set role" in (error.diag.message_primary or ""):
                raise
            raise no_object() from error
        if row is None:
            raise no_object()
        return StoredObject(**json.loads(row[0]))

    async def any_object(self, bucket: str, name: str) -> StoredObject:
        """Return the object, read with all rights: for public buckets and signed URLs. Raises NoSuchKey."""
        check_key(name)
        async with self.admin.connection() as connection:
            row = await fetch_one(connection, QUERIES["object"], [bucket, name])
        if row is None:
            raise no_object()
        return StoredObject(**json.loads(row[0]))

    def limit_of(self, bucket: Bucket) -> int:
        """Return the largest number of bytes for an object in the bucket."""
        return min(bucket.file_size_limit or self.limit_bytes, self.limit_bytes)

    def signed_claims(self, request: Request, path: str, scope: Scope) -> dict[str, Any]:
        """Return the claims of the `token` parameter if it was signed for `path` and `scope`."""
        token = request.query_params.get("token")
        if token is None:
            raise invalid_request("querystring must have required property 'token'")
        return self.signature_claims(token, path, scope)

    def signature_claims(self, token: str, path: str, scope: Scope) -> dict[str, Any]:
        """Return the claims of `token`, signed for `path` and `scope`. Raises InvalidJWT or InvalidSignature."""
        try:
            claims = verify(token, self.keys.jwt_secret)
        except TokenRefused as refused:
            raise StorageError("400", "InvalidJWT", "InvalidJWT", token_words(refused)) from refused
        if claims.get("scope") != scope:
            raise bad_signature(f"Token is not scoped for {scope}")
        if claims.get("url") != path:
            raise bad_signature()
        return claims


def check_key(name: str) -> None:
    """Check an object name for invalid characters. Raises InvalidKey."""
    if not name or _KEY.fullmatch(name) is None:
        raise invalid_key(name)
    if len(name.encode()) > _KEY_BYTES:
        raise internal()


def check_segments(bucket: str, name: str, version: str) -> None:
    """Check a new name for the segments `.` and `..`. Raises InvalidKey."""
    if any(segment in (".", "..") for segment in name.split("/")):
        raise invalid_key(f"local/{bucket}/{name}/{version} contains dot path segment")
