"""Secrets are masked: known values, and texts that look like one."""

import base64
import itertools
import json
import re
import time

import pytest

from sentinel_worker.observe import masking
from sentinel_worker.observe.masking import MASK, mask

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
        f"host='db' user='postgres' password = '{CANARY}' sslpassword='{CANARY}'",
        f"PGPASSWORD={CANARY} psql",
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
        f"https://x.example/x?Policy={CANARY}&Signature={CANARY}&Key-Pair-Id=K",
        f"https://x.example/x?__token__=exp=1~acl=/*~hmac={CANARY}",
        f"https://x.example/x?hdnea=st=1~exp=2~acl=/*~hmac={CANARY}",
        f"https://x.example/x?a=b&auth={CANARY}",
        f"https://x.example/x?key={CANARY}",
        f"https://x.example/x?sid={CANARY}",
        f"redirect_to=https%3A%2F%2Fx.example%2F%3Fkey%3D{CANARY}",
        f"https://x.example/x?jwt={CANARY}",
        f"https://x.example/x.jpg?oh={CANARY}&oe=6512BD43",
        f"AUTHORIZATION={CANARY}",
        f"odd-scheme-of-more-than-thirty-characters://user:{CANARY}@x.example/",
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


@pytest.mark.parametrize("before", ["", "u:", "us:", "user:"])
def test_a_known_value_goes_in_base64(before: str) -> None:
    value = "opaque>>>value???of~~~CANARY"
    masking.register(value)
    text = f"{before}{value}:and more".encode()
    for encoded in (base64.b64encode(text).decode(), base64.urlsafe_b64encode(text).decode()):
        seen = mask(encoded)
        assert MASK in seen
        assert len(seen) - len(MASK) <= len(encoded) - (len(value) * 8 // 6 - 2)


def test_the_last_part_of_a_known_jwt_is_masked_by_itself() -> None:
    signature = "c2lnbmF0dXJlLXRoYXQtaXMtbG9uZw"
    masking.register(f"eyJhbGciOiJIUzI1NiJ9.eyJyb2xlIjoic2VudGluZWwifQ.{signature}")
    assert mask(f"joic2VudGluZWwifQ.{signature} and {signature}") == f"joic2VudGluZWwifQ.{MASK} and {MASK}"


FRAGMENTS = (
    *(
        "a",
        "A",
        "a.",
        "a+",
        "a:",
        "a-",
        " ",
        "\t",
        "\n",
        "\\",
        '"',
        '\\"',
        "'",
        "=",
        "%3D",
        "://",
        "a://",
        "@",
        "?",
        "&",
        "~",
    ),
    *(
        "token",
        "token=",
        "key=",
        "?key=",
        "%3F",
        "authorization",
        "authorization:",
        "cookie",
        "proxy-",
        "api_",
        "bearer",
    ),
    *("bearer ", "eyJ", "eyJaaaaaa.", "sb_secret_", "hdnea", "***"),
)
REPEATED = ("a", "a.", " ", "\\", '"', "://", "=", "token", "authorization", "eyJ", "bearer ", "?key=")
TOO_LONG = 0.2
"""CPU seconds for 8,000 characters: a quadratic pattern takes one, a good one a few milliseconds."""


@pytest.mark.parametrize("form", masking._FORMS, ids=lambda form: form.pattern[:30])
def test_no_text_takes_long(form: re.Pattern[str]) -> None:
    """Strangers' texts are masked in the event loop, and no other thread runs meanwhile."""
    for first, then in itertools.product(FRAGMENTS, REPEATED):
        for text in ((first + then) * 8_000, first + then * 8_000):
            began = time.thread_time()
            form.sub(MASK, text[:8_000])
            assert time.thread_time() - began < TOO_LONG, (first, then)


@pytest.mark.parametrize("fragment", FRAGMENTS)
def test_a_long_text_is_masked_at_once(fragment: str) -> None:
    text = (fragment * 10**5)[: 10**5] + "end"
    began = time.thread_time()
    seen = mask(text)
    assert time.thread_time() - began < 0.5
    assert len(seen) < masking.LONGEST + 50


def test_half_a_secret_is_not_left_at_the_cut() -> None:
    value = "CANARY-and-forty-letters-0123456789-xyz"
    masking.register(value)
    parts = {value[place : place + 6] for place in range(len(value) - 5)}
    for before in range(500 - len(value) - 5, 505):
        for rest in (0, 100, 10_000):
            seen = mask(("x " * 300)[:before] + value + "z" * rest, 500)
            assert not [part for part in parts if part in seen], seen
            assert len(seen) < 550


def test_what_is_cut_says_how_long_it_was() -> None:
    assert mask("x" * 100_000, 10) == "x" * 10 + "… (of 100000 characters)"
    assert mask("x" * 20, 10) == "x" * 10 + "… (of 20 characters)"
    assert mask("x" * 10, 10) == "x" * 10


@pytest.mark.parametrize(
    "text",
    [
        "SENTINEL_WORKER_JWT: no key: set SUPABASE_SECRET_KEY (or SUPABASE_SERVICE_ROLE_KEY)",
        "The role sentinel_worker may not call sentinel_claim.",
        '{"event": "realtime.lost", "reason": "the token expires", "lived_seconds": 0.0}',
        '{"url": "http://127.0.0.1:54321", "detector": "demo", "pid": 12}',
        "storage.objects of media/0b6f/x.mp4?download=1",
        '{"event": "key.changed", "key": "of a worker", "policy": "owners", "auth": "none"}',
        '{"names": "SENTINEL_WORKER_JWT", "event": "key.changed"}',
        "new row violates row-level security policy; key = value",
    ],
)
def test_the_rest_stays(text: str) -> None:
    assert mask(text) == text


def test_masked_json_is_still_json() -> None:
    line = json.dumps({"event": "x", "headers": {"authorization": f"Bearer {CANARY}"}, "url": f"u?token={CANARY}"})
    assert json.loads(mask(line)) == {"event": "x", "headers": {"authorization": MASK}, "url": f"u?token={MASK}"}
