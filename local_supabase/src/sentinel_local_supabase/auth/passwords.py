"""Password hashes with scrypt: `scrypt$<cost>$<salt>$<hash>`, salt and hash in base64."""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets

_COST, _BLOCK, _PARALLEL = 2**14, 8, 1


def hash_password(password: str) -> str:
    """Return a salted hash. Takes about 30 ms, so call it from a thread."""
    salt = secrets.token_bytes(16)
    digest = _scrypt(password, salt, _COST)
    return f"scrypt${_COST}${base64.b64encode(salt).decode()}${base64.b64encode(digest).decode()}"


def verify_password(password: str, hashed: str) -> bool:
    """Return True if `password` matches `hashed`; False for a hash in another format."""
    try:
        kind, cost, salt, digest = hashed.split("$")
    except ValueError:
        return False
    if kind != "scrypt":
        return False
    made = _scrypt(password, base64.b64decode(salt), int(cost))
    return hmac.compare_digest(made, base64.b64decode(digest))


def _scrypt(password: str, salt: bytes, cost: int) -> bytes:
    return hashlib.scrypt(password.encode(), salt=salt, n=cost, r=_BLOCK, p=_PARALLEL)
