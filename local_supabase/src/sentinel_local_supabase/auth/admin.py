"""User administration with a server's key: create, list, read, change, ban, delete."""

from __future__ import annotations

import secrets
import uuid
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import Response

from sentinel_local_supabase.auth import checks
from sentinel_local_supabase.auth.auth_errors import AuthError, email_exists, user_not_found
from sentinel_local_supabase.auth.caller import Callers
from sentinel_local_supabase.auth.users import EmailTaken, Row, Users, user_body
from sentinel_local_supabase.json_answer import json_answer

_PAGE = 50


class Admin:
    """Endpoints below /admin/users."""

    def __init__(self, users: Users, callers: Callers) -> None:
        self._users = users
        self._callers = callers

    async def create(self, request: Request) -> Response:
        """POST /admin/users."""
        await self._callers.require_admin(request)
        body = await checks.read_body(request)
        checks.no_phone(body)
        given = checks.text(body, "email")
        if not given:
            raise AuthError(400, "validation_failed", "Cannot create a user without either an email or phone")
        try:
            user = await self._users.create(
                email=checks.email(given),
                password=checks.text(body, "password") or secrets.token_urlsafe(48),
                user_metadata=checks.metadata(body, "user_metadata") or {},
                app_metadata=checks.metadata(body, "app_metadata"),
                user_id=checks.new_user_id(checks.text(body, "id")),
                role=checks.text(body, "role") or "authenticated",
                confirmed=bool(body.get("email_confirm")),
                banned_seconds=checks.ban_seconds(checks.text(body, "ban_duration")) or 0.0,
            )
        except EmailTaken as error:
            raise email_exists() from error
        return json_answer(user_body(user))

    async def list(self, request: Request) -> Response:
        """GET /admin/users?page=1&per_page=50, newest first; headers carry the total."""
        await self._callers.require_admin(request)
        page = checks.whole_number(request.query_params.get("page"), 1)
        size = checks.whole_number(request.query_params.get("per_page"), _PAGE)
        users, total = await self._users.page(limit=size, offset=(page - 1) * size)
        body = {"users": [user_body(user) for user in users], "aud": "authenticated"}
        headers = {"X-Total-Count": str(total), "Link": _links(request, page, -(-total // size))}
        return json_answer(body, headers=headers)

    async def get(self, request: Request) -> Response:
        """GET /admin/users/{id}."""
        return json_answer(user_body(await self._named(request)))

    async def update(self, request: Request) -> Response:
        """PUT /admin/users/{id}. A new password ends all of the user's sessions."""
        user = await self._named(request)
        body = await checks.read_body(request)
        checks.no_phone(body)
        email = checks.text(body, "email")
        confirmed = bool(body.get("email_confirm"))
        password = None if body.get("password") is None else checks.text(body, "password")
        if password is not None:
            checks.password(password)
        try:
            changed = await self._users.update(
                user["id"],
                email=checks.email(email) if email else None,
                password=password,
                user_metadata=checks.metadata(body, "user_metadata"),
                app_metadata=checks.metadata(body, "app_metadata"),
                role=checks.text(body, "role") or None,
                confirmed=confirmed,
                permanent=bool(email) and confirmed,
                banned_seconds=checks.ban_seconds(checks.text(body, "ban_duration")),
            )
        except EmailTaken as error:
            # supabase-auth does not check before it writes here either.
            raise AuthError(500, "unexpected_failure", "Error updating user") from error
        return json_answer(user_body(changed))

    async def delete(self, request: Request) -> Response:
        """DELETE /admin/users/{id}; with `should_soft_delete` the row stays but is anonymized."""
        user = await self._named(request)
        body = await checks.read_body(request)
        if body.get("should_soft_delete"):
            await self._users.forget(user["id"])
        else:
            await self._users.delete(user["id"])
        return json_answer({})

    async def _named(self, request: Request) -> Row:
        await self._callers.require_admin(request)
        try:
            user_id = uuid.UUID(request.path_params["id"])
        except ValueError as error:
            raise AuthError(404, "validation_failed", "user_id must be an UUID") from error
        user = await self._users.by_id(str(user_id))
        if user is None:
            raise user_not_found()
        return user


def _links(request: Request, page: int, pages: int) -> str:
    # auth-js reads the first digit after the first `=` as the page number, so `page` comes first.
    rest = {name: value for name, value in request.query_params.items() if name != "page"}

    def link(number: int, relation: str) -> str:
        return f'<{request.url.path}?{urlencode({"page": number, **rest})}>; rel="{relation}"'

    following = [link(page + 1, "next")] if pages > page else []
    return ", ".join([*following, link(pages, "last")])
