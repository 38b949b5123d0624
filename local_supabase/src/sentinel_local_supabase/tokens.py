"""JWT verification in one place; each service words the faults in its own way."""

from __future__ import annotations

import time
from typing import Any, Literal

import jwt
from jwt.types import Options

Fault = Literal["parts", "malformed", "unsecured", "algorithm", "signature", "expired", "not_yet_valid", "issued_later"]

# Times are checked below, because Supabase's services differ in wording and tolerance.
_OPTIONS: Options = {
    "verify_signature": True,
    "verify_exp": False,
    "verify_nbf": False,
    "verify_iat": False,
    "verify_aud": False,
    "verify_iss": False,
    "verify_sub": False,
    "verify_jti": False,
}
_COMPACT_PARTS = 3


class TokenRefused(Exception):
    """The token is not valid. `fault` is the reason; `parts` counts its dot-separated parts."""

    def __init__(self, fault: Fault, parts: int = _COMPACT_PARTS) -> None:
        super().__init__(fault)
        self.fault = fault
        self.parts = parts


def verify(token: str, secret: str, *, skew_seconds: float = 0.0) -> dict[str, Any]:
    """Return the claims of an HS256 token signed with `secret`.

    `skew_seconds` is the tolerance for exp, nbf and iat. Raises TokenRefused.
    """
    parts = token.count(".") + 1
    if parts != _COMPACT_PARTS:
        raise TokenRefused("parts", parts)
    try:
        algorithm = jwt.get_unverified_header(token).get("alg")
    except (jwt.InvalidTokenError, RecursionError) as error:
        raise TokenRefused("malformed") from error
    if algorithm in (None, "none"):
        raise TokenRefused("unsecured")
    if algorithm != "HS256":
        raise TokenRefused("algorithm")
    try:
        claims: dict[str, Any] = jwt.decode(token, secret, algorithms=["HS256"], options=_OPTIONS)
    except jwt.InvalidSignatureError as error:
        raise TokenRefused("signature") from error
    except jwt.InvalidTokenError as error:
        raise TokenRefused("malformed") from error
    _check_times(claims, skew_seconds)
    return claims


def _check_times(claims: dict[str, Any], skew_seconds: float) -> None:
    now = time.time()
    checks: tuple[tuple[str, float, Fault], ...] = (
        ("exp", -1.0, "expired"),
        ("nbf", 1.0, "not_yet_valid"),
        ("iat", 1.0, "issued_later"),
    )
    for claim, sign, fault in checks:
        instant = claims.get(claim)
        if instant is None:
            continue
        if isinstance(instant, bool) or not isinstance(instant, int | float):
            raise TokenRefused("malformed")
        if sign * (instant - now) > skew_seconds:
            raise TokenRefused(fault)


def bearer(authorization: str | None) -> str | None:
    """Return the token of an `Authorization: Bearer …` header; None if absent or in another scheme."""
    if authorization is None:
        return None
    scheme, _, token = authorization.partition(" ")
    token = token.strip()
    return token if scheme.lower() == "bearer" and token else None
