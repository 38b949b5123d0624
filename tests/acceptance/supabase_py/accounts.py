"""Signing up, in and out; sessions; user administration with a server's key."""

from uuid import uuid4

import pytest
from supabase_auth.errors import AuthWeakPasswordError

from tests.acceptance.supabase_py import frontend
from tests.acceptance.supabase_py.stage import LATER, Stage, auth_refused, refused


async def sign_in(stage: Stage) -> None:
    someone = await stage.user()
    auth, email, password = someone.supabase.auth, someone.email, someone.password
    await auth.sign_out()
    assert await auth.get_session() is None
    again = await auth.sign_in_with_password({"email": email, "password": password})
    assert again.user is not None
    assert again.user.id == someone.id
    got = await auth.get_user()
    assert got is not None
    assert got.user.email == email

    nobody = (await stage.client()).auth
    with pytest.raises(AuthWeakPasswordError) as weak:
        await nobody.sign_up({"email": email, "password": "abc"})
    assert weak.value.reasons == ["length"]
    await auth_refused(nobody.sign_up({"email": email, "password": password}), "user_already_exists")
    await auth_refused(nobody.sign_up({"email": "nobody", "password": password}), "validation_failed")
    wrong = nobody.sign_in_with_password({"email": email, "password": "wrong horse"})
    await auth_refused(wrong, "invalid_credentials")


async def anonymous(stage: Stage) -> None:
    supabase = await stage.client()
    visitor = (await supabase.auth.sign_in_anonymously({"options": {"data": {"name": "Ada"}}})).user
    assert visitor is not None
    assert visitor.is_anonymous
    await frontend.submit(supabase, {"storage_path": f"{visitor.id}/film.mp4", "run_at": LATER})

    taken = (await stage.user()).email
    await auth_refused(supabase.auth.update_user({"email": taken, "password": "correct horse"}), "email_exists")
    await auth_refused(supabase.auth.update_user({"password": "correct horse"}), "validation_failed")
    email, password = f"{uuid4()}@example.com", "correct horse"
    changed = (await supabase.auth.update_user({"email": email, "password": password})).user
    assert (changed.id, changed.is_anonymous) == (visitor.id, False)
    await auth_refused(supabase.auth.update_user({"password": "correct horse"}), "same_password")
    named = (await supabase.auth.update_user({"data": {"name": None, "rank": 1}})).user.user_metadata
    assert ("name" in named, named["rank"]) == (False, 1)

    back = await stage.signed_in(email, password)
    assert len((await back.supabase.table("analysis_requests").select("id").execute()).data) == 1


async def sessions(stage: Stage) -> None:
    someone = await stage.user()
    auth, first = someone.supabase.auth, someone.session
    second = (await auth.refresh_session()).session
    assert second is not None
    assert first.refresh_token != second.refresh_token
    repeated = (await auth.refresh_session(first.refresh_token)).session
    assert repeated is not None
    assert repeated.refresh_token == second.refresh_token
    nobody = (await stage.client()).auth
    await auth_refused(nobody.refresh_session("nonsense"), "refresh_token_not_found")

    elsewhere = await stage.signed_in(someone.email, someone.password)
    await auth.sign_out({"scope": "others"})
    assert (await auth.get_user()) is not None
    await auth_refused(elsewhere.supabase.auth.get_user(), "session_not_found")
    await auth_refused(nobody.refresh_session(elsewhere.session.refresh_token), "refresh_token_not_found")

    third = await stage.signed_in(someone.email, someone.password)
    await third.supabase.auth.sign_out({"scope": "local"})
    assert (await auth.get_user()) is not None
    await auth.sign_out()
    await auth_refused(nobody.get_user(second.access_token), "session_not_found")
    await auth_refused(nobody.get_user("nonsense"), "bad_jwt")


async def administration(stage: Stage) -> None:
    server = await stage.client(stage.secret_key)
    admin = server.auth.admin
    email, password = f"{uuid4()}@example.com", "correct horse"
    made = await admin.create_user(
        {"email": email, "password": password, "email_confirm": True, "user_metadata": {"name": "Ada"}}
    )
    user_id = made.user.id
    assert (await admin.get_user_by_id(user_id)).user.user_metadata["name"] == "Ada"
    assert [user.id for user in await admin.list_users(page=1, per_page=1)] == [user_id]
    await auth_refused(admin.create_user({"email": email}), "email_exists")
    await auth_refused(admin.create_user({}), "validation_failed")

    person = await stage.signed_in(email, password)
    changed = await admin.update_user_by_id(user_id, {"app_metadata": {"team": "blue"}})
    assert changed.user.app_metadata["team"] == "blue"
    await auth_refused(person.supabase.auth.admin.list_users(), "not_admin")
    row = await frontend.submit(person.supabase, {"storage_path": f"{user_id}/film.mp4", "run_at": LATER})
    running = server.table("analysis_requests").update({"status": "running"}).eq("id", row["id"])
    await refused(running.execute(), "PT409")

    await admin.delete_user(user_id)
    await auth_refused(admin.get_user_by_id(user_id), "user_not_found")
    await auth_refused(person.supabase.auth.get_user(), "user_not_found")
    assert (await server.table("analysis_requests").select("id").eq("user_id", user_id).execute()).data == []
