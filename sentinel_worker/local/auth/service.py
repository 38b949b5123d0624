"""Sign-in: the paths of supabase-auth that supabase-js and supabase-py use with passwords and anonymously.

Every sign-up is confirmed at once: nothing here sends mail.
"""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Awaitable, Callable
from typing import Any, Self

import psycopg
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from sentinel_worker.local.auth.sessions import AuthError, Row, Sessions, user_body
from sentinel_worker.local.database import DatabaseDown, PoolExhausted
from sentinel_worker.local.json_answer import json_answer
from sentinel_worker.local.keys import Keys
from sentinel_worker.local.tokens import TokenRefused, bearer, verify

_API_VERSION = "2024-01-01"
_EMAIL = re.compile(r"[^@\s]+@[^@\s]+$")
_PASSWORD_LENGTH = 6
_PAGE = 50

Endpoint = Callable[[Request], Awaitable[Response]]


class Auth:
    """The service behind /auth/v1: mount `routes` there while it is entered.

    `dsn` logs in as supabase_auth_admin, `issuer` is this service's own URL, tokens live `access_seconds`.
    """

    def __init__(self, dsn: str, keys: Keys, *, issuer: str, access_seconds: int = 3600) -> None:
        self._keys = keys
        self._sessions = Sessions(dsn, keys, issuer=issuer, access_seconds=access_seconds)
        table: list[tuple[str, str, Endpoint]] = [
            ("POST", "/signup", self._sign_up),
            ("POST", "/token", self._token),
            ("POST", "/logout", self._log_out),
            ("GET", "/user", self._get_user),
            ("PUT", "/user", self._put_user),
            ("POST", "/admin/users", self._admin_create),
            ("GET", "/admin/users", self._admin_list),
            ("GET", "/admin/users/{id}", self._admin_get),
            ("PUT", "/admin/users/{id}", self._admin_update),
            ("DELETE", "/admin/users/{id}", self._admin_delete),
            ("GET", "/settings", self._settings),
            ("GET", "/health", self._health),
            ("GET", "/.well-known/jwks.json", self._jwks),
        ]
        self.routes: list[BaseRoute] = [
            Route(path, _answering(endpoint), methods=[method]) for method, path, endpoint in table
        ]

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._sessions.close()

    async def _sign_up(self, request: Request) -> Response:
        body = await _body(request)
        email, password = body.get("email"), body.get("password")
        metadata = body.get("data") or {}
        if not email and not password:
            user = await self._sessions.create_user(email=None, password=None, user_metadata=metadata)
            return json_answer(await self._sessions.start(user["id"], "anonymous", _agent(request)))
        _check_email(email)
        _check_password(password)
        user = await self._sessions.create_user(email=email, password=password, user_metadata=metadata)
        return json_answer(await self._sessions.start(user["id"], "password", _agent(request)))

    async def _token(self, request: Request) -> Response:
        body = await _body(request)
        match request.query_params.get("grant_type"):
            case "password":
                email, password = body.get("email"), body.get("password")
                if not isinstance(email, str) or not isinstance(password, str):
                    raise AuthError(400, "validation_failed", "missing email or phone")
                return json_answer(await self._sessions.by_password(email, password, _agent(request)))
            case "refresh_token":
                token = body.get("refresh_token")
                if not isinstance(token, str) or not token:
                    raise AuthError(400, "validation_failed", "refresh_token required")
                return json_answer(await self._sessions.refresh(token))
        raise AuthError(400, "invalid_request", "unsupported_grant_type")

    async def _log_out(self, request: Request) -> Response:
        claims = self._claims(request)
        scope = request.query_params.get("scope", "global")
        if scope not in ("global", "local", "others"):
            raise AuthError(400, "validation_failed", f"Unsupported logout scope {scope!r}")
        if claims.get("session_id"):
            await self._sessions.end(claims["sub"], claims["session_id"], scope)
        return Response(status_code=204)

    async def _get_user(self, request: Request) -> Response:
        return json_answer(user_body(await self._caller(request)))

    async def _put_user(self, request: Request) -> Response:
        user = await self._caller(request)
        return json_answer(user_body(await self._change(user["id"], await _body(request), "data")))

    async def _admin_create(self, request: Request) -> Response:
        self._require_admin(request)
        body = await _body(request)
        email = body.get("email")
        _check_email(email)
        if body.get("password") is not None:
            _check_password(body["password"])
        try:
            user = await self._sessions.create_user(
                email=email,
                password=body.get("password"),
                user_metadata=body.get("user_metadata") or {},
                app_metadata=body.get("app_metadata") or {},
                user_id=_uuid(body["id"]) if body.get("id") else None,
                confirmed=bool(body.get("email_confirm")),
            )
        except AuthError as error:
            message = "A user with this email address has already been registered"
            raise AuthError(422, "email_exists", message) from error
        return json_answer(user_body(user))

    async def _admin_list(self, request: Request) -> Response:
        self._require_admin(request)
        page = max(1, _number(request.query_params.get("page"), 1))
        size = max(1, _number(request.query_params.get("per_page"), _PAGE))
        users = await self._sessions.users(limit=size, offset=(page - 1) * size)
        return json_answer({"users": [user_body(user) for user in users], "aud": "authenticated"})

    async def _admin_get(self, request: Request) -> Response:
        self._require_admin(request)
        user = await self._sessions.user(_uuid(request.path_params["id"]))
        if user is None:
            raise AuthError(404, "user_not_found", "User not found")
        return json_answer(user_body(user))

    async def _admin_update(self, request: Request) -> Response:
        self._require_admin(request)
        user_id = _uuid(request.path_params["id"])
        return json_answer(user_body(await self._change(user_id, await _body(request), "user_metadata")))

    async def _admin_delete(self, request: Request) -> Response:
        self._require_admin(request)
        if not await self._sessions.delete_user(_uuid(request.path_params["id"])):
            raise AuthError(404, "user_not_found", "User not found")
        return json_answer({})

    async def _settings(self, _: Request) -> Response:
        external = {"email": True, "phone": False, "anonymous_users": True}
        return json_answer({"external": external, "disable_signup": False, "mailer_autoconfirm": True})

    async def _health(self, _: Request) -> Response:
        return json_answer({"name": "GoTrue", "version": "local", "description": "sentinel-worker local"})

    async def _jwks(self, _: Request) -> Response:
        return json_answer({"keys": []})

    async def _change(self, user_id: str, body: Row, metadata: str) -> Row:
        if body.get("email"):
            _check_email(body["email"])
        if body.get("password"):
            _check_password(body["password"])
        return await self._sessions.update_user(
            user_id,
            email=body.get("email") or None,
            password=body.get("password") or None,
            user_metadata=body.get(metadata),
            app_metadata=body.get("app_metadata") if metadata == "user_metadata" else None,
        )

    async def _caller(self, request: Request) -> Row:
        claims = self._claims(request)
        if not claims.get("sub"):
            raise AuthError(403, "bad_jwt", "invalid claim: missing sub claim")
        user = await self._sessions.user(_uuid(claims["sub"]))
        if user is None:
            raise AuthError(403, "user_not_found", "User from sub claim in JWT does not exist")
        session_id = claims.get("session_id")
        if session_id and not await self._sessions.exists(session_id):
            message = "Session from session_id claim in JWT does not exist"
            raise AuthError(403, "session_not_found", message)
        return user

    def _claims(self, request: Request) -> dict[str, Any]:
        token = bearer(request.headers.get("authorization"))
        if token is None:
            raise AuthError(401, "no_authorization", "This endpoint requires a valid Bearer token")
        try:
            return verify(token, self._keys.jwt_secret)
        except TokenRefused as refused:
            reason = "token is expired" if refused.fault == "expired" else "signature is invalid"
            message = f"invalid JWT: unable to parse or verify signature, {reason}"
            raise AuthError(403, "bad_jwt", message) from refused

    def _require_admin(self, request: Request) -> None:
        if self._claims(request).get("role") not in ("service_role", "supabase_admin"):
            raise AuthError(403, "not_admin", "User not allowed")


def _answering(endpoint: Endpoint) -> Endpoint:
    async def answer(request: Request) -> Response:
        try:
            return await endpoint(request)
        except AuthError as error:
            return _error_response(request, error)
        except (DatabaseDown, PoolExhausted, psycopg.OperationalError):
            return _error_response(request, AuthError(500, "unexpected_failure", "Database error"))

    return answer


def _error_response(request: Request, error: AuthError) -> Response:
    # Clients that name an API version read `code` as the error code; older ones as the HTTP status.
    if request.headers.get("x-supabase-api-version", "") >= _API_VERSION:
        body = {"code": error.code, "message": error.message, **error.more}
        return json_answer(body, error.status, {"X-Supabase-Api-Version": _API_VERSION})
    body = {"code": error.status, "error_code": error.code, "msg": error.message, **error.more}
    return json_answer(body, error.status)


async def _body(request: Request) -> dict[str, Any]:
    text = await request.body()
    try:
        parsed = json.loads(text or b"{}")
    except ValueError as error:
        raise AuthError(400, "bad_json", "Could not parse request body as JSON") from error
    if not isinstance(parsed, dict):
        raise AuthError(400, "bad_json", "Could not parse request body as JSON")
    return parsed


def _check_email(email: object) -> None:
    if not isinstance(email, str) or _EMAIL.match(email) is None:
        raise AuthError(400, "validation_failed", "Unable to validate email address: invalid format")


def _check_password(password: object) -> None:
    if not isinstance(password, str) or not password:
        raise AuthError(400, "validation_failed", "Signup requires a valid password")
    if len(password) < _PASSWORD_LENGTH:
        message = f"Password should be at least {_PASSWORD_LENGTH} characters."
        raise AuthError(422, "weak_password", message, weak_password={"reasons": ["length"]})


def _uuid(text: object) -> str:
    try:
        return str(uuid.UUID(str(text)))
    except ValueError as error:
        raise AuthError(404, "validation_failed", "user_id must be an UUID") from error


def _number(text: str | None, default: int) -> int:
    return int(text) if text is not None and text.isdigit() else default


def _agent(request: Request) -> str:
    return request.headers.get("user-agent", "")
