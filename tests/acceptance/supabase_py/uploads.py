"""The three ways to upload a film to the bucket."""

import httpx
import pytest

from tests.acceptance.supabase_py import frontend
from tests.acceptance.supabase_py.stage import Stage, refused, storage_refused


async def small_upload(stage: Stage) -> None:
    someone = await stage.user()
    file = stage.films / "bikes.mp4"
    path = await frontend.upload(someone.supabase, frontend.path_for(someone.id, file), file)
    media = someone.supabase.storage.from_("media")
    assert await media.download(path) == file.read_bytes()
    [listed] = await media.list(someone.id)
    assert (listed["metadata"]["size"], listed["metadata"]["mimetype"]) == (file.stat().st_size, "video/mp4")
    await storage_refused(frontend.upload(someone.supabase, path, file), "409")


async def large_upload(stage: Stage) -> None:
    someone = await stage.user()
    content = b"sentinel" * (14 * 1024 * 1024 // 8)
    path = f"{someone.id}/large.mp4"
    async with httpx.AsyncClient(timeout=30) as http:
        transfer = await frontend.upload_large(someone.supabase, http, stage.url, path, content)
        async for part in transfer.go_on(someone.supabase, http):
            if part > 0:
                break
        await someone.supabase.auth.refresh_session()
        parts = [part async for part in transfer.go_on(someone.supabase, http)]
        assert 0.4 < parts[0] < 0.5
        assert parts == sorted(parts)
        assert parts[-1] == 1
        assert await someone.supabase.storage.from_("media").download(path) == content
        with pytest.raises(httpx.HTTPStatusError) as taken:
            await frontend.upload_large(someone.supabase, http, stage.url, path, content)
        assert taken.value.response.status_code == 409
        with pytest.raises(httpx.HTTPStatusError) as giant:
            await frontend.upload_large(someone.supabase, http, stage.url, f"{path}.2", content, size=3 * 1024**3)
        assert giant.value.response.status_code == 413


async def forgotten_upload(stage: Stage) -> None:
    someone = await stage.user()
    content = b"sentinel" * (7 * 1024 * 1024 // 8)
    path = f"{someone.id}/large.mp4"
    async with httpx.AsyncClient(timeout=30) as http:
        transfer = await frontend.upload_large(someone.supabase, http, stage.url, path, content)
        async for part in transfer.go_on(someone.supabase, http):
            if part > 0:
                break
        await frontend.forget_large(someone.supabase, http, transfer)
        with pytest.raises(httpx.HTTPStatusError) as gone:
            await anext(transfer.go_on(someone.supabase, http))
        assert gone.value.response.status_code == 404
        anew = await frontend.upload_large(someone.supabase, http, stage.url, path, content)
        parts = [part async for part in anew.go_on(someone.supabase, http)]
    assert (parts[0], parts[-1]) == (0, 1)
    media = someone.supabase.storage.from_("media")
    assert [listed["name"] for listed in await media.list(someone.id)] == ["large.mp4"]
    assert await media.download(path) == content


async def discarded_upload(stage: Stage) -> None:
    someone = await stage.user()
    file = stage.films / "bikes.mp4"
    path = await frontend.upload(someone.supabase, frontend.path_for(someone.id, file), file)
    await refused(frontend.submit(someone.supabase, {"storage_path": path, "media_kind": "smell"}), "23514")
    assert (await frontend.quota(someone.supabase))["stored_bytes"] == file.stat().st_size
    await frontend.discard(someone.supabase, path)
    assert await someone.supabase.storage.from_("media").list(someone.id) == []
    assert (await frontend.quota(someone.supabase))["stored_bytes"] == 0


async def signed_upload(stage: Stage) -> None:
    someone = await stage.user()
    file = stage.films / "bikes.mp4"
    path = frontend.path_for(someone.id, file)
    token = await frontend.upload_ticket(someone.supabase, path)
    phone = await stage.client()
    await frontend.upload_with_ticket(phone, path, token, file)
    assert await someone.supabase.storage.from_("media").download(path) == file.read_bytes()
    await storage_refused(frontend.upload_with_ticket(phone, f"{path}.2", token, file), "400")
    await storage_refused(frontend.upload_ticket(phone, path), "403")
