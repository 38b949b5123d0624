"""Users of the local sign-in: rows of auth.users, and how supabase-auth presents them in response bodies."""

from __future__ import annotations

import asyncio
import json
import secrets
import uuid
from datetime import UTC, datetime
from typing import Any

import psycopg

from sentinel_local_supabase.auth.auth_errors import AuthError, user_not_found
from sentinel_local_supabase.auth.passwords import hash_password, verify_password
from sentinel_local_supabase.database import Connection, Pool, fetch_all, fetch_one
from sentinel_local_supabase.queries import load_queries

_QUERIES = load_queries("auth/users.sql")

Row = dict[str, Any]
_BCRYPT = "$2"


class EmailTaken(Exception):
    """Another user has this address."""


class Users:
    """Writes everything in auth.users except the time of a sign-in."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def create(
        self,
        *,
        email: str | None,
        password: str | None,
        user_metadata: Row,
        app_metadata: Row | None = None,
        user_id: str | None = None,
        role: str = "authenticated",
        confirmed: bool = True,
        banned_seconds: float = 0.0,
    ) -> Row:
        """Insert a user; without an email it is anonymous. Raises EmailTaken, or AuthError if the id is taken."""
        hashed = None if password is None else await asyncio.to_thread(hash_password, password)
        provider = {"provider": "email", "providers": ["email"]} if email else {}
        verified = {"email_verified": True} if email and confirmed else {}
        parameters = [
            user_id,
            email,
            hashed,
            bool(email) and confirmed,
            json.dumps(provider | (app_metadata or {})),
            json.dumps(user_metadata | verified),
            email is None,
            role,
            banned_seconds,
        ]
        return await self._written("insert_user", parameters)

    async def by_id(self, user_id: str) -> Row | None:
        """Return a user's row, or None if absent."""
        async with self._pool.connection() as connection:
            return await user_row(connection, user_id)

    async def by_email(self, email: str) -> Row | None:
        """Return the row of the user with this address, ignoring case."""
        async with self._pool.connection() as connection:
            return await _row(connection, "user_by_email", [email])

    async def is_password(self, user: Row, password: str) -> bool:
        """Return True if it is the user's password.

        A seed's hash of `crypt(…, gen_salt('bf'))` is checked by PostgreSQL, which takes a second or more, and
        replaced if it matches.
        """
        hashed = user["encrypted_password"]
        if hashed is None or not hashed.startswith(_BCRYPT):
            return hashed is not None and await asyncio.to_thread(verify_password, password, hashed)
        async with self._pool.connection() as connection:
            if await fetch_one(connection, _QUERIES["matches_crypt"], [password, hashed]) != (True,):
                return False
            quicker = await asyncio.to_thread(hash_password, password)
            await connection.execute(_QUERIES["replace_hash"].encode(), [user["id"], hashed, quicker])
        return True

    async def page(self, *, limit: int, offset: int) -> tuple[list[Row], int]:
        """Return a page of users, newest first, and the total number of users."""
        async with self._pool.connection() as connection:
            rows = await fetch_all(connection, _QUERIES["list_users"], [limit, offset])
            count = await fetch_one(connection, _QUERIES["count_users"], [])
        assert count is not None
        return [json.loads(row[0]) for row in rows], count[0]

    async def update(
        self,
        user_id: str,
        *,
        email: str | None = None,
        password: str | None = None,
        user_metadata: Row | None = None,
        app_metadata: Row | None = None,
        role: str | None = None,
        confirmed: bool = False,
        permanent: bool = False,
        banned_seconds: float | None = None,
        keep_session: str | None = None,
    ) -> Row:
        """Change the given fields; metadata is merged, and a null removes its key.

        `confirmed` marks the address as verified, `permanent` makes an anonymous user permanent, `banned_seconds` 0
        lifts a ban. A new password ends every session except `keep_session`. Raises EmailTaken and AuthError(404).
        """
        hashed = None if password is None else await asyncio.to_thread(hash_password, password)
        verified = {"email_verified": True} if confirmed else {}
        user_changes = None if user_metadata is None and not confirmed else json.dumps((user_metadata or {}) | verified)
        app_changes = None if app_metadata is None else json.dumps(app_metadata)
        parameters = [
            *(user_id, email, hashed, user_changes, app_changes),
            *(role, confirmed, permanent, banned_seconds),
        ]
        user = await self._written("update_user", parameters)
        if password is not None:
            async with self._pool.connection() as connection:
                await connection.execute(_QUERIES["end_sessions_but"].encode(), [user_id, keep_session])
        return user

    async def delete(self, user_id: str) -> None:
        """Delete a user and, by cascade, everything they own. Raises AuthError(404)."""
        async with self._pool.connection() as connection:
            if await fetch_one(connection, _QUERIES["delete_user"], [user_id]) is None:
                raise user_not_found()

    async def forget(self, user_id: str) -> None:
        """Soft-delete a user: the row stays without address, password and metadata; its sessions end."""
        async with self._pool.transaction() as connection:
            scrambled = secrets.token_urlsafe(32)
            if await fetch_one(connection, _QUERIES["forget_user"], [user_id, scrambled]) is None:
                raise user_not_found()
            await connection.execute(_QUERIES["end_sessions_but"].encode(), [user_id, None])

    async def _written(self, query: str, parameters: list[Any]) -> Row:
        try:
            async with self._pool.connection() as connection:
                row = await _row(connection, query, parameters)
        except psycopg.errors.UniqueViolation as error:
            if error.diag.constraint_name == "users_email":
                raise EmailTaken from error
            raise AuthError(500, "unexpected_failure", "Database error creating new user") from error
        if row is None:
            raise user_not_found()
        return row


async def user_row(connection: Connection, user_id: str) -> Row | None:
    """Return a user's row, None if absent."""
    return await _row(connection, "user_by_id", [user_id])


async def _row(connection: Connection, query: str, parameters: list[Any]) -> Row | None:
    row = await fetch_one(connection, _QUERIES[query], parameters)
    return None if row is None else dict(json.loads(row[0]))


def is_banned(user: Row) -> bool:
    """Return True if a user is currently banned."""
    until = user["banned_until"]
    return until is not None and datetime.fromisoformat(until) > datetime.now(UTC)


def user_body(user: Row) -> Row:
    """Return a user as supabase-auth presents it: without the password and without unset timestamps."""
    confirmed_at = user["email_confirmed_at"]
    times = {
        "email_confirmed_at": confirmed_at,
        "confirmed_at": confirmed_at,
        "last_sign_in_at": user["last_sign_in_at"],
        "banned_until": user["banned_until"],
        "deleted_at": user["deleted_at"],
    }
    return {
        "id": user["id"],
        "aud": user["aud"],
        "role": user["role"],
        "email": user["email"] or "",
        "phone": user.get("phone") or "",
        "app_metadata": user["raw_app_meta_data"],
        "user_metadata": user["raw_user_meta_data"],
        "identities": _identities(user),
        "created_at": user["created_at"],
        "updated_at": user["updated_at"],
        "is_anonymous": user["is_anonymous"],
    } | {name: time for name, time in times.items() if time is not None}


def _identities(user: Row) -> list[Row]:
    if not user["email"] or user["deleted_at"]:
        return []
    verified = user["email_confirmed_at"] is not None
    data = {"email": user["email"], "email_verified": verified, "phone_verified": False, "sub": user["id"]}
    return [
        {
            "identity_id": str(uuid.uuid5(uuid.UUID(user["id"]), "email")),
            "id": user["id"],
            "user_id": user["id"],
            "identity_data": data,
            "provider": "email",
            "email": user["email"],
            "last_sign_in_at": user["last_sign_in_at"],
            "created_at": user["created_at"],
            "updated_at": user["updated_at"],
        }
    ]
