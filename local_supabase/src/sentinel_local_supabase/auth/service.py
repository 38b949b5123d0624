"""Sign-in: the supabase-auth endpoints that supabase-js and supabase-py use for passwords and anonymous users.

Nothing sends mail: every sign-up and address change counts as confirmed at once.
"""

from __future__ import annotations

import uuid
from collections.abc import Awaitable, Callable
from typing import Self

import psycopg
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from sentinel_local_supabase.auth import checks
from sentinel_local_supabase.auth.admin import Admin
from sentinel_local_supabase.auth.auth_errors import (
    AuthError,
    OAuthError,
    email_exists,
    error_answer,
    left_out,
    unstorable,
)
from sentinel_local_supabase.auth.caller import Callers
from sentinel_local_supabase.auth.sessions import Sessions
from sentinel_local_supabase.auth.users import EmailTaken, Row, Users, is_banned, user_body
from sentinel_local_supabase.database import DatabaseDown, Pool, PoolExhausted
from sentinel_local_supabase.json_answer import json_answer
from sentinel_local_supabase.keys import ProjectKeys

_METHODS = ["GET", "POST", "PUT", "PATCH", "DELETE"]

Endpoint = Callable[[Request], Awaitable[Response]]


class Auth:
    """The service behind /auth/v1: an async context manager; mount `routes` there while it is open.

    `dsn` logs in as supabase_auth_admin, `issuer` is this service's own URL, tokens live `access_seconds`.
    """

    def __init__(self, dsn: str, keys: ProjectKeys, *, issuer: str, access_seconds: int = 3600) -> None:
        self._pool = Pool(dsn, size=4)
        self._users = Users(self._pool)
        self._sessions = Sessions(self._pool, keys, issuer=issuer, access_seconds=access_seconds)
        self._callers = Callers(keys, self._users, self._sessions)
        admin = Admin(self._users, self._callers)
        table: list[tuple[str, str, Endpoint]] = [
            ("POST", "/signup", self._sign_up),
            ("POST", "/token", self._token),
            ("POST", "/logout", self._log_out),
            ("GET", "/user", self._get_user),
            ("PUT", "/user", self._put_user),
            ("POST", "/admin/users", admin.create),
            ("GET", "/admin/users", admin.list),
            ("GET", "/admin/users/{id}", admin.get),
            ("PUT", "/admin/users/{id}", admin.update),
            ("DELETE", "/admin/users/{id}", admin.delete),
            ("GET", "/settings", _settings),
            ("GET", "/health", _health),
            ("GET", "/.well-known/jwks.json", _jwks),
        ]
        routes = [Route(path, _answering(endpoint), methods=[method]) for method, path, endpoint in table]
        self.routes: list[BaseRoute] = [*routes, Route("/{path:path}", _answering(_absent), methods=_METHODS)]

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._pool.close()

    async def _sign_up(self, request: Request) -> Response:
        body = await checks.read_body(request)
        given, password = checks.text(body, "email"), checks.text(body, "password")
        metadata = checks.metadata(body, "data") or {}
        checks.no_phone(body)
        if not given:
            user = await self._users.create(email=None, password=None, user_metadata=metadata)
            return json_answer(await self._sessions.start(user["id"], "anonymous", _agent(request)))
        if not password:
            raise AuthError(400, "validation_failed", "Signup requires a valid password")
        checks.password(password)
        email, user_id = checks.email(given), str(uuid.uuid4())
        metadata |= {"sub": user_id, "email": email, "phone_verified": False}
        try:
            user = await self._users.create(email=email, password=password, user_metadata=metadata, user_id=user_id)
        except EmailTaken as error:
            raise AuthError(422, "user_already_exists", "User already registered") from error
        return json_answer(await self._sessions.start(user["id"], "password", _agent(request)))

    async def _token(self, request: Request) -> Response:
        body = await checks.read_body(request)
        match request.query_params.get("grant_type"):
            case "password":
                return json_answer(await self._by_password(body, _agent(request)))
            case "refresh_token":
                token = checks.text(body, "refresh_token")
                if not token:
                    raise OAuthError("invalid_request", "refresh_token required")
                return json_answer(await self._sessions.refresh(token))
            case "pkce" | "id_token" | "web3" as kind:
                raise left_out(f"grant type {kind}")
        raise AuthError(400, "invalid_credentials", "unsupported_grant_type")

    async def _by_password(self, body: checks.Body, agent: str) -> Row:
        email, password = checks.text(body, "email"), checks.text(body, "password")
        checks.no_phone(body)
        if not email:
            raise AuthError(400, "validation_failed", "missing email or phone")
        user = await self._users.by_email(email)
        if user is not None and user["encrypted_password"] is not None and is_banned(user):
            raise AuthError(400, "user_banned", "User is banned")
        if user is None or not await self._users.is_password(user, password):
            raise AuthError(400, "invalid_credentials", "Invalid login credentials")
        if user["email_confirmed_at"] is None:
            raise AuthError(400, "email_not_confirmed", "Email not confirmed")
        session = await self._sessions.start(user["id"], "password", agent)
        weakness = checks.weak_password(password)
        return session if weakness is None else session | {"weak_password": weakness}

    async def _log_out(self, request: Request) -> Response:
        user, session_id = await self._callers.user(request)
        scope = request.query_params.get("scope") or "global"
        if scope not in ("global", "local", "others"):
            raise AuthError(400, "validation_failed", f'Unsupported logout scope "{scope}"')
        await self._sessions.end(user["id"], session_id, scope)
        return Response(status_code=204)

    async def _get_user(self, request: Request) -> Response:
        user, _ = await self._callers.user(request)
        return json_answer(user_body(user))

    async def _put_user(self, request: Request) -> Response:
        user, session_id = await self._callers.user(request)
        body = await checks.read_body(request)
        checks.no_phone(body)
        given = checks.text(body, "email")
        email = checks.email(given) if given else None
        password = None if body.get("password") is None else checks.text(body, "password")
        await _check_change(self._users, user, body, email, password)
        moved = email is not None and email != user["email"]
        try:
            changed = await self._users.update(
                user["id"],
                email=email if moved else None,
                password=password,
                user_metadata=checks.metadata(body, "data"),
                confirmed=moved,
                permanent=moved,
                keep_session=session_id,
            )
        except EmailTaken as error:
            raise email_exists() from error
        return json_answer(user_body(changed))


async def _check_change(users: Users, user: Row, body: checks.Body, email: str | None, password: str | None) -> None:
    if password is not None:
        checks.password(password)
    if body.get("app_metadata") is not None:
        raise AuthError(403, "not_admin", "Updating app_metadata requires admin privileges")
    if password is None:
        return
    if user["is_anonymous"] and email is None:
        message = "Updating password of an anonymous user without an email or phone is not allowed"
        raise AuthError(422, "validation_failed", message)
    if await users.is_password(user, password):
        raise AuthError(422, "same_password", "New password should be different from the old password.")


async def _settings(_: Request) -> Response:
    external = {"email": True, "phone": False, "anonymous_users": True}
    return json_answer({"external": external, "disable_signup": False, "mailer_autoconfirm": True})


async def _health(_: Request) -> Response:
    return json_answer({"name": "GoTrue", "version": "local", "description": "Sentinel's local Supabase"})


async def _jwks(_: Request) -> Response:
    return json_answer({"keys": []})


async def _absent(request: Request) -> Response:
    raise left_out(request.url.path)


def _answering(endpoint: Endpoint) -> Endpoint:
    async def answer(request: Request) -> Response:
        try:
            return await endpoint(request)
        except (AuthError, OAuthError) as error:
            return error_answer(request, error)
        except psycopg.DataError as error:
            return error_answer(request, unstorable(error))
        except (DatabaseDown, PoolExhausted, psycopg.OperationalError):
            return error_answer(request, AuthError(500, "unexpected_failure", "Database error"))

    return answer


def _agent(request: Request) -> str:
    return request.headers.get("user-agent", "")
