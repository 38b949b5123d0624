"""Middleware that checks the API key in front of the services, as Supabase's own gateway does."""

from __future__ import annotations

from starlette.datastructures import Headers, MutableHeaders, QueryParams
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from sentinel_local_supabase.json_answer import json_answer
from sentinel_local_supabase.keys import ProjectKeys
from sentinel_local_supabase.tokens import TokenRefused, verify

# Storage authenticates its callers itself, and Realtime's sockets pass their key as a parameter.
GUARDED = ("/rest/v1", "/auth/v1")
_OPAQUE = "Bearer sb_"
_PUBLIC = ("/auth/v1/health", "/auth/v1/.well-known/jwks.json")


class ApiKeyMiddleware:
    """Refuses requests without a valid `apikey`, and replaces a `sb_…` key with the JWT of its role."""

    def __init__(self, app: ASGIApp, keys: ProjectKeys) -> None:
        self._app = app
        self._keys = keys

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        key = headers.get("apikey") or QueryParams(scope["query_string"]).get("apikey")
        if self._is_guarded(scope["path"]) and (refusal := self._refusal(key)) is not None:
            await refusal(scope, receive, send)
            return
        await self._app(self._translated(scope, headers, key), receive, send)

    def _is_guarded(self, path: str) -> bool:
        return path.startswith(GUARDED) and path not in _PUBLIC

    def _refusal(self, key: str | None) -> Response | None:
        if key is None:
            hint = "No `apikey` request header or url param was found."
            return json_answer({"message": "No API key found in request", "hint": hint}, 401)
        if self._keys.role_of_opaque(key) is not None:
            return None
        try:
            verify(key, self._keys.jwt_secret, skew_seconds=float("inf"))
        except TokenRefused:
            hint = "Double check your Supabase `anon` or `service_role` API key."
            return json_answer({"message": "Invalid API key", "hint": hint}, 401)
        return None

    def _translated(self, scope: Scope, headers: Headers, key: str | None) -> Scope:
        authorization = headers.get("authorization")
        if authorization is not None and not authorization.startswith(_OPAQUE):
            return scope
        opaque = key if authorization is None else authorization.removeprefix("Bearer ")
        role = None if opaque is None else self._keys.role_of_opaque(opaque)
        if role is None:
            return scope
        changed = MutableHeaders(raw=list(scope["headers"]))
        changed["authorization"] = f"Bearer {self._keys.jwt_of_role(role)}"
        return {**scope, "headers": changed.raw}
