"""The secrets of one local Supabase: created once, kept in its data folder, never printed by the server.

Five values, as `supabase start` shows them: the HS256 secret, the two legacy keys (JWTs for the roles
anon and service_role) and their two opaque successors (`sb_publishable_…`, `sb_secret_…`).
"""

from __future__ import annotations

import json
import os
import secrets
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import jwt

from sentinel_local_supabase.errors import LocalSupabaseError

_TEN_YEARS_SECONDS = 10 * 365 * 24 * 3600


@dataclass(frozen=True, slots=True)
class ProjectKeys:
    """All keys of this Supabase. `jwt_secret` signs tokens; the other four are for clients."""

    jwt_secret: str
    anon_key: str
    service_key: str
    publishable_key: str
    secret_key: str

    def __repr__(self) -> str:
        return "Keys(…)"

    @staticmethod
    def load(path: Path, jwt_secret: str | None = None) -> ProjectKeys:
        """Read the keys at `path`; create them (mode 0600) if the file is absent.

        Another `jwt_secret` than the one kept there replaces it and the two JWTs that it signed, and stays.
        """
        kept = _read(path) if path.exists() else None
        if kept is None:
            kept = _new_keys(jwt_secret or secrets.token_urlsafe(48))
        elif jwt_secret in (None, kept.jwt_secret):
            return kept
        else:
            kept = replace(kept, **_signed_with(jwt_secret))
        kept._write(path)
        return kept

    def _write(self, path: Path) -> None:
        # Write to a temporary file and rename it, so that a crash never leaves a partial file.
        aside = path.with_suffix(".new")
        aside.unlink(missing_ok=True)
        descriptor = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(json.dumps(asdict(self), indent=1))
        aside.rename(path)

    def sign(self, claims: dict[str, Any]) -> str:
        """Return a JWT with exactly these claims, signed with HS256."""
        return jwt.encode(claims, self.jwt_secret, algorithm="HS256")

    def role_of_opaque(self, key: str) -> str | None:
        """Return the role of a `sb_…` key of this Supabase, otherwise None."""
        if secrets.compare_digest(key.encode(), self.publishable_key.encode()):
            return "anon"
        if secrets.compare_digest(key.encode(), self.secret_key.encode()):
            return "service_role"
        return None

    def jwt_of_role(self, role: str) -> str:
        """Return the legacy key of `anon` or `service_role`."""
        return self.service_key if role == "service_role" else self.anon_key


def _read(path: Path) -> ProjectKeys:
    try:
        return ProjectKeys(**json.loads(path.read_text()))
    except (ValueError, TypeError):
        raise LocalSupabaseError(
            "keys_damaged", f"{path} does not contain the keys of a local Supabase: remove it, and new ones are made."
        ) from None


def _new_keys(jwt_secret: str) -> ProjectKeys:
    return ProjectKeys(
        publishable_key=f"sb_publishable_{secrets.token_urlsafe(24)}",
        secret_key=f"sb_secret_{secrets.token_urlsafe(24)}",
        **_signed_with(jwt_secret),
    )


def _signed_with(secret: str) -> dict[str, str]:
    """Return a secret and the two legacy keys that it signs."""
    now = int(time.time())

    def role_key(role: str) -> str:
        claims = {"iss": "supabase-local", "role": role, "iat": now, "exp": now + _TEN_YEARS_SECONDS}
        return jwt.encode(claims, secret, algorithm="HS256")

    return {"jwt_secret": secret, "anon_key": role_key("anon"), "service_key": role_key("service_role")}
