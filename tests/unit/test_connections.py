"""Classification of Supabase's refusals, with statuses and codes as the real servers send them."""

import httpx
import pytest

from sentinel_worker.domain.errors import Fatal, Permanent, Transient
from sentinel_worker.supabase_client.connections import at_start, supabase_error
from sentinel_worker.supabase_client.keys import Key


@pytest.mark.parametrize(
    ("status", "body", "code"),
    [
        (503, b'{"code":"PGRST002","message":"Could not query the database for the schema cache. Retrying."}',
         "supabase_unavailable"),
        (504, b'{"code":"PGRST003","message":"Timed out acquiring connection from connection pool."}',
         "supabase_unavailable"),
        (500, b'{"code":"57014","message":"canceling statement due to statement timeout"}', "supabase_unavailable"),
        (502, b"<html>Bad Gateway</html>", "supabase_unavailable"),
        (429, b"too many", "supabase_unavailable"),
        (544, b"", "supabase_unavailable"),
        (400, b'{"code":"","details":null,"hint":null,"message":""}', "supabase_unavailable"),  # PostgreSQL crashed
        (401, b'{"code":"PGRST303","message":"JWT expired"}', "access_refused"),
        (401, b'{"message":"Invalid API key"}', "access_refused"),
        (403, b'{"code":"42501","message":"permission denied for function sentinel_claim"}', "access_refused"),
        (540, b"paused", "access_refused"),
        (404, b'{"code":"PGRST202","message":"Could not find the function"}', "schema_missing"),
    ],
)  # fmt: skip
def test_a_passing_failure_is_transient(status: int, body: bytes, code: str) -> None:
    error = supabase_error(status, body, httpx.Headers())
    assert isinstance(error, Transient)
    assert error.code == code


@pytest.mark.parametrize(
    ("status", "body", "code"),
    [
        (400, b'{"code":"22023","message":"args.worker must be the uuid of the calling worker"}', "call_refused"),
        (400, b'{"code":"42703","message":"column does not exist"}', "call_refused"),
        (404, b"<html>", "call_refused"),
        (400, b'{"code":"22P05","message":"unsupported Unicode escape sequence"}', "data_refused"),
        (400, b'{"code":"54001","message":"stack depth limit exceeded"}', "data_refused"),
        (413, b"<html>", "data_refused"),
    ],
)
def test_a_wrong_call_and_wrong_data_are_permanent(status: int, body: bytes, code: str) -> None:
    error = supabase_error(status, body, httpx.Headers())
    assert isinstance(error, Permanent)
    assert error.code == code


def test_the_servers_wish_is_kept() -> None:
    error = supabase_error(503, b"", httpx.Headers({"Retry-After": "7"}))
    assert isinstance(error, Transient)
    assert error.retry_after_seconds == 7


@pytest.mark.parametrize("body", [b'{"message":"Invalid API key"}', b'{"code":"PGRST202","message":"No function"}'])
def test_a_refusal_without_retry_after_is_retried_after_half_a_minute(body: bytes) -> None:
    error = supabase_error(401, body, httpx.Headers())
    assert isinstance(error, Transient)
    assert error.retry_after_seconds == 30


def test_a_key_rejected_at_startup_is_for_the_operator_to_fix() -> None:
    rejected = supabase_error(401, b'{"message":"Invalid API key"}', httpx.Headers())
    assert isinstance(rejected, Transient)
    assert isinstance(at_start(rejected), Fatal)
    away = Transient("supabase_unreachable", "x")
    assert at_start(away) is away


@pytest.mark.parametrize(
    "body",
    [
        b'{"code":"PGRST303","message":"JWT expired"}',
        b'{"statusCode":"400","error":"InvalidJWT","message":"\\"exp\\" claim timestamp check failed"}',
    ],
)
def test_a_token_that_only_the_servers_clock_takes_for_expired_is_named(body: bytes) -> None:
    key = Key("sb_publishable_x", "a.token.x")
    error = supabase_error(401, body, httpx.Headers(), key)
    assert "SENTINEL_WORKER_JWT has expired: sign one" in error.message
