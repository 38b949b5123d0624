"""How long a JWT still lives, read without its secret."""

import base64
import binascii
import json
import math
from collections.abc import Callable

Token = str | Callable[[], str] | None


def seconds_to_live(token: str, now: float) -> float:
    """Seconds from `now` (unix time) until the token's `exp`; infinite when it names none or is no JWT."""
    try:
        payload = token.split(".")[1]
        claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
        return float(claims["exp"]) - now
    except (IndexError, KeyError, TypeError, ValueError, binascii.Error):
        return math.inf
