"""Identify the caller: the claims of the bearer token, and the user and session behind them."""

from __future__ import annotations

import uuid
from typing import Any

from starlette.requests import Request

from sentinel_local_supabase.auth.auth_errors import AuthError, bad_jwt
from sentinel_local_supabase.auth.sessions import Sessions
from sentinel_local_supabase.auth.users import Row, Users, is_banned
from sentinel_local_supabase.keys import ProjectKeys
from sentinel_local_supabase.tokens import TokenRefused, bearer, verify

_ADMIN_ROLES = ("service_role", "supabase_admin")


class Callers:
    """Identifies callers by their tokens. Every method raises AuthError if a token is not sufficient."""

    def __init__(self, keys: ProjectKeys, users: Users, sessions: Sessions) -> None:
        self._keys = keys
        self._users = users
        self._sessions = sessions

    def claims(self, request: Request) -> dict[str, Any]:
        """Return the claims of any token that this Supabase signed."""
        token = bearer(request.headers.get("authorization"))
        if token is None:
            raise AuthError(401, "no_authorization", "This endpoint requires a valid Bearer token")
        try:
            return verify(token, self._keys.jwt_secret)
        except TokenRefused as refused:
            raise bad_jwt(refused.fault) from refused

    async def user(self, request: Request) -> tuple[Row, str | None]:
        """Return the signed-in user and the id of their active session."""
        claims = self.claims(request)
        if not claims.get("sub"):
            raise AuthError(403, "bad_jwt", "invalid claim: missing sub claim")
        try:
            user_id = str(uuid.UUID(str(claims["sub"])))
        except ValueError as error:
            raise AuthError(400, "bad_jwt", "invalid claim: sub claim must be a UUID") from error
        user = await self._users.by_id(user_id)
        if user is None:
            raise AuthError(403, "user_not_found", "User from sub claim in JWT does not exist")
        session_id = await self._session(claims)
        if is_banned(user):
            raise AuthError(403, "user_banned", "User is banned")
        return user, session_id

    async def require_admin(self, request: Request) -> None:
        """Allow only a server's key or a signed-in administrator."""
        claims = self.claims(request)
        if claims.get("session_id"):
            await self.user(request)
        if claims.get("role") not in _ADMIN_ROLES:
            raise AuthError(403, "not_admin", "User not allowed")

    async def _session(self, claims: dict[str, Any]) -> str | None:
        named = claims.get("session_id")
        if not named:
            return None
        try:
            session_id = str(uuid.UUID(str(named)))
        except ValueError as error:
            raise AuthError(403, "bad_jwt", "invalid claim: session_id claim must be a UUID") from error
        if not await self._sessions.exists(session_id):
            raise AuthError(403, "session_not_found", "Session from session_id claim in JWT does not exist")
        return session_id
