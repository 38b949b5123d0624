"""Error responses in supabase-auth's shapes, and the messages of its token check."""

from __future__ import annotations

import psycopg
from starlette.requests import Request
from starlette.responses import Response

from sentinel_local_supabase.json_answer import json_answer
from sentinel_local_supabase.tokens import Fault

_HAS = "it signs in by password and anonymously, and sends no mail"
API_VERSION = "2024-01-01"


class AuthError(Exception):
    """Response in supabase-auth's error shape: HTTP status, error code, message, and extra body fields."""

    def __init__(self, status: int, code: str, message: str, **more: object) -> None:
        super().__init__(message)
        self.status, self.code, self.message, self.more = status, code, message, more


class OAuthError(Exception):
    """Response in the other error shape: `{error, error_description}` with HTTP status 400."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code, self.message = code, message


def error_answer(request: Request, error: AuthError | OAuthError) -> Response:
    """Return the response for an error.

    Clients that name an API version read `code` as the error code, older ones as the HTTP status.
    """
    if isinstance(error, OAuthError):
        return json_answer({"error": error.code, "error_description": error.message}, 400)
    headers = {"X-Sb-Error-Code": error.code}
    if request.headers.get("x-supabase-api-version", "") >= API_VERSION:
        body = {"code": error.code, "message": error.message, **error.more}
        return json_answer(body, error.status, headers | {"X-Supabase-Api-Version": API_VERSION})
    body = {"code": error.status, "error_code": error.code, "msg": error.message, **error.more}
    return json_answer(body, error.status, headers)


def bad_jwt(fault: Fault) -> AuthError:
    """Return the error for an invalid token."""
    reason = {
        "parts": "token is malformed: token contains an invalid number of segments",
        "unsecured": "token signature is invalid: signing method none is invalid",
        "algorithm": "token signature is invalid: signing method is invalid",
        "signature": "token signature is invalid: signature is invalid",
        "expired": "token has invalid claims: token is expired",
        "not_yet_valid": "token has invalid claims: token is not valid yet",
        "issued_later": "token has invalid claims: token used before issued",
    }.get(fault, "token is malformed")
    return AuthError(403, "bad_jwt", f"invalid JWT: unable to parse or verify signature, {reason}")


def left_out(what: str) -> AuthError:
    """Return supabase-auth's "feature disabled" for what the real server has and this one does not."""
    return AuthError(404, "feature_disabled", f"The local Supabase has no {what}: {_HAS}")


def no_phones() -> AuthError:
    """Return the error for a telephone number, with the code of a project without a provider for them."""
    return AuthError(400, "phone_provider_disabled", f"The local Supabase has no telephone numbers: {_HAS}")


def email_exists() -> AuthError:
    """Return the error for an address that another user has, outside of sign-up."""
    return AuthError(422, "email_exists", "A user with this email address has already been registered")


def user_not_found() -> AuthError:
    """Return the error for an administrator's request about an unknown user id."""
    return AuthError(404, "user_not_found", "User not found")


def unstorable(error: psycopg.DataError) -> AuthError:
    """Return the error for a value that PostgreSQL cannot store: NUL in text, a number or time out of range."""
    reason = error.diag.message_primary or str(error)
    return AuthError(400, "validation_failed", f"A value of the request cannot be stored: {reason}")
