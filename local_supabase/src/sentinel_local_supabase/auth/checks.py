"""Validation of request bodies as supabase-auth does it before it queries the database."""

from __future__ import annotations

import re
import uuid
from typing import Any

from starlette.requests import Request

from sentinel_local_supabase.auth.auth_errors import AuthError, no_phones
from sentinel_local_supabase.json_input import NotJson, bigint, parse_json

# checkmail's format, which supabase-auth uses: it accepts addresses that cannot exist if they look valid.
_EMAIL = re.compile(r"[a-zA-Z0-9.!#$%&'*+/=?^_`{|}~-]+@[a-zA-Z0-9](?:[a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?"
                    r"(?:\.[a-zA-Z0-9](?:[a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?)*")  # fmt: skip
_EMAIL_LENGTH = 255
_PASSWORD_LENGTH = 6
_PASSWORD_BYTES = 72
_DURATION = re.compile(r"(\d+(?:\.\d+)?)(ms|us|ns|h|m|s)")
_SECONDS = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 1e-3, "us": 1e-6, "ns": 1e-9}

Body = dict[str, Any]


async def read_body(request: Request) -> Body:
    """Parse the body as an object; an empty body is an empty object."""
    try:
        parsed = parse_json(await request.body() or b"{}")
    except NotJson as error:
        raise AuthError(400, "bad_json", "Could not parse request body as JSON") from error
    if not isinstance(parsed, dict):
        raise AuthError(400, "bad_json", "Could not parse request body as JSON")
    return parsed


def text(body: Body, name: str) -> str:
    """Return a field that must be text; absent and null become the empty string."""
    value = body.get(name)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise AuthError(400, "bad_json", "Could not parse request body as JSON")
    return value


def no_phone(body: Body) -> None:
    """Raise AuthError if a body has a telephone number, which nothing here could use."""
    if text(body, "phone"):
        raise no_phones()


def metadata(body: Body, name: str) -> Body | None:
    """Return a field that must be an object; None if it is absent or null."""
    value = body.get(name)
    if value is not None and not isinstance(value, dict):
        raise AuthError(400, "bad_json", "Could not parse request body as JSON")
    return value


def email(address: str) -> str:
    """Return the address in lower case. Raises AuthError if it is not valid."""
    if not address:
        raise AuthError(400, "validation_failed", "An email address is required")
    if len(address) > _EMAIL_LENGTH:
        raise AuthError(400, "validation_failed", "An email address is too long")
    if _EMAIL.fullmatch(address) is None:
        raise AuthError(400, "validation_failed", "Unable to validate email address: invalid format")
    return address.lower()


def password(given: str) -> None:
    """Raise AuthError if a password is too long or too weak."""
    if len(given.encode()) > _PASSWORD_BYTES:
        message = f"Password cannot be longer than {_PASSWORD_BYTES} characters"
        raise AuthError(400, "validation_failed", message)
    if (weakness := weak_password(given)) is not None:
        raise AuthError(422, "weak_password", weakness["message"], weak_password={"reasons": weakness["reasons"]})


def weak_password(given: str) -> Body | None:
    """Return message and reasons if a password would be refused today, otherwise None."""
    if len(given.encode()) >= _PASSWORD_LENGTH:
        return None
    return {"message": f"Password should be at least {_PASSWORD_LENGTH} characters.", "reasons": ["length"]}


def new_user_id(given: str) -> str | None:
    """Return the id that an administrator chose for a new user, if any."""
    if not given:
        return None
    try:
        chosen = uuid.UUID(given)
    except ValueError as error:
        raise AuthError(400, "validation_failed", "ID must conform to the uuid v4 format") from error
    if chosen.int == 0:
        raise AuthError(400, "validation_failed", "ID cannot be a nil uuid")
    return str(chosen)


def ban_seconds(given: str) -> float | None:
    """Parse a Go duration (`24h`, `1h30m`) into seconds. `none` is 0, which lifts a ban; empty text is None."""
    if not given:
        return None
    if given == "none":
        return 0.0
    parts = _DURATION.findall(given)
    if "".join(number + unit for number, unit in parts) != given:
        message = f'invalid format for ban duration: time: invalid duration "{given}"'
        raise AuthError(400, "validation_failed", message)
    return sum(float(number) * _SECONDS[unit] for number, unit in parts)


def whole_number(given: str | None, default: int) -> int:
    """Parse a pagination number from the query string."""
    if not given:
        return default
    if not given.isascii() or not given.isdigit():
        message = f'Bad Pagination Parameters: strconv.ParseUint: parsing "{given}": invalid syntax'
        raise AuthError(400, "validation_failed", message)
    return max(1, bigint(given))
