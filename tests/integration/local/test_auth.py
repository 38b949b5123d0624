"""Sign-in, as supabase-py sees it."""

import stat
from uuid import uuid4

import httpx
import pytest
from supabase import AsyncClient
from supabase_auth.errors import AuthApiError, AuthWeakPasswordError

from sentinel_worker.local.keys import Keys
from sentinel_worker.local.stack import Stack
from sentinel_worker.local.tokens import verify
from tests.integration.local.clients import connected
from tests.integration.local.conftest import User


async def test_password_sign_in_gives_a_token_with_the_users_claims(stack: Stack, users: tuple[User, User]) -> None:
    async with connected(stack.url, stack.anon_key) as client:
        signed = await client.auth.sign_in_with_password({"email": users[0].email, "password": "correct horse"})
    assert signed.session is not None
    claims = verify(signed.session.access_token, stack.jwt_secret)
    assert (claims["sub"], claims["role"], claims["aud"]) == (users[0].id, "authenticated", "authenticated")
    assert claims["exp"] - claims["iat"] == signed.session.expires_in == 3600
    assert signed.user is not None
    assert signed.user.app_metadata == {"provider": "email", "providers": ["email"]}


@pytest.mark.parametrize(("email", "password"), [("nobody@example.com", "correct horse"), (None, "wrong horse")])
async def test_wrong_credentials_are_not_told_apart(
    stack: Stack, users: tuple[User, User], email: str | None, password: str
) -> None:
    async with connected(stack.url, stack.publishable_key) as client:
        with pytest.raises(AuthApiError) as caught:
            await client.auth.sign_in_with_password({"email": email or users[0].email, "password": password})
    assert (caught.value.code, caught.value.status) == ("invalid_credentials", 400)


async def test_sign_up_refuses_a_taken_email_and_a_weak_password(stack: Stack, users: tuple[User, User]) -> None:
    async with connected(stack.url, stack.publishable_key) as client:
        with pytest.raises(AuthApiError) as caught:
            await client.auth.sign_up({"email": users[0].email.upper(), "password": "correct horse"})
        assert caught.value.code == "user_already_exists"
        with pytest.raises(AuthWeakPasswordError):
            await client.auth.sign_up({"email": f"{uuid4()}@example.com", "password": "12345"})


async def test_anonymous_users_can_become_permanent(stack: Stack) -> None:
    async with connected(stack.url, stack.publishable_key) as client:
        signed = await client.auth.sign_in_anonymously({"options": {"data": {"name": "Ada"}}})
        assert signed.user is not None
        assert signed.user.is_anonymous
        assert signed.user.user_metadata == {"name": "Ada"}
        changed = await client.auth.update_user({"email": f"{uuid4()}@example.com", "password": "correct horse"})
        assert changed.user.id == signed.user.id
        assert not changed.user.is_anonymous


async def test_a_refresh_token_works_once_and_its_reuse_within_seconds_is_forgiven(users: tuple[User, User]) -> None:
    session = await users[0].client.auth.get_session()
    assert session is not None
    first = (await users[0].client.auth.refresh_session(session.refresh_token)).session
    again = (await users[0].client.auth.refresh_session(session.refresh_token)).session
    assert first is not None
    assert again is not None
    assert first.refresh_token == again.refresh_token != session.refresh_token


async def test_logout_ends_the_session(users: tuple[User, User]) -> None:
    client = users[0].client
    session = await client.auth.get_session()
    assert session is not None
    await client.auth.sign_out()
    with pytest.raises(AuthApiError) as caught:
        await client.auth.get_user(session.access_token)
    assert caught.value.code == "session_not_found"
    with pytest.raises(AuthApiError) as caught:
        await client.auth.refresh_session(session.refresh_token)
    assert str(caught.value) == "Invalid Refresh Token: Refresh Token Not Found"


async def test_only_the_service_key_administers_users(service: AsyncClient, users: tuple[User, User]) -> None:
    email = f"{uuid4()}@example.com"
    made = await service.auth.admin.create_user(
        {"email": email, "password": "correct horse", "email_confirm": True, "user_metadata": {"a": 1}}
    )
    assert made.user.email == email
    assert (await service.auth.admin.get_user_by_id(made.user.id)).user.user_metadata == {"a": 1}
    assert made.user.id in {user.id for user in await service.auth.admin.list_users()}
    await service.auth.admin.delete_user(made.user.id)
    with pytest.raises(AuthApiError) as caught:
        await users[0].client.auth.admin.list_users()
    assert caught.value.code == "not_admin"


@pytest.mark.parametrize(("key", "message"), [(None, "No API key found in request"), ("nonsense", "Invalid API key")])
async def test_a_request_needs_an_api_key(stack: Stack, key: str | None, message: str) -> None:
    async with httpx.AsyncClient(base_url=stack.url) as client:
        answer = await client.get("/rest/v1/notes", headers={"apikey": key} if key else {})
    assert answer.status_code == 401
    assert answer.json()["message"] == message


async def test_a_browser_may_call_from_anywhere(stack: Stack) -> None:
    async with httpx.AsyncClient(base_url=stack.url) as client:
        asked = {
            "Origin": "https://echo.example",
            "Access-Control-Request-Method": "PATCH",
            "Access-Control-Request-Headers": "apikey,authorization,x-upsert,prefer",
        }
        preflight = await client.options("/rest/v1/notes", headers=asked)
        answer = await client.get("/storage/v1/status", headers={"Origin": "https://echo.example"})
    assert preflight.status_code == 200
    assert "PATCH" in preflight.headers["access-control-allow-methods"]
    assert "x-upsert" in preflight.headers["access-control-allow-headers"]
    assert answer.headers["access-control-allow-origin"] == "*"
    assert "Content-Range" in answer.headers["access-control-expose-headers"]


def test_keys_are_made_once_and_readable_by_their_owner_alone(stack: Stack) -> None:
    path = stack.folder / "keys.json"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert Keys.load(path) == stack.keys
    assert stack.keys.jwt_secret not in repr(stack.keys)
