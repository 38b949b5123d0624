"""When a key expires, when that is announced, and what the operator is told to do."""

import json
import math
from base64 import urlsafe_b64encode
from pathlib import Path
from typing import Any

import pytest

from sentinel_worker.config.settings import Settings
from sentinel_worker.domain.errors import Fatal
from sentinel_worker.supabase_client.expiry import refuse_expired, warned_at
from sentinel_worker.supabase_client.keys import Key, WorkerKeys

HOUR, DAY = 3600, 86400


def jwt(**claims: Any) -> str:
    parts = ({"alg": "none"}, claims)
    return ".".join(urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=") for part in parts) + ".x"


def keys(**secrets: Any) -> WorkerKeys:
    return WorkerKeys(Settings.model_validate({"SUPABASE_URL": "https://x.supabase.co", **secrets}))


@pytest.mark.parametrize(
    ("claims", "seconds_before"),
    [
        ({"iat": 0, "exp": DAY}, HOUR),
        ({"iat": 0, "exp": HOUR}, HOUR / 10),
        ({"exp": HOUR}, HOUR / 20),  # it came into use in the middle of its life
        ({"iat": "no number", "exp": HOUR}, HOUR / 20),
        ({"iat": 2 * HOUR, "exp": HOUR}, 0),
    ],
)
def test_the_warning_comes_an_hour_or_a_tenth_of_its_life_before(claims: dict[str, Any], seconds_before: float) -> None:
    key = Key("sb_publishable_x", jwt(**claims))
    assert key.expires_at - warned_at(key, since=HOUR / 2) == seconds_before


@pytest.mark.parametrize("secret", ["sb_secret_x", jwt(role="service_role"), jwt(exp="soon"), jwt(exp=None)])
def test_a_key_without_an_expiry_lives_for_ever(secret: str) -> None:
    assert Key(secret).expires_at == math.inf
    assert warned_at(Key(secret), since=0.0) == math.inf


def test_a_token_in_a_variable_needs_a_restart() -> None:
    with pytest.raises(Fatal) as refused:
        refuse_expired(keys(SUPABASE_PUBLISHABLE_KEY="sb_publishable_x", worker_jwt=jwt(exp=DAY)))
    assert refused.value.message == (
        "SENTINEL_WORKER_JWT expired at 1970-01-02 00:00:00 UTC, so nothing is claimed: start the worker with a new "
        "SENTINEL_WORKER_JWT."
    )


def test_a_token_in_a_file_is_replaced_there(tmp_path: Path) -> None:
    path = tmp_path / "jwt"
    path.write_text(jwt(exp=-1e300))
    with pytest.raises(Fatal, match=f"an impossible time .* write a new one to {path}"):
        refuse_expired(keys(SUPABASE_PUBLISHABLE_KEY="sb_publishable_x", worker_jwt_file=path))


def test_a_legacy_key_is_a_jwt_too() -> None:
    with pytest.raises(Fatal, match="SUPABASE_SERVICE_ROLE_KEY expired at 1970"):
        refuse_expired(keys(SUPABASE_SERVICE_ROLE_KEY=jwt(role="service_role", exp=HOUR)))
