"""Invalid tokens, and tokens for the wrong role, on each service."""

import time
from typing import Any

import httpx
import jwt
import pytest

from tests.rights.asking import Asking
from tests.rights.world import USER_A, prepare

pytestmark = pytest.mark.asyncio(loop_scope="session")
TABLE = "/rest/v1/analysis_requests"
OBJECT = f"/storage/v1/object/authenticated/media/{USER_A}/row.bin"
BROADCAST = "/realtime/v1/api/broadcast"
WAKE: dict[str, Any] = {"messages": [{"topic": "sentinel:wake", "event": "wake", "payload": {}, "private": True}]}


def token(secret: str, algorithm: str | None = "HS256", **claims: Any) -> str:
    return jwt.encode({"exp": int(time.time()) + 3600, **claims}, secret, algorithm=algorithm)


def forged(world: Asking) -> dict[str, str]:
    secret = world.stack.jwt_secret
    header, payload, signature = token(secret, role="authenticated", sub=USER_A).split(".")
    return {
        "another secret": token("x" * 64, role="service_role"),
        "no signature": token("", None, role="service_role"),
        "a cut signature": f"{header}.{payload}.{signature[:-6]}",
        "another's payload": f"{header}.{token('x' * 64, role='service_role').split('.')[1]}.{signature}",
        "expired": token(secret, role="service_role", exp=int(time.time()) - 120),
        "no token": "x",
    }


@pytest.mark.parametrize(
    "name", ["another secret", "no signature", "a cut signature", "another's payload", "expired", "no token"]
)
async def test_a_forged_token_opens_nothing(world: Asking, name: str) -> None:
    headers = {"apikey": world.stack.publishable_key, "Authorization": f"Bearer {forged(world)[name]}"}
    async with httpx.AsyncClient(base_url=world.stack.url, headers=headers) as client:
        assert (await client.get(TABLE)).status_code == 401
        stored = await client.get(OBJECT)
        assert (stored.status_code, stored.json()["code"]) == (400, "AccessDenied")
        assert (await client.post(BROADCAST, json=WAKE)).status_code == 401


@pytest.mark.parametrize("role", ["postgres", "supabase_admin", "supabase_storage_admin", "pg_read_all_data", "nobody"])
async def test_a_role_that_no_key_has_cannot_be_taken(world: Asking, role: str) -> None:
    headers = {
        "apikey": world.stack.publishable_key,
        "Authorization": f"Bearer {token(world.stack.jwt_secret, role=role)}",
    }
    async with httpx.AsyncClient(base_url=world.stack.url, headers=headers) as client:
        assert (await client.get(TABLE)).status_code == (401 if role == "nobody" else 403)
        stored = await client.get(OBJECT)
        assert stored.is_error, stored.text


@pytest.mark.parametrize("claims", [{}, {"sub": ""}, {"sub": "x"}, {"sub": None}, {"sub": [USER_A]}])
async def test_an_unknown_user_sees_and_writes_nothing(world: Asking, claims: dict[str, Any]) -> None:
    prepare(world.superuser)
    bearer = token(world.stack.jwt_secret, role="authenticated", **claims)
    headers = {"apikey": world.stack.publishable_key, "Authorization": f"Bearer {bearer}"}
    async with httpx.AsyncClient(base_url=world.stack.url, headers=headers) as client:
        seen = await client.get(TABLE)
        assert seen.is_client_error or seen.json() == []
        written = await client.post(TABLE, json={"storage_path": f"{USER_A}/b.mp4"})
        assert written.is_client_error, written.text
        assert (await client.get(OBJECT)).is_error
        uploaded = await client.post(f"/storage/v1/object/media/{USER_A}/x.bin", content=b"x")
        assert uploaded.is_error
    rows = world.superuser.execute("select count(*) from public.analysis_requests").fetchone()
    assert rows == (3,)
