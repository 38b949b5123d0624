"""Requests: asking, watching, evidence, batches, lists, and the owner's actions."""

import asyncio
from uuid import uuid4

import httpx
from storage3._async.file_api import AsyncBucketProxy

from tests.acceptance.supabase_py import frontend
from tests.acceptance.supabase_py.stage import LATER, Person, Stage, refused
from tests.waits import until

WORST_FRAMES = ("worst_frame", "worst_frame_2", "worst_frame_3")


async def _uploaded(owner: Person, stage: Stage, name: str = "bikes.mp4") -> str:
    file = stage.films / name
    return await frontend.upload(owner.supabase, frontend.path_for(owner.id, file), file)


async def verdict(stage: Stage) -> None:
    owner = await stage.user()
    path = await _uploaded(owner, stage, "bikes-tampered.mp4")
    request_id, seen = str(uuid4()), []
    end = asyncio.create_task(frontend.finished(owner.supabase, request_id, lambda row: seen.append(row["status"])))
    asked = await frontend.submit(owner.supabase, {"id": request_id, "media_kind": "video", "storage_path": path})
    assert (asked["id"], asked["status"], asked["user_id"]) == (request_id, "queued", owner.id)
    row = await end
    assert (row["status"], row["verdict"], row["progress"]) == ("succeeded", "fake", 100)
    assert row["fake_probability"] > 0.5
    # A slow client may look only at the end, but never sees the status go back.
    assert seen == sorted(seen, key=["queued", "running", "succeeded"].index)
    assert seen[-1] == "succeeded"

    found = await frontend.evidence(owner.supabase, request_id)
    assert (found["verdict"], found["request_id"], found["is_current"]) == ("fake", request_id, True)
    assert found["timeline"][0]["end_seconds"] > 0
    assert sorted(found["urls"]) == ["filmstrip", "thumbnail", *WORST_FRAMES]
    film = await frontend.signed_url(owner.supabase, "media", path)
    async with httpx.AsyncClient() as http:
        for url in found["urls"].values():
            picture = await http.get(url)
            assert picture.status_code == 200
            assert picture.headers["content-type"].startswith("image/")
        part = await http.get(film, headers={"Range": "bytes=0-9"})
        assert (part.status_code, len(part.content)) == (206, 10)


async def poll(stage: Stage) -> None:
    owner = await stage.user()
    row = await frontend.submit(owner.supabase, {"storage_path": await _uploaded(owner, stage)})
    row = await frontend.finished(owner.supabase, row["id"], poll_seconds=0.5)
    assert (row["status"], row["verdict"]) == ("succeeded", "real")


async def batch(stage: Stage) -> None:
    owner = await stage.user()
    paths = [await _uploaded(owner, stage), await _uploaded(owner, stage), f"{owner.id}/missing.mp4"]
    batch_id, requests = await frontend.submit_batch(owner.supabase, paths)
    assert len(requests) == 3
    ended: dict[str, str] = {}
    async for row in frontend.watch(owner.supabase, "batch_id", batch_id):
        if row["finished_at"]:
            ended[row["id"]] = row["status"]
        if len(ended) == 3:
            break
    counts = await frontend.batch_progress(owner.supabase, batch_id)
    expected = {"queued": 0, "scheduled": 0, "running": 0, "succeeded": 2, "failed": 1, "cancelled": 0}
    assert counts == expected, counts

    await refused(frontend.submit_batch(owner.supabase, [paths[0], "/etc/passwd"]), "23514")
    assert (await frontend.list_page(owner.supabase, 0))[1] == 1
    assert len((await frontend.list_page(owner.supabase, 0))[0]) == 3


async def lists(stage: Stage) -> None:
    owner = await stage.user()
    table = owner.supabase.table("analysis_requests")
    rows = [{"storage_path": f"{owner.id}/{place}.mp4", "run_at": LATER} for place in range(5)]
    await table.insert(rows).execute()
    pages = [await frontend.list_page(owner.supabase, number, 2) for number in range(3)]
    assert [(len(rows), count) for rows, count in pages] == [(2, 3), (2, 3), (1, 3)]
    assert pages[0][0][0]["analysis_results"] == []
    assert len({row["id"] for rows, _ in pages for row in rows}) == 5
    await refused(frontend.list_page(owner.supabase, 3, 2), "PGRST103")
    waiting = table.select("id", count="exact").in_("status", ["queued", "scheduled"])  # type: ignore[arg-type]
    assert (await waiting.gte("created_at", "2020-01-01").limit(1).execute()).count == 5
    several = await stage.signed_in(stage.parameters["email"], stage.parameters["password"])
    (_, succeeded), _ = await frontend.list_page(several.supabase, 0)
    assert [result["fake_probability"] for result in succeeded["analysis_results"]] == [0.75]


async def cancel(stage: Stage) -> None:
    owner = await stage.user()
    row = await frontend.submit(owner.supabase, {"storage_path": f"{owner.id}/film.mp4", "run_at": LATER})
    assert row["status"] == "scheduled"
    assert (await frontend.wait_of(owner.supabase, row["id"]))["reason"] == "scheduled"
    for _ in range(2):
        assert await frontend.call(owner.supabase, "cancel_analysis", row["id"]) == "cancelled"
    row = await frontend.finished(owner.supabase, row["id"])
    assert (row["status"], row["verdict"]) == ("cancelled", None)
    assert await frontend.call(owner.supabase, "cancel_analysis", str(uuid4())) == "not_found"


async def retry(stage: Stage) -> None:
    owner = await stage.user()
    path = f"{owner.id}/film.mp4"
    request_id = (await frontend.submit(owner.supabase, {"storage_path": path}))["id"]
    failed = await frontend.finished(owner.supabase, request_id)
    assert (failed["status"], failed["error_code"]) == ("failed", "object_not_found")
    assert len(failed["error_message"]) > 10

    await frontend.upload(owner.supabase, path, stage.films / "bikes.mp4")
    assert await frontend.call(owner.supabase, "retry_analysis", request_id) == "queued"
    row = await frontend.finished(owner.supabase, request_id)
    assert (row["status"], row["verdict"], row["error_code"]) == ("succeeded", "real", None)
    assert await frontend.call(owner.supabase, "retry_analysis", request_id) == "succeeded"


async def remove(stage: Stage) -> None:
    owner = await stage.user()
    path = await _uploaded(owner, stage)
    request_id = (await frontend.submit(owner.supabase, {"storage_path": path}))["id"]
    assert (await frontend.finished(owner.supabase, request_id))["status"] == "succeeded"
    derived = (await frontend.evidence(owner.supabase, request_id))["derived"]
    files = [("media", path), *(("derived", name) for name in derived.values())]
    for bucket, name in files:
        await owner.supabase.storage.from_(bucket).info(name)

    assert await frontend.call(owner.supabase, "delete_analysis", request_id) == "deleted"
    assert await frontend.call(owner.supabase, "delete_analysis", request_id) == "not_found"
    for table in ("analysis_requests", "analysis_results"):
        assert (await owner.supabase.table(table).select("id").execute()).data == []
    for bucket, name in files:
        await _gone(owner.supabase.storage.from_(bucket), name)
    assert await owner.supabase.storage.from_("media").list(owner.id) == []


async def _gone(bucket: AsyncBucketProxy, path: str) -> None:
    # Workers remove files at their next sweep without notifying frontends, so a frontend would poll, too.
    folder, _, name = path.rpartition("/")

    async def is_gone() -> bool:
        return name not in {entry["name"] for entry in await bucket.list(folder)}

    await until(is_gone)
