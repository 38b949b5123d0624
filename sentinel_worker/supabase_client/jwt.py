"""What a JWT says of itself, read without its secret."""

import base64
import binascii
import json
import math
from collections.abc import Callable
from typing import Any

Token = str | Callable[[], str | None] | None


def jwt_claims(token: str) -> dict[str, Any]:
    """Its claims, unproved; none when it is no JWT."""
    try:
        payload = token.split(".")[1]
        claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    except (IndexError, ValueError, RecursionError, binascii.Error):
        return {}
    return claims if isinstance(claims, dict) else {}


def seconds_to_live(token: str, now: float) -> float:
    """Seconds from `now` (unix time) until the token's `exp`; infinite when it names none or is no JWT."""
    try:
        return float(jwt_claims(token)["exp"]) - now
    except (KeyError, TypeError, ValueError):
        return math.inf
