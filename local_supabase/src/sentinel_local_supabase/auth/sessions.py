"""Sessions and refresh tokens of the local sign-in, and the access tokens that represent them."""

from __future__ import annotations

import json
import secrets
import time

from sentinel_local_supabase.auth.auth_errors import AuthError
from sentinel_local_supabase.auth.users import Row, is_banned, user_body, user_row
from sentinel_local_supabase.database import Connection, Pool, fetch_all, fetch_one
from sentinel_local_supabase.keys import ProjectKeys
from sentinel_local_supabase.queries import load_queries

# A refresh token may be reused for this long: two tabs can refresh at the same time.
REUSE_SECONDS = 10.0
_QUERIES = load_queries("auth/sessions.sql")


class Sessions:
    """Starts, renews and ends sessions. Every token carries `issuer` and is valid for `access_seconds`."""

    def __init__(self, pool: Pool, keys: ProjectKeys, *, issuer: str, access_seconds: int) -> None:
        self._pool = pool
        self._keys = keys
        self._issuer = issuer
        self._access_seconds = access_seconds

    async def start(self, user_id: str, method: str, user_agent: str) -> Row:
        """Start a session; return the response body of a sign-in by `method`."""
        async with self._pool.transaction() as connection:
            signed = await fetch_one(connection, _QUERIES["sign_in"], [user_id])
            session = await fetch_one(connection, _QUERIES["insert_session"], [user_id, user_agent])
            assert signed is not None
            assert session is not None
            await connection.execute(_QUERIES["insert_method"].encode(), [session[0], method])
            token = await _new_token(connection, None, user_id, session[0])
            return await self._body(connection, json.loads(signed[0]), session[0], token)

    async def refresh(self, token: str) -> Row:
        """Exchange a refresh token for a new pair.

        The token before the current one is always accepted (its response may have been lost). Older ones are accepted
        for some seconds (two tabs refresh at once); later reuse counts as theft and revokes all tokens of the session.
        """
        async with self._pool.transaction() as connection:
            taken = await fetch_one(connection, _QUERIES["take_refresh_token"], [token, REUSE_SECONDS])
            if taken is None:
                message = "Invalid Refresh Token: Refresh Token Not Found"
                raise AuthError(400, "refresh_token_not_found", message)
            revoked, recent, user_id, session_id = taken
            user = await user_row(connection, user_id)
            assert user is not None
            if is_banned(user):
                raise AuthError(400, "user_banned", "Invalid Refresh Token: User Banned")
            active = await fetch_one(connection, _QUERIES["active_refresh_token"], [session_id]) if revoked else None
            if active is not None and active[1] == token:
                return await self._body(connection, user, session_id, active[0])
            if not revoked or recent:
                await connection.execute(_QUERIES["revoke_refresh_token"].encode(), [token])
                await connection.execute(_QUERIES["touch_session"].encode(), [session_id])
                fresh = await _new_token(connection, token, user_id, session_id)
                return await self._body(connection, user, session_id, fresh)
            await connection.execute(_QUERIES["revoke_session"].encode(), [session_id])
        raise AuthError(400, "refresh_token_already_used", "Invalid Refresh Token: Already Used")

    async def exists(self, session_id: str) -> bool:
        """Return True if a session has not ended."""
        async with self._pool.connection() as connection:
            return await fetch_one(connection, _QUERIES["session_exists"], [session_id]) is not None

    async def end(self, user_id: str, session_id: str | None, scope: str) -> None:
        """Sign out. `scope` is local (this session), others or global; a token without a session is always global."""
        query, parameters = "end_all_sessions", [user_id]
        if session_id is not None and scope == "local":
            query, parameters = "end_session", [session_id]
        elif session_id is not None and scope == "others":
            query, parameters = "end_other_sessions", [user_id, session_id]
        async with self._pool.connection() as connection:
            await connection.execute(_QUERIES[query].encode(), parameters)

    async def _body(self, connection: Connection, user: Row, session_id: str, refresh_token: str) -> Row:
        methods = await fetch_all(connection, _QUERIES["methods"], [session_id])
        now = int(time.time())
        claims = {
            "iss": self._issuer,
            "sub": user["id"],
            "aud": user["aud"],
            "exp": now + self._access_seconds,
            "iat": now,
            "email": user["email"] or "",
            "phone": user.get("phone") or "",
            "app_metadata": user["raw_app_meta_data"],
            "user_metadata": user["raw_user_meta_data"],
            "role": user["role"],
            "aal": "aal1",
            "amr": [{"method": method, "timestamp": timestamp} for method, timestamp in methods],
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


async def _new_token(connection: Connection, parent: str | None, user_id: str, session_id: str) -> str:
    token = secrets.token_urlsafe(24)
    await connection.execute(_QUERIES["insert_refresh_token"].encode(), [token, parent, user_id, session_id])
    return token
