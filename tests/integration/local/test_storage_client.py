"""Storage through an unmodified supabase-py, beyond plain uploads: updates, copies, moves, signatures, buckets."""

import asyncio
from collections.abc import AsyncIterator
from typing import Literal
from uuid import uuid4

import httpx
import pytest
from storage3.exceptions import StorageApiError
from storage3.types import FileOptions, SearchV2Options
from supabase import AsyncClient

from sentinel_local_supabase.stack import Stack
from tests.integration.local.conftest import User

VIDEO: FileOptions = {"content-type": "video/mp4"}
ColumnName = Literal["name", "created_at"]
Order = Literal["asc", "desc"]


async def test_update_upsert_and_metadata(users: tuple[User, User], service: AsyncClient) -> None:
    bucket, path = users[0].client.storage.from_("media"), f"{users[0].id}/changed.mp4"
    await bucket.upload(path, b"one", {**VIDEO, "metadata": {"take": 1}})
    first = await bucket.info(path)
    assert first["metadata"] == {"take": 1}
    await bucket.update(path, b"two", VIDEO)
    assert await bucket.download(path) == b"two"
    assert (await bucket.info(path))["metadata"] == {}
    await service.storage.from_("media").upload(path, b"three", {**VIDEO, "upsert": "true"})
    last = await bucket.info(path)
    assert (last["id"], last["size"]) == (first["id"], 5)
    assert last["version"] != first["version"]
    removed = await bucket.remove([path])
    assert [(row["owner"], row["owner_id"]) for row in removed] == [(users[0].id, users[0].id)]
    assert not await bucket.exists(path)


async def test_copy_and_move(users: tuple[User, User], service: AsyncClient) -> None:
    mine, theirs = (user.client.storage.from_("media") for user in users)
    everything = service.storage.from_("media")
    a, b, c = (f"{users[0].id}/{name}.mp4" for name in "abc")
    await mine.upload(a, b"bytes", {**VIDEO, "metadata": {"take": 1}})
    assert (await mine.copy(a, b))["Key"] == f"media/{b}"
    assert (await mine.info(b))["metadata"] == {"take": 1}
    for repeat in (everything.copy(a, b), everything.move(a, b)):
        with pytest.raises(StorageApiError, match="already exists") as caught:
            await repeat
        assert (caught.value.status, caught.value.code) == ("409", "Duplicate")
    known = await mine.info(b)
    assert await everything.move(b, c) == {"message": "Successfully moved"}
    moved = await mine.info(c)
    assert (moved["id"], moved["metadata"]) == (known["id"], {"take": 1})
    assert await mine.remove([a]) != []
    assert await mine.download(c) == b"bytes"
    assert not await mine.exists(b)
    for attempt in (theirs.copy(c, f"{users[1].id}/c"), theirs.move(c, f"{users[1].id}/c"), mine.copy(b, a)):
        with pytest.raises(StorageApiError, match="Object not found"):
            await attempt
    with pytest.raises(StorageApiError, match="row-level security"):
        await mine.copy(c, f"{users[1].id}/planted.mp4")


async def test_copies_and_moves_to_another_bucket(stack: Stack, service: AsyncClient) -> None:
    first, second = f"{uuid4()}/a.txt", f"{uuid4()}/b.txt"
    await service.storage.from_("open").upload(first, b"moved", {"content-type": "text/plain"})
    headers = {"Authorization": f"Bearer {stack.service_key}"}
    way = {"bucketId": "open", "sourceKey": first, "destinationBucket": "small"}
    async with httpx.AsyncClient(base_url=f"{stack.url}/storage/v1", headers=headers) as client:
        lost = await client.post("/object/move", json={**way, "destinationKey": "a", "destinationBucket": "nowhere"})
        assert lost.json()["message"] == "The related resource does not exist"
        incomplete = await client.post("/object/copy", json=way)
        assert incomplete.json()["message"] == "body must have required property 'destinationKey'"
        changed = {"copyMetadata": False, "metadata": {"mimetype": "text/csv"}, "destinationKey": second}
        assert (await client.post("/object/copy", json={**way, **changed})).json()["Key"] == f"small/{second}"
        assert (await client.post("/object/move", json={**way, "destinationKey": first})).status_code == 200
    for name, media_type in ((first, "text/plain"), (second, "text/csv")):
        assert await service.storage.from_("small").download(name) == b"moved"
        assert (await service.storage.from_("small").info(name))["content_type"] == media_type
    assert not await service.storage.from_("open").exists(first)


async def test_signatures(users: tuple[User, User], stack: Stack) -> None:
    bucket = users[0].client.storage.from_("media")
    path, missing = f"{users[0].id}/signed.mp4", f"{users[0].id}/missing.mp4"
    upload = await bucket.create_signed_upload_url(path)
    await bucket.upload_to_signed_url(path, upload["token"], b"signed", VIDEO)
    with pytest.raises(StorageApiError, match="already exists"):
        await bucket.upload_to_signed_url(path, upload["token"], b"again", VIDEO)
    with pytest.raises(StorageApiError, match="Invalid signature"):
        await bucket.upload_to_signed_url(missing, upload["token"], b"elsewhere", VIDEO)
    found, absent = await bucket.create_signed_urls([path, missing], 60)
    assert (found["error"], absent["signedURL"]) == (None, None)
    url = httpx.URL(found["signedURL"] or "")
    async with httpx.AsyncClient() as stranger:
        assert (await stranger.get(url)).content == b"signed"
        # A token for reading is not valid for writing, and vice versa.
        written = await stranger.put(
            f"{stack.url}/storage/v1/object/upload/sign/media/{path}?token={url.params['token']}", content=b"x"
        )
        read = await stranger.get(f"{stack.url}/storage/v1/object/sign/media/{path}?token={upload['token']}")
    assert (written.json()["message"], read.json()["message"]) == (
        "Token is not scoped for upload",
        "Token is not scoped for download",
    )


async def test_buckets_and_public_urls(service: AsyncClient) -> None:
    name = f"b-{uuid4()}"
    await service.storage.create_bucket(
        name, None, {"public": True, "file_size_limit": 1000, "allowed_mime_types": ["text/plain"]}
    )
    bucket = service.storage.from_(name)
    await bucket.upload("a.txt", b"a" * 1000, {"content-type": "text/plain"})
    for content, kind, status in ((b"a" * 1001, "text/plain", "413"), (b"a", "image/png", "415")):
        with pytest.raises(StorageApiError) as caught:
            await bucket.upload("b.txt", content, {"content-type": kind})
        assert caught.value.status == status
    async with httpx.AsyncClient() as stranger:
        assert (await stranger.get(await bucket.get_public_url("a.txt"))).content == b"a" * 1000
    await service.storage.update_bucket(name, {"public": False})
    assert (await service.storage.get_bucket(name)).public is False
    with pytest.raises(StorageApiError, match="not empty"):
        await service.storage.delete_bucket(name)
    await service.storage.empty_bucket(name)
    await service.storage.delete_bucket(name)


@pytest.mark.parametrize("order", ["asc", "desc"])
@pytest.mark.parametrize("column", ["name", "created_at"])
async def test_pages_by_cursor(service: AsyncClient, column: ColumnName, order: Order) -> None:
    bucket, folder = service.storage.from_("open"), str(uuid4())
    names = ["b/1", "b/2", "a.txt", "a/x", "c", "d/deep/1"]
    for name in names:
        await bucket.upload(f"{folder}/{name}", b"x", {"content-type": "text/plain"})
    level = ["b/", "a.txt", "a/", "c", "d/"]
    for delimited, entries in ((False, names), (True, level)):
        expected = sorted(entries) if column == "name" else entries
        found = []
        options: SearchV2Options = {"prefix": f"{folder}/", "limit": 1, "with_delimiter": delimited}
        options["sortBy"] = {"column": column, "order": order}
        while True:
            page = await bucket.list_v2(options)
            found += [one.name.removeprefix(f"{folder}/") for one in page.folders]
            found += [one.name.removeprefix(f"{folder}/") for one in page.objects]
            if page.nextCursor is None:
                break
            options["cursor"] = page.nextCursor
        assert found == expected[:: 1 if order == "asc" else -1]
    whole = await bucket.list_v2({"prefix": f"{folder}/", "with_delimiter": True})
    assert ([one.key for one in whole.folders], whole.hasNext) == (["a", "b", "d"], False)


async def test_an_upload_is_exclusive_only_at_its_start(stack: Stack) -> None:
    """The slow upload wins, as on the real server: it began before the fast one's object existed."""
    name, asked, resume = f"{uuid4()}.bin", asyncio.Event(), asyncio.Event()

    async def slowly() -> AsyncIterator[bytes]:
        yield b"slow"
        asked.set()
        await resume.wait()

    headers = {"Authorization": f"Bearer {stack.service_key}", "Content-Type": "text/plain"}
    async with httpx.AsyncClient(base_url=f"{stack.url}/storage/v1", headers=headers, timeout=30) as client:
        slow = asyncio.create_task(client.post(f"/object/open/{name}", content=slowly()))
        await asked.wait()
        fast = await client.post(f"/object/open/{name}", content=b"fast")
        assert (await client.post(f"/object/open/{name}", content=b"late")).json()["code"] == "KeyAlreadyExists"
        resume.set()
        assert (await slow).json() == fast.json()
        assert (await client.get(f"/object/public/open/{name}")).text == "slow"
