"""Sign-in through supabase-py."""

import stat
from collections.abc import Awaitable
from typing import Literal
from uuid import UUID, uuid4

import httpx
import jwt
import psycopg
import pytest
from supabase import AsyncClient
from supabase_auth.errors import AuthApiError, AuthWeakPasswordError
from supabase_auth.types import SignInWithEmailAndPasswordCredentials

from sentinel_local_supabase.keys import ProjectKeys
from sentinel_local_supabase.stack import Stack
from sentinel_local_supabase.tokens import verify
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


@pytest.mark.parametrize(
    ("email", "password", "code", "status"),
    [
        ("taken", "correct horse", "user_already_exists", 422),
        ("new@example.com", "12345", "weak_password", 422),
        ("new@example.com", "x" * 73, "validation_failed", 400),
        ("not an address", "correct horse", "validation_failed", 400),
        (f"{'x' * 250}@example.com", "correct horse", "validation_failed", 400),
    ],
)
async def test_sign_up_refuses(
    stack: Stack, users: tuple[User, User], email: str, password: str, code: str, status: int
) -> None:
    address = users[0].email.upper() if email == "taken" else email
    async with connected(stack.url, stack.publishable_key) as client:
        if code == "weak_password":
            with pytest.raises(AuthWeakPasswordError) as weak:
                await client.auth.sign_up({"email": address, "password": password})
            assert (weak.value.reasons, weak.value.status) == (["length"], status)
        else:
            await _refused(client.auth.sign_up({"email": address, "password": password}), code, status)


async def test_anonymous_users_can_become_permanent(stack: Stack) -> None:
    async with connected(stack.url, stack.publishable_key) as client:
        signed = await client.auth.sign_in_anonymously({"options": {"data": {"name": "Ada"}}})
        assert signed.user is not None
        assert signed.user.is_anonymous
        assert signed.user.user_metadata == {"name": "Ada"}
        with pytest.raises(AuthApiError) as caught:
            await client.auth.update_user({"password": "correct horse"})
        assert (caught.value.code, caught.value.status) == ("validation_failed", 422)
        changed = await client.auth.update_user({"email": f"{uuid4()}@example.com", "password": "correct horse"})
        assert changed.user.id == signed.user.id
        assert not changed.user.is_anonymous
        assert changed.user.app_metadata == {"provider": "email", "providers": ["email"]}


async def test_a_user_changes_what_is_theirs(users: tuple[User, User]) -> None:
    auth = users[0].client.auth
    await auth.update_user({"data": {"name": "Ada", "rank": 1}})
    assert (await auth.update_user({"data": {"rank": None}})).user.user_metadata == {
        "name": "Ada",
        "sub": users[0].id,
        "email": users[0].email,
        "email_verified": True,
        "phone_verified": False,
    }
    with pytest.raises(AuthApiError) as caught:
        await auth.update_user({"email": users[1].email})
    assert (caught.value.code, caught.value.status) == ("email_exists", 422)
    with pytest.raises(AuthApiError) as caught:
        await auth.update_user({"password": "correct horse"})
    assert (caught.value.code, caught.value.status) == ("same_password", 422)


async def test_a_new_password_ends_the_other_sessions(stack: Stack, users: tuple[User, User]) -> None:
    async with connected(stack.url, stack.publishable_key) as elsewhere:
        await elsewhere.auth.sign_in_with_password({"email": users[0].email, "password": "correct horse"})
        await users[0].client.auth.update_user({"password": "another horse"})
        assert (await users[0].client.auth.get_user()) is not None
        with pytest.raises(AuthApiError) as caught:
            await elsewhere.auth.get_user()
        assert (caught.value.code, caught.value.status) == ("session_not_found", 403)
        await elsewhere.auth.sign_in_with_password({"email": users[0].email, "password": "another horse"})


async def test_the_refresh_token_before_the_current_one_is_forgiven(users: tuple[User, User]) -> None:
    session = await users[0].client.auth.get_session()
    assert session is not None
    first = (await users[0].client.auth.refresh_session(session.refresh_token)).session
    again = (await users[0].client.auth.refresh_session(session.refresh_token)).session
    assert first is not None
    assert again is not None
    assert first.refresh_token == again.refresh_token != session.refresh_token


async def test_a_refresh_keeps_how_the_user_signed_in(stack: Stack, users: tuple[User, User]) -> None:
    before = await users[0].client.auth.get_session()
    after = (await users[0].client.auth.refresh_session()).session
    assert before is not None
    assert after is not None
    claims = [verify(session.access_token, stack.jwt_secret) for session in (before, after)]
    assert claims[0]["amr"] == claims[1]["amr"]
    assert [used["method"] for used in claims[1]["amr"]] == ["password"]
    assert claims[0]["session_id"] == claims[1]["session_id"]


async def test_an_old_refresh_token_is_forgiven_for_seconds_and_then_revokes_its_session(
    stack: Stack, users: tuple[User, User]
) -> None:
    auth = users[0].client.auth
    first = await auth.get_session()
    assert first is not None
    second = (await auth.refresh_session(first.refresh_token)).session
    third = (await auth.refresh_session()).session
    other_tab = (await auth.refresh_session(first.refresh_token)).session
    last = (await auth.refresh_session()).session
    assert second is not None
    assert third is not None
    assert other_tab is not None
    assert last is not None
    assert len({one.refresh_token for one in (first, second, third, other_tab, last)}) == 5
    for token in (first.refresh_token, last.refresh_token):
        with psycopg.connect(stack.superuser_dsn, autocommit=True) as database:
            database.execute("update auth.refresh_tokens set updated_at = updated_at - interval '1 minute'")
        await _refused(auth.refresh_session(token), "refresh_token_already_used", 400)


async def test_an_unknown_refresh_token_is_refused(users: tuple[User, User]) -> None:
    await _refused(users[0].client.auth.refresh_session("nonsense"), "refresh_token_not_found", 400)


async def _refused(call: Awaitable[object], code: str, status: int) -> None:
    with pytest.raises(AuthApiError) as caught:
        await call
    assert (caught.value.code, caught.value.status) == (code, status)


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


@pytest.mark.parametrize(
    ("scope", "remaining"), [("local", (False, True)), ("others", (True, False)), ("global", (False, False))]
)
async def test_sign_out_has_scopes(
    stack: Stack, users: tuple[User, User], scope: Literal["local", "others", "global"], remaining: tuple[bool, bool]
) -> None:
    async with connected(stack.url, stack.publishable_key) as second:
        await second.auth.sign_in_with_password({"email": users[0].email, "password": "correct horse"})
        sessions = [await users[0].client.auth.get_session(), await second.auth.get_session()]
        await users[0].client.auth.sign_out({"scope": scope})
    async with httpx.AsyncClient(base_url=stack.url, headers={"apikey": stack.anon_key}) as http:
        for session, lives in zip(sessions, remaining, strict=True):
            assert session is not None
            answer = await http.get("/auth/v1/user", headers={"Authorization": f"Bearer {session.access_token}"})
            assert answer.status_code == (200 if lives else 403)


@pytest.mark.parametrize(
    ("claims", "status", "code"),
    [
        ({"exp": 1}, 403, "bad_jwt"),
        ({"sub": None}, 403, "bad_jwt"),
        ({"sub": "nobody"}, 400, "bad_jwt"),
        ({"sub": str(UUID(int=7))}, 403, "user_not_found"),
        ({"session_id": str(UUID(int=7))}, 403, "session_not_found"),
        ({}, 200, None),
    ],
)
async def test_a_token_must_stand_for_a_user_and_a_session(
    stack: Stack, users: tuple[User, User], claims: dict[str, object], status: int, code: str | None
) -> None:
    token = stack.keys.sign({"sub": users[0].id, "role": "authenticated", **claims})
    headers = {"apikey": stack.anon_key, "Authorization": f"Bearer {token}"}
    async with httpx.AsyncClient(base_url=stack.url, headers=headers) as http:
        old = await http.get("/auth/v1/user")
        new = await http.get("/auth/v1/user", headers={"X-Supabase-Api-Version": "2024-01-01"})
    assert (old.status_code, new.status_code) == (status, status)
    assert new.headers.get("x-sb-error-code") == code
    if code is not None:
        assert (old.json()["code"], old.json()["error_code"], new.json()["code"]) == (status, code, code)
        assert old.json()["msg"] == new.json()["message"]


async def test_a_bearer_token_of_another_project_is_refused(stack: Stack) -> None:
    async with httpx.AsyncClient(base_url=stack.url, headers={"apikey": stack.anon_key}) as http:
        for token, reason in (
            (jwt.encode({"sub": str(uuid4())}, "another secret" * 4), "signature is invalid"),
            ("nonsense", "token contains an invalid number of segments"),
        ):
            answer = await http.get("/auth/v1/user", headers={"Authorization": f"Bearer {token}"})
            assert (answer.status_code, answer.json()["error_code"]) == (403, "bad_jwt")
            assert answer.json()["msg"].endswith(reason)


def absent(what: str) -> dict[str, str]:
    """The parts of an error that say what the local sign-in leaves out."""
    has = "it signs in by password and anonymously, and sends no mail"
    return {"error_code": "feature_disabled", "msg": f"The local Supabase has no {what}: {has}"}


NO_PHONES = absent("telephone numbers") | {"error_code": "phone_provider_disabled"}


@pytest.mark.parametrize(
    ("path", "body", "status", "answer"),
    [
        ("token?grant_type=refresh_token", {}, 400, {"error": "invalid_request"}),
        ("token?grant_type=magic", {}, 400, {"error_code": "invalid_credentials", "msg": "unsupported_grant_type"}),
        ("token?grant_type=password", {"password": "x"}, 400, {"msg": "missing email or phone"}),
        ("signup", {"phone": "4912345", "password": "correct horse"}, 400, NO_PHONES),
        ("token?grant_type=password", {"phone": "4912345", "password": "x"}, 400, NO_PHONES),
        ("signup", {"email": "new@example.com"}, 400, {"msg": "Signup requires a valid password"}),
        ("signup", {"email": 7}, 400, {"error_code": "bad_json"}),
        ("signup", [], 400, {"error_code": "bad_json"}),
        ("otp", {"email": "a@example.com"}, 404, absent("/auth/v1/otp")),
        ("recover", {"email": "a@example.com"}, 404, absent("/auth/v1/recover")),
        ("verify", {"type": "email", "token": "1"}, 404, absent("/auth/v1/verify")),
        ("resend", {"type": "signup", "email": "a@example.com"}, 404, absent("/auth/v1/resend")),
        ("invite", {"email": "a@example.com"}, 404, absent("/auth/v1/invite")),
        ("admin/generate_link", {"type": "magiclink"}, 404, absent("/auth/v1/admin/generate_link")),
        ("factors", {"factor_type": "totp"}, 404, absent("/auth/v1/factors")),
        ("sso", {"domain": "example.com"}, 404, absent("/auth/v1/sso")),
        ("token?grant_type=pkce", {"auth_code": "x"}, 404, absent("grant type pkce")),
        ("token?grant_type=id_token", {"id_token": "x"}, 404, absent("grant type id_token")),
        ("token?grant_type=web3", {"chain": "solana"}, 404, absent("grant type web3")),
    ],
)
async def test_what_cannot_be_answered_says_why(
    stack: Stack, path: str, body: object, status: int, answer: dict[str, str]
) -> None:
    async with httpx.AsyncClient(base_url=stack.url, headers={"apikey": stack.anon_key}) as http:
        given = await http.post(f"/auth/v1/{path}", json=body)
    assert given.status_code == status
    assert answer.items() <= given.json().items()


async def test_other_ways_to_sign_in_are_named_as_absent(stack: Stack, users: tuple[User, User]) -> None:
    async with httpx.AsyncClient(base_url=stack.url, headers={"apikey": stack.anon_key}) as http:
        for path in ("authorize?provider=github", "user/identities/authorize?provider=github"):
            given = await http.get(f"/auth/v1/{path}")
            assert (given.status_code, given.json()["error_code"]) == (404, "feature_disabled")
    await _refused(users[0].client.auth.update_user({"phone": "4912345"}), "phone_provider_disabled", 400)


async def test_a_telephone_number_is_not_dropped_in_silence(service: AsyncClient, users: tuple[User, User]) -> None:
    admin, address = service.auth.admin, f"{uuid4()}@example.com"
    await _refused(admin.create_user({"phone": "4912345", "password": "correct horse"}), "phone_provider_disabled", 400)
    await _refused(admin.create_user({"email": address, "phone": "4912345"}), "phone_provider_disabled", 400)
    await _refused(admin.update_user_by_id(users[0].id, {"phone": "4912345"}), "phone_provider_disabled", 400)


async def test_sign_up_tells_who_signed_up_in_the_metadata_and_the_identity(stack: Stack) -> None:
    email = f"{uuid4()}@example.com"
    async with connected(stack.url, stack.publishable_key) as client:
        data = {"name": "Ada", "email": "other@example.com", "sub": "x"}
        signed = await client.auth.sign_up(
            {"email": email.upper(), "password": "correct horse", "options": {"data": data}}
        )
        assert signed.user is not None
        known = {"sub": signed.user.id, "email": email, "email_verified": True, "phone_verified": False}
        assert signed.user.user_metadata == known | {"name": "Ada"}
        again = await client.auth.get_user()
    assert signed.user.identities is not None
    assert again is not None
    assert again.user.identities is not None
    first, later = signed.user.identities[0], again.user.identities[0]
    assert (first.provider, first.id, first.user_id) == ("email", signed.user.id, signed.user.id)
    assert first.identity_data == known
    assert first.identity_id == later.identity_id != signed.user.id
    assert UUID(first.identity_id)


async def test_only_the_service_key_administers_users(service: AsyncClient, users: tuple[User, User]) -> None:
    email = f"{uuid4()}@example.com"
    made = await service.auth.admin.create_user(
        {"email": email, "password": "correct horse", "email_confirm": True, "user_metadata": {"a": 1}}
    )
    assert made.user.email == email
    read = (await service.auth.admin.get_user_by_id(made.user.id)).user
    assert read.user_metadata == {"a": 1, "email_verified": True}
    assert made.user.id in {user.id for user in await service.auth.admin.list_users()}
    await service.auth.admin.delete_user(made.user.id)
    await _refused(service.auth.admin.get_user_by_id(made.user.id), "user_not_found", 404)
    await _refused(users[0].client.auth.admin.list_users(), "not_admin", 403)
    await _refused(service.auth.admin.create_user({"email": users[0].email}), "email_exists", 422)
    await _refused(service.auth.admin.create_user({}), "validation_failed", 400)


async def test_an_unconfirmed_user_waits_for_the_administrator(stack: Stack, service: AsyncClient) -> None:
    email, password = f"{uuid4()}@example.com", "abc"
    made = await service.auth.admin.create_user({"email": email, "password": password})
    async with connected(stack.url, stack.publishable_key) as client:
        await _refused(
            client.auth.sign_in_with_password({"email": email, "password": password}), "email_not_confirmed", 400
        )
        await service.auth.admin.update_user_by_id(made.user.id, {"email_confirm": True})
        signed = await client.auth.sign_in_with_password({"email": email, "password": password})
        assert signed.user is not None
        assert signed.user.email_confirmed_at is not None


async def test_an_old_weak_password_signs_in_with_a_warning(stack: Stack, service: AsyncClient) -> None:
    email, password = f"{uuid4()}@example.com", "abc"
    await service.auth.admin.create_user({"email": email, "password": password, "email_confirm": True})
    async with httpx.AsyncClient(base_url=stack.url, headers={"apikey": stack.anon_key}) as http:
        answer = await http.post("/auth/v1/token?grant_type=password", json={"email": email, "password": password})
    assert answer.json()["weak_password"]["reasons"] == ["length"]


async def test_an_administrator_changes_a_user(stack: Stack, service: AsyncClient, users: tuple[User, User]) -> None:
    admin, user = service.auth.admin, users[0]
    changed = await admin.update_user_by_id(
        user.id, {"app_metadata": {"team": "blue"}, "user_metadata": {"a": 1}, "password": "another horse"}
    )
    assert changed.user.app_metadata["team"] == "blue"
    await _refused(user.client.auth.get_user(), "session_not_found", 403)
    await user.client.auth.sign_in_with_password({"email": user.email, "password": "another horse"})
    session = await user.client.auth.get_session()
    assert session is not None
    assert verify(session.access_token, stack.jwt_secret)["app_metadata"]["team"] == "blue"
    changed = await admin.update_user_by_id(user.id, {"app_metadata": {"team": None}})
    assert "team" not in changed.user.app_metadata
    await _refused(admin.update_user_by_id(user.id, {"email": users[1].email}), "unexpected_failure", 500)


async def test_a_banned_user_is_kept_out(service: AsyncClient, users: tuple[User, User]) -> None:
    admin, user = service.auth.admin, users[0]
    await admin.update_user_by_id(user.id, {"ban_duration": "1h30m"})
    await _refused(user.client.auth.get_user(), "user_banned", 403)
    await _refused(user.client.auth.refresh_session(), "user_banned", 400)
    credentials: SignInWithEmailAndPasswordCredentials = {"email": user.email, "password": "correct horse"}
    await _refused(user.client.auth.sign_in_with_password(credentials), "user_banned", 400)
    await admin.update_user_by_id(user.id, {"ban_duration": "none"})
    await user.client.auth.sign_in_with_password(credentials)
    await _refused(admin.update_user_by_id(user.id, {"ban_duration": "a week"}), "validation_failed", 400)


async def test_users_are_counted_in_pages(stack: Stack, service: AsyncClient, users: tuple[User, User]) -> None:
    first, second = [await service.auth.admin.list_users(page=page, per_page=1) for page in (1, 2)]
    assert [first[0].id, second[0].id] == [users[1].id, users[0].id]
    headers = {"apikey": stack.service_key, "Authorization": f"Bearer {stack.service_key}"}
    async with httpx.AsyncClient(base_url=stack.url, headers=headers) as http:
        answer = await http.get("/auth/v1/admin/users?page=1&per_page=1")
        wrong = await http.get("/auth/v1/admin/users?page=x")
    total = int(answer.headers["x-total-count"])
    assert total >= 2
    assert f'page={total}&per_page=1>; rel="last"' in answer.headers["link"]
    assert 'page=2&per_page=1>; rel="next"' in answer.headers["link"]
    assert (wrong.status_code, wrong.json()["error_code"]) == (400, "validation_failed")


async def test_deleting_a_user_takes_all_that_is_theirs(
    stack: Stack, service: AsyncClient, users: tuple[User, User]
) -> None:
    user = users[0]
    row = {"storage_path": f"{user.id}/film.mp4"}
    await user.client.table("analysis_requests").insert(row).execute()
    await service.auth.admin.delete_user(user.id)
    with psycopg.connect(stack.superuser_dsn) as database:
        left = database.execute(
            "select (select count(*) from analysis_requests where user_id = %(id)s),"
            " (select count(*) from auth.sessions where user_id = %(id)s::uuid),"
            " (select count(*) from auth.refresh_tokens where user_id = %(id)s::uuid)",
            {"id": user.id},
        ).fetchone()
    assert left == (0, 0, 0)
    await _refused(user.client.auth.get_user(), "user_not_found", 403)


async def test_a_soft_deleted_user_is_gone_and_their_rows_stay(
    stack: Stack, service: AsyncClient, users: tuple[User, User]
) -> None:
    user = users[0]
    await user.client.table("analysis_requests").insert({"storage_path": f"{user.id}/film.mp4"}).execute()
    await service.auth.admin.delete_user(user.id, should_soft_delete=True)
    await _refused(user.client.auth.get_user(), "session_not_found", 403)
    credentials: SignInWithEmailAndPasswordCredentials = {"email": user.email, "password": "correct horse"}
    await _refused(user.client.auth.sign_in_with_password(credentials), "invalid_credentials", 400)
    with psycopg.connect(stack.superuser_dsn) as database:
        rows = database.execute("select count(*) from analysis_requests where user_id = %s", [user.id]).fetchone()
    assert rows == (1,)


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


def test_keys_are_made_once_and_readable_only_by_their_owner(stack: Stack) -> None:
    path = stack.folder / "keys.json"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert ProjectKeys.load(path) == stack.keys
    assert stack.keys.jwt_secret not in repr(stack.keys)
