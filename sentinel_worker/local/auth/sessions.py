"""Users, sessions and refresh tokens of the local sign-in, and the bodies that supabase-auth makes of them."""

from __future__ import annotations

import asyncio
import json
import secrets
import time
from typing import Any

import psycopg

from sentinel_worker.local.auth.passwords import hash_password, verify_password
from sentinel_worker.local.database import Connection, Pool, fetch_all, fetch_one
from sentinel_worker.local.keys import Keys
from sentinel_worker.local.queries import load_queries

# A refresh token may be used again for this long: two tabs refresh at the same time.
REUSE_SECONDS = 10.0
_QUERIES = load_queries("auth/sessions.sql")

Row = dict[str, Any]


class AuthError(Exception):
    """An answer in supabase-auth's error shape: HTTP status, error code, sentence."""

    def __init__(self, status: int, code: str, message: str, **more: object) -> None:
        super().__init__(message)
        self.status, self.code, self.message, self.more = status, code, message, more


class Sessions:
    """All that sign-in writes. `issuer` goes into every token, which lives `access_seconds`."""

    def __init__(self, dsn: str, keys: Keys, *, issuer: str, access_seconds: int) -> None:
        self._pool = Pool(dsn, size=4)
        self._keys = keys
        self._issuer = issuer
        self._access_seconds = access_seconds

    async def close(self) -> None:
        """Close the connections."""
        await self._pool.close()

    async def create_user(
        self,
        *,
        email: str | None,
        password: str | None,
        user_metadata: Row,
        app_metadata: Row | None = None,
        user_id: str | None = None,
        confirmed: bool = True,
    ) -> Row:
        """Insert a user, anonymous without an email. Raises AuthError where the email is taken."""
        hashed = None if password is None else await asyncio.to_thread(hash_password, password)
        provider = {"provider": "email", "providers": ["email"]} if email else {}
        parameters = [
            user_id,
            email,
            hashed,
            bool(email) and confirmed,
            json.dumps(provider | (app_metadata or {})),
            json.dumps(user_metadata),
            email is None,
        ]
        try:
            return await self._one("insert_user", parameters)
        except psycopg.errors.UniqueViolation as error:
            raise AuthError(422, "user_already_exists", "User already registered") from error

    async def user(self, user_id: str) -> Row | None:
        """The row of a user, None when absent."""
        async with self._pool.connection() as connection:
            return await _row(connection, "user_by_id", [user_id])

    async def users(self, *, limit: int, offset: int) -> list[Row]:
        """A page of users, newest first."""
        async with self._pool.connection() as connection:
            rows = await fetch_all(connection, _QUERIES["list_users"], [limit, offset])
        return [json.loads(row[0]) for row in rows]

    async def update_user(
        self,
        user_id: str,
        *,
        email: str | None = None,
        password: str | None = None,
        user_metadata: Row | None = None,
        app_metadata: Row | None = None,
    ) -> Row:
        """Change what is given; metadata are merged."""
        hashed = None if password is None else await asyncio.to_thread(hash_password, password)
        given = [None if one is None else json.dumps(one) for one in (user_metadata, app_metadata)]
        try:
            return await self._one("update_user", [user_id, email, hashed, *given])
        except psycopg.errors.UniqueViolation as error:
            message = "A user with this email address has already been registered"
            raise AuthError(422, "email_exists", message) from error

    async def delete_user(self, user_id: str) -> bool:
        """Delete a user and, by cascade, all that is theirs."""
        async with self._pool.connection() as connection:
            return await fetch_one(connection, _QUERIES["delete_user"], [user_id]) is not None

    async def by_password(self, email: str, password: str, user_agent: str) -> Row:
        """A session for the right email and password."""
        async with self._pool.connection() as connection:
            user = await _row(connection, "user_by_email", [email])
        hashed = (user or {}).get("encrypted_password")
        if user is None or hashed is None or not await asyncio.to_thread(verify_password, password, hashed):
            raise AuthError(400, "invalid_credentials", "Invalid login credentials")
        return await self.start(user["id"], "password", user_agent)

    async def start(self, user_id: str, method: str, user_agent: str) -> Row:
        """A new session, as the body of a sign-in."""
        token = secrets.token_urlsafe(24)
        async with self._pool.transaction() as connection:
            user = await _row(connection, "sign_in", [user_id])
            session = await fetch_one(connection, _QUERIES["insert_session"], [user_id, user_agent])
            assert user is not None
            assert session is not None
            await connection.execute(_QUERIES["insert_refresh_token"].encode(), [token, None, user_id, session[0]])
        return self._body(user, session[0], token, method)

    async def refresh(self, token: str) -> Row:
        """Exchange a refresh token for a new pair; a token used twice ends its session."""
        async with self._pool.transaction() as connection:
            taken = await fetch_one(connection, _QUERIES["take_refresh_token"], [token, REUSE_SECONDS])
            if taken is None:
                message = "Invalid Refresh Token: Refresh Token Not Found"
                raise AuthError(400, "refresh_token_not_found", message)
            revoked, recent, user_id, session_id = taken
            user = await _row(connection, "user_by_id", [user_id])
            assert user is not None
            if not revoked:
                fresh = secrets.token_urlsafe(24)
                await connection.execute(_QUERIES["revoke_refresh_token"].encode(), [token])
                await connection.execute(_QUERIES["insert_refresh_token"].encode(), [fresh, token, user_id, session_id])
                return self._body(user, session_id, fresh, "token_refresh")
            active = await fetch_one(connection, _QUERIES["active_refresh_token"], [session_id])
            if recent and active is not None:
                return self._body(user, session_id, active[0], "token_refresh")
            await connection.execute(_QUERIES["end_session"].encode(), [session_id])
        raise AuthError(400, "refresh_token_already_used", "Invalid Refresh Token: Already Used")

    async def exists(self, session_id: str) -> bool:
        """Whether a session was not ended yet."""
        async with self._pool.connection() as connection:
            return await fetch_one(connection, _QUERIES["session_exists"], [session_id]) is not None

    async def end(self, user_id: str, session_id: str, scope: str) -> None:
        """Sign out: `scope` is local (this session), others or global."""
        query, parameters = {
            "local": ("end_session", [session_id]),
            "others": ("end_other_sessions", [user_id, session_id]),
        }.get(scope, ("end_all_sessions", [user_id]))
        async with self._pool.connection() as connection:
            await connection.execute(_QUERIES[query].encode(), parameters)

    async def _one(self, query: str, parameters: list[Any]) -> Row:
        async with self._pool.connection() as connection:
            row = await _row(connection, query, parameters)
        if row is None:
            raise AuthError(404, "user_not_found", "User not found")
        return row

    def _body(self, user: Row, session_id: str, refresh_token: str, method: str) -> Row:
        now = int(time.time())
        claims = {
            "iss": self._issuer,
            "sub": user["id"],
            "aud": user["aud"],
            "exp": now + self._access_seconds,
            "iat": now,
            "email": user["email"] or "",
            "phone": "",
            "app_metadata": user["raw_app_meta_data"],
            "user_metadata": user["raw_user_meta_data"],
            "role": user["role"],
            "aal": "aal1",
            "amr": [{"method": method, "timestamp": now}],
            "session_id": session_id,
            "is_anonymous": user["is_anonymous"],
        }
        return {
            "access_token": self._keys.sign(claims),
            "token_type": "bearer",
            "expires_in": self._access_seconds,
            "expires_at": now + self._access_seconds,
            "refresh_token": refresh_token,
            "user": user_body(user),
        }


def user_body(user: Row) -> Row:
    """A user as supabase-auth shows it: without the password."""
    identity = {
        "identity_id": user["id"],
        "id": user["id"],
        "user_id": user["id"],
        "identity_data": {"email": user["email"], "email_verified": True, "sub": user["id"]},
        "provider": "email",
        "email": user["email"],
        "last_sign_in_at": user["last_sign_in_at"],
        "created_at": user["created_at"],
        "updated_at": user["updated_at"],
    }
    body = {
        "id": user["id"],
        "aud": user["aud"],
        "role": user["role"],
        "email": user["email"] or "",
        "phone": "",
        "app_metadata": user["raw_app_meta_data"],
        "user_metadata": user["raw_user_meta_data"],
        "identities": [identity] if user["email"] else [],
        "created_at": user["created_at"],
        "updated_at": user["updated_at"],
        "is_anonymous": user["is_anonymous"],
    }
    if user["email_confirmed_at"]:
        body |= {"email_confirmed_at": user["email_confirmed_at"], "confirmed_at": user["email_confirmed_at"]}
    if user["last_sign_in_at"]:
        body["last_sign_in_at"] = user["last_sign_in_at"]
    return body


async def _row(connection: Connection, query: str, parameters: list[Any]) -> Row | None:
    row = await fetch_one(connection, _QUERIES[query], parameters)
    return None if row is None else dict(json.loads(row[0]))
