"""PostgREST's error responses: one exception, its JSON body, and the HTTP status of every SQLSTATE."""

from __future__ import annotations

import json
from typing import Any

import psycopg
from starlette.responses import Response

from sentinel_local_supabase.database import DatabaseDown, PoolExhausted
from sentinel_local_supabase.json_answer import JSON_TYPE
from sentinel_local_supabase.tokens import TokenRefused

# The whole SQLSTATE takes precedence over its class (the first two characters); the default is 400.
_STATUS_BY_STATE = {
    "23503": 409, "23505": 409, "25006": 405, "21000": 500, "53400": 500, "57P01": 503,
    "P0001": 400, "42883": 404, "42P01": 404, "42P17": 500, "42501": 403,
}  # fmt: skip
_STATUS_BY_CLASS = {
    "08": 503, "09": 500, "0L": 403, "0P": 403, "25": 500, "28": 403, "2D": 500, "38": 500, "39": 500,
    "3B": 500, "40": 500, "53": 503, "54": 500, "55": 500, "57": 500, "58": 500, "F0": 500, "HV": 500,
    "P0": 500, "XX": 500,
}  # fmt: skip
# PostgreSQL 18 has a separate code for ON DELETE RESTRICT; Supabase runs versions that report 23503.
_RESTRICT = " violates RESTRICT setting of "
_UNAVAILABLE = 503
_BAD_RAISE_HINT = (
    "MESSAGE must be a JSON object with obligatory keys: 'code', 'message' and optional keys: 'details', 'hint'."
)


class RestError(Exception):
    """Response in PostgREST's error shape. `details` is a text or any JSON."""

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        *,
        details: object = None,
        hint: str | None = None,
        headers: dict[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.body = {"code": code, "details": details, "hint": hint, "message": message}
        self.headers = headers or {}

    def response(self, *, head: bool = False) -> Response:
        """Return the HTTP response; HEAD has no body."""
        headers = {"Proxy-Status": f"PostgREST; error={self.code}", **self.headers}
        if self.status == _UNAVAILABLE:
            headers.setdefault("Retry-After", "0")
        if self.status == 401:  # noqa: PLR2004 - HTTP's own number
            headers.setdefault("WWW-Authenticate", "Bearer")
        body = b"" if head else json.dumps(self.body, ensure_ascii=False, separators=(",", ":")).encode()
        return Response(body, self.status, headers, media_type=JSON_TYPE)


def left_out(what: str) -> RestError:
    """Return PostgREST's "feature not implemented" for what the real server has and this one does not."""
    return RestError(400, "PGRST127", f"The local Supabase has no {what}")


def from_token(refused: TokenRefused) -> RestError:
    """Return the error for a refused JWT, in PostgREST 14's words."""
    code, message, details = {
        "parts": ("PGRST301", f"Expected 3 parts in JWT; got {refused.parts}", None),
        "malformed": ("PGRST301", "JWT cryptographic operation failed", None),
        "unsecured": (
            "PGRST301",
            "Wrong or unsupported encoding algorithm",
            "JWT is unsecured but expected 'alg' was not 'none'",
        ),
        "algorithm": (
            "PGRST301",
            "No suitable key or wrong key type",
            "No suitable key was found to decode the JWT",
        ),
        "signature": (
            "PGRST301",
            "No suitable key or wrong key type",
            "None of the keys was able to decode the JWT",
        ),
        "expired": ("PGRST303", "JWT expired", None),
        "not_yet_valid": ("PGRST303", "JWT not yet valid", None),
        "issued_later": ("PGRST303", "JWT issued at future", None),
    }[refused.fault]
    challenge = f'Bearer error="invalid_token", error_description="{message}"'
    return RestError(401, code, message, details=details, headers={"WWW-Authenticate": challenge})


def from_database(error: psycopg.Error, *, role: str) -> RestError:
    """Return the response to an error that PostgreSQL raised for a caller acting as `role`."""
    diagnosis = error.diag
    state = diagnosis.sqlstate
    if state is None or diagnosis.severity_nonlocalized == "FATAL":
        return RestError(
            _UNAVAILABLE,
            "PGRST001",
            "Database client error. Retrying the connection.",
            details="no connection to the server\n",
        )
    message, details = diagnosis.message_primary or str(error), diagnosis.message_detail
    if state == "PGRST":
        return _raised_answer(message, details)
    if state == "23001" and _RESTRICT in message:
        state, message = "23503", message.replace(_RESTRICT, " violates ")
        details = details and details.replace(" is referenced from ", " is still referenced from ")
    return RestError(_status(state, message, role), state, message, details=details, hint=diagnosis.message_hint)


def from_outage(error: DatabaseDown | PoolExhausted) -> RestError:
    """Return the error for a missing connection: the pool stayed busy, or PostgreSQL is down."""
    if isinstance(error, PoolExhausted):
        return RestError(504, "PGRST003", "Timed out acquiring connection from connection pool.")
    return RestError(_UNAVAILABLE, "PGRST002", "Could not query the database for the schema cache. Retrying.")


def _status(state: str, message: str, role: str) -> int:
    if state.startswith("PT") and state[2:].isdigit():
        # The real server sends any number; this one only statuses that HTTP defines.
        return int(state[2:]) if 200 <= int(state[2:]) < 600 else 500  # noqa: PLR2004
    if state == "22023" and message.startswith("role ") and message.endswith("does not exist"):
        return 401
    if state == "42501" and role == "anon":
        return 401
    return _STATUS_BY_STATE.get(state, _STATUS_BY_CLASS.get(state[:2], 400))


def _raised_answer(message: str, detail: str | None) -> RestError:
    """Return the response of `raise sqlstate 'PGRST'`: the function sets body, status and headers."""
    body, detail_parsed = _json_object(message), _json_object(detail or "")
    if body is None or not {"code", "message"} <= body.keys():
        return _bad_raise("MESSAGE", message)
    if detail_parsed is None or not isinstance(detail_parsed.get("status"), int):
        return _bad_raise("DETAIL", detail or "")
    headers = {str(name): str(value) for name, value in detail_parsed.get("headers", {}).items()}
    return RestError(
        detail_parsed["status"],
        body["code"],
        body["message"],
        details=body.get("details"),
        hint=body.get("hint"),
        headers=headers,
    )


def _bad_raise(field: str, text: str) -> RestError:
    return RestError(
        500,
        "PGRST121",
        "Could not parse JSON in the \"RAISE SQLSTATE 'PGRST'\" error",
        details=f"Invalid JSON value for {field}: '{text}'",
        hint=_BAD_RAISE_HINT,
    )


def _json_object(text: str) -> dict[str, Any] | None:
    try:
        parsed = json.loads(text)
    except ValueError:
        return None
    return parsed if isinstance(parsed, dict) else None
