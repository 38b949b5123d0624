"""Claims of a JWT, read without verifying it."""

import base64
import binascii
import json
import math
from collections.abc import Callable
from typing import Any

Token = str | Callable[[], str | None] | None


def jwt_claims(token: str) -> dict[str, Any]:
    """Return the unverified claims of `token`; empty if it is not a JWT."""
    try:
        payload = token.split(".")[1]
        claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    except (IndexError, ValueError, RecursionError, binascii.Error):
        return {}
    return claims if isinstance(claims, dict) else {}


def seconds_to_live(token: str, now: float) -> float:
    """Return the seconds from `now` (unix time) to the token's `exp`; infinite without `exp` or if it is not a JWT."""
    try:
        return float(jwt_claims(token)["exp"]) - now
    except (KeyError, TypeError, ValueError):
        return math.inf
