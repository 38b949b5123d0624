"""What must not be written is not: values that are known, and what looks like a secret."""

import json

import pytest

from sentinel_worker import masking
from sentinel_worker.masking import MASK, mask

CANARY = "CANARYcanary0123456789"
JWT = "eyJhbGciOiJIUzI1NiJ9.eyJyb2xlIjoiQ0FOQVJZIn0.CANARYcanary0123456789"


@pytest.mark.parametrize(
    "text",
    [
        f"GET /object/sign/media/x.mp4?token={CANARY}&download=1",
        f"GET /x?X-Amz-Signature={CANARY}&X-Amz-Credential={CANARY}",
        f"https://user:{CANARY}@db.example/postgres",
        f"postgresql://{CANARY}@db.example/postgres",
        f"host=db user=postgres password={CANARY} dbname=x",
        f"Authorization: Bearer {CANARY}",
        f"authorization: Basic {CANARY}==",
        f"{{'Authorization': 'Bearer {CANARY}', 'apikey': '{CANARY}'}}",
        f"Headers([('host', 'x'), ('cookie', 'a=b; session={CANARY}')])",
        f"(b'apikey', b'{CANARY}')",
        f"Set-Cookie: sb-access={CANARY}; Path=/; HttpOnly",
        json.dumps({"error": json.dumps({"access_token": CANARY, "apikey": CANARY})}),
        f"a key sb_secret_{CANARY} and a key sb_publishable_{CANARY}",
        f"wss://x.example/realtime/v1/websocket?apikey={CANARY}&vsn=1.0.0",
        f"redirect_to%3Fx%26token%3D{CANARY}",
        JWT,
        JWT[:60] + "…",
    ],
)
def test_what_looks_like_a_secret_goes(text: str) -> None:
    seen = mask(text)
    assert "CANARY" not in seen, seen
    assert MASK in seen
    assert "eyJ" not in seen


def test_a_known_value_goes_in_every_form() -> None:
    value = "opaque/value+with=signs CANARY"
    masking.register(value, None, "short")
    said = mask(f"{value} opaque%2Fvalue%2Bwith%3Dsigns%20CANARY opaque%2Fvalue%2Bwith%3Dsigns+CANARY short")
    assert said == f"{MASK} {MASK} {MASK} short"
    assert masking.masked({"a": [value, 1, None]}) == {"a": [MASK, 1, None]}


@pytest.mark.parametrize(
    "text",
    [
        "SENTINEL_WORKER_JWT: no key: set SUPABASE_SECRET_KEY (or SUPABASE_SERVICE_ROLE_KEY)",
        "The role sentinel_worker may not call sentinel_claim.",
        '{"event": "realtime.lost", "reason": "the token expires", "lived_seconds": 0.0}',
        '{"url": "http://127.0.0.1:54321", "detector": "demo", "pid": 12}',
        "storage.objects of media/0b6f/x.mp4?download=1",
    ],
)
def test_the_rest_stays(text: str) -> None:
    assert mask(text) == text


def test_masked_json_is_still_json() -> None:
    line = json.dumps({"event": "x", "headers": {"authorization": f"Bearer {CANARY}"}, "url": f"u?token={CANARY}"})
    assert json.loads(mask(line)) == {"event": "x", "headers": {"authorization": MASK}, "url": f"u?token={MASK}"}
