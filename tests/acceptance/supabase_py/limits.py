"""Quotas and the codes of errors."""

from typing import Any
from uuid import uuid4

from postgrest.exceptions import APIError

from tests.acceptance.supabase_py import frontend
from tests.acceptance.supabase_py.frontend import Row
from tests.acceptance.supabase_py.stage import LATER, Person, Stage, refused, storage_refused


def _refusal(error: APIError) -> Row:
    refusal = frontend.quota_refusal(error)
    assert refusal is not None
    return refusal


async def quotas(stage: Stage) -> None:
    """The operator allows two open requests, three an hour, 1,000 bytes and one retry."""
    owner = await stage.user()
    supabase = owner.supabase
    row = {"storage_path": f"{owner.id}/film.mp4", "run_at": LATER}
    request_id = (await frontend.submit(supabase, row))["id"]
    await frontend.submit(supabase, row)
    full = _refusal(await refused(frontend.submit(supabase, row), "PT429"))
    assert (full["quota"], full["limit"], full["used"]) == ("open_requests", 2, 2)
    assert min(len(full["message"]), len(full["hint"])) > 10

    assert await frontend.call(supabase, "cancel_analysis", request_id) == "cancelled"
    assert await frontend.call(supabase, "retry_analysis", request_id) == "queued"
    assert (await frontend.finished(supabase, request_id))["status"] == "failed"
    again = await refused(frontend.call(supabase, "retry_analysis", request_id), "PT429")
    assert _refusal(again)["quota"] == "retries_per_hour"
    await frontend.submit(supabase, row)
    assert await frontend.call(supabase, "delete_analysis", request_id) == "deleted"
    for one in (await frontend.list_page(supabase, 0))[0]:
        await frontend.call(supabase, "cancel_analysis", one["id"])
    assert _refusal(await refused(frontend.submit(supabase, row), "PT429"))["quota"] == "requests_per_hour"

    film = stage.films / "bikes.mp4"
    await frontend.upload(supabase, frontend.path_for(owner.id, film), film)
    await storage_refused(frontend.upload(supabase, frontend.path_for(owner.id, film), film), "403")
    quota = await frontend.quota(supabase)
    assert (quota["open_requests"], quota["max_open_requests"]) == (0, 2)
    assert (quota["requests_last_hour"], quota["max_requests_per_hour"]) == (3, 3)
    assert (quota["retries_last_hour"], quota["max_retries_per_hour"]) == (1, 1)
    assert (quota["stored_bytes"], quota["max_stored_bytes"]) == (film.stat().st_size, 1000)


async def errors(stage: Stage) -> None:
    owner = await stage.user()
    requests = owner.supabase.table("analysis_requests")
    good = {"storage_path": f"{owner.id}/film.mp4", "run_at": LATER}
    request_id = (await frontend.submit(owner.supabase, {**good, "dedupe_key": "one"}))["id"]
    table: list[tuple[dict[str, Any], str]] = [
        ({"id": request_id}, "23505"),
        ({"dedupe_key": "one"}, "23505"),
        ({"storage_path": f"{uuid4()}/film.mp4"}, "23514"),
        ({"storage_path": f"{owner.id}/../film.mp4"}, "23514"),
        ({"source_url": "https://example.com/film.mp4"}, "23514"),
        ({"id": "one"}, "22P02"),
        ({"run_at": "tomorrow morning"}, "22007"),
        ({"status": "succeeded"}, "42501"),
        ({"user_id": str(uuid4())}, "42501"),
        ({"colour": "blue"}, "PGRST204"),
    ]
    for changed, code in table:
        await refused(frontend.submit(owner.supabase, good | changed), code)
    await refused(requests.update({"status": "queued"}).eq("id", request_id).execute(), "42501")
    await refused(requests.delete().eq("id", request_id).execute(), "42501")
    await refused(owner.supabase.rpc("sentinel_claim", {"args": {}}).execute(), "42501")
    await refused(requests.select("*").eq("id", str(uuid4())).single().execute(), "PGRST116")
    await frontend.submit(owner.supabase, good)
    await refused(requests.select("*").single().execute(), "PGRST116")

    nobody = await stage.client()
    await refused(frontend.submit(nobody, good), "42501")
    for token, code in (("a.b.c", "PGRST301"), (stage.parameters["expired_token"], "PGRST303")):
        nobody.postgrest.auth(token)
        await refused(nobody.table("analysis_requests").select("*").execute(), code)
    await _files(stage, owner)


async def _files(stage: Stage, owner: Person) -> None:
    media = owner.supabase.storage.from_("media")
    film = stage.films / "bikes.mp4"
    await storage_refused(media.download(f"{owner.id}/none.mp4"), "404")
    await storage_refused(media.create_signed_url(f"{owner.id}/none.mp4", 60), "404")
    await storage_refused(media.upload(f"{uuid4()}/film.mp4", film), "403")
    await storage_refused(owner.supabase.storage.from_("derived").upload(f"{owner.id}/film.mp4", film), "403")
    odd = await storage_refused(media.upload(f"{owner.id}/Fräulein.mp4", film), "400")
    assert odd.message.startswith("Invalid key"), odd.message
