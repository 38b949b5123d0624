"""Tokens of Realtime connections and joins, refused with the real server's messages."""

import math
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from sentinel_local_supabase import tokens
from sentinel_local_supabase.keys import ProjectKeys

OPAQUE_PREFIX: Final = "sb_"


class TokenRefused(Exception):
    """An invalid token.

    `code` is the prefix in join replies, `reason` the message in join replies and system messages,
    `at_connect` the message in the HTTP 401 of a connection.
    """

    def __init__(self, code: str, reason: str, at_connect: str | None = None) -> None:
        super().__init__(f"{code}: {reason}")
        self.code = code
        self.reason = reason
        self.at_connect = at_connect or reason


@dataclass(frozen=True, slots=True)
class TokenClaims:
    """Verified claims: the role to act as, the expiry in Unix seconds, and all claims for policies."""

    role: str
    expires_at: int
    everything: Mapping[str, Any]


def token_of_key(apikey: str | None, keys: ProjectKeys) -> str:
    """Return the JWT that an `apikey` parameter is or stands for. Raises TokenRefused if it is missing."""
    if not apikey:
        raise TokenRefused("Unauthorized", "API key is missing")
    role = keys.role_of_opaque(apikey)
    return apikey if role is None else keys.jwt_of_role(role)


def verify(token: str, keys: ProjectKeys) -> TokenClaims:
    """Return the claims of `token`. Raises TokenRefused."""
    try:
        # Expiry is checked below: the real server's message says how long ago it was.
        claims = tokens.verify(token, keys.jwt_secret, skew_seconds=math.inf)
    except tokens.TokenRefused as error:
        if error.fault == "signature":
            raise TokenRefused("JwtSignatureError", "Failed to validate JWT signature") from error
        raise TokenRefused("MalformedJWT", "The token provided is not a valid JWT") from error
    role, expires_at = claims.get("role"), claims.get("exp")
    if not isinstance(role, str) or not isinstance(expires_at, int):
        raise TokenRefused("InvalidJWTToken", "Fields `role` and `exp` are required in JWT")
    age = int(time.time()) - expires_at
    if age >= 0:
        raise TokenRefused("InvalidJWTToken", f"Token has expired {age} seconds ago", "Token has expired")
    return TokenClaims(role, expires_at, claims)
