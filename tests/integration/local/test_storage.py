"""Objects through supabase-py, through raw HTTP, and over lost connections."""

import asyncio
import hashlib
import os
from pathlib import Path

import httpx
import psycopg
import pytest
from storage3.exceptions import StorageApiError
from storage3.types import FileOptions
from supabase import AsyncClient

from sentinel_local_supabase.stack import Stack
from tests.integration.local.conftest import User
from tests.waits import until


def auth(stack: Stack) -> dict[str, str]:
    return {"Authorization": f"Bearer {stack.service_key}", "apikey": stack.service_key}


def files_of(stack: Stack, part: str) -> list[Path]:
    return [path for path in (stack.folder / "objects" / part).rglob("*") if path.is_file()]


async def test_upload_download_list_remove(users: tuple[User, User]) -> None:
    bucket = users[0].client.storage.from_("media")
    path = f"{users[0].id}/dir/a b.mp4"
    content = os.urandom(3_000_000)
    stored = await bucket.upload(path, content, {"content-type": "video/mp4", "cache-control": "60"})
    assert stored.full_path == f"media/{path}"
    assert await bucket.download(path) == content
    known = await bucket.info(path)
    assert (known["size"], known["content_type"]) == (len(content), "video/mp4")
    assert known["etag"] == f'"{hashlib.md5(content, usedforsecurity=False).hexdigest()}"'
    assert [entry["name"] for entry in await bucket.list(users[0].id)] == ["dir"]
    assert [entry["name"] for entry in await bucket.list(f"{users[0].id}/dir")] == ["a b.mp4"]
    with pytest.raises(StorageApiError) as caught:
        await bucket.upload(path, b"again")
    assert (caught.value.status, caught.value.code) == ("409", "Duplicate")
    removed = await bucket.remove([path, f"{users[0].id}/none"])
    assert [entry["name"] for entry in removed] == [path]
    assert not await bucket.exists(path)


async def test_row_security_between_two_users(users: tuple[User, User]) -> None:
    mine, theirs = (user.client.storage.from_("media") for user in users)
    path = f"{users[0].id}/secret.mp4"
    await mine.upload(path, b"secret", {"content-type": "video/mp4"})
    for attempt in (theirs.download(path), theirs.create_signed_url(path, 60), theirs.info(path)):
        with pytest.raises(StorageApiError) as caught:
            await attempt
        assert caught.value.status == "404"
    plain: FileOptions = {"content-type": "video/mp4", "upsert": "false"}
    replacing: FileOptions = {"content-type": "video/mp4", "upsert": "true"}
    for options in (plain, replacing):
        with pytest.raises(StorageApiError) as caught:
            await theirs.upload(f"{users[0].id}/forged.mp4", b"x", options)
        assert caught.value.status == "403"
    assert await theirs.list(users[0].id) == []
    assert await theirs.remove([path]) == []
    assert await mine.download(path) == b"secret"


async def test_signed_urls_give_ranges_without_a_session(users: tuple[User, User]) -> None:
    bucket = users[0].client.storage.from_("media")
    path = f"{users[0].id}/part one.txt"
    await bucket.upload(path, b"hello world\n", {"content-type": "text/plain"})
    url = (await bucket.create_signed_url(path, 60))["signedURL"]
    assert url is not None
    async with httpx.AsyncClient() as client:
        for wanted, got, span in [("0-4", b"hello", "0-4"), ("6-", b"world\n", "6-11"), ("-3", b"ld\n", "9-11")]:
            answer = await client.get(url, headers={"Range": f"bytes={wanted}"})
            assert (answer.status_code, answer.content) == (206, got)
            assert answer.headers["content-range"] == f"bytes {span}/12"
        assert (await client.get(url, headers={"Range": "bytes=12-"})).status_code == 416
        whole = await client.get(url)
        again = await client.get(url, headers={"If-None-Match": whole.headers["etag"]})
        assert (whole.content, again.status_code, again.content) == (b"hello world\n", 304, b"")
        changed = url[:-6] + "AAAAAA"
        assert (await client.get(changed)).json()["code"] == "InvalidJWT"


async def test_a_signed_upload_needs_no_session(users: tuple[User, User], stack: Stack) -> None:
    path = f"{users[0].id}/by-token.txt"
    bucket = users[0].client.storage.from_("media")
    signed = await bucket.create_signed_upload_url(path)
    async with httpx.AsyncClient() as client:
        target = f"{stack.url}/storage/v1/object/upload/sign/media/{path}?token={signed['token']}"
        answer = await client.put(target, content=b"by token", headers={"content-type": "text/plain"})
    assert answer.json() == {"Key": f"media/{path}"}
    assert await bucket.download(path) == b"by token"


async def test_limits_of_a_bucket_and_public_buckets(stack: Stack, service: AsyncClient) -> None:
    async with httpx.AsyncClient(base_url=f"{stack.url}/storage/v1", headers=auth(stack)) as client:
        for content, status in ((b"x" * 1000, 200), (b"x" * 1001, 400), (b"x" * 5_000_000, 400)):
            answer = await client.post(f"/object/small/{len(content)}", content=content)
            assert answer.status_code == status
        assert answer.json()["code"] == "EntityTooLarge"
        form = await client.post("/object/small/form", files={"file": ("f", b"y" * 2000, "text/plain")})
        assert form.json()["code"] == "EntityTooLarge"
        await client.post("/object/open/a.txt", content=b"open", headers={"content-type": "text/plain"})
    async with httpx.AsyncClient(base_url=f"{stack.url}/storage/v1") as stranger:
        assert (await stranger.get("/object/public/open/a.txt")).text == "open"
        assert (await stranger.get("/object/public/media/a.txt")).json()["code"] == "NoSuchBucket"
    assert files_of(stack, "arriving") == []
    assert {bucket.id for bucket in await service.storage.list_buckets()} >= {"media", "derived", "small", "open"}


@pytest.mark.parametrize("upsert", ["false", "true"])
async def test_a_cut_upload_leaves_no_object_and_keeps_the_old_one(stack: Stack, upsert: str) -> None:
    name = f"cut-{upsert}.bin"
    async with httpx.AsyncClient(base_url=f"{stack.url}/storage/v1", headers=auth(stack)) as client:
        if upsert == "true":
            await client.post(f"/object/open/{name}", content=b"original")
        before = len(files_of(stack, "complete"))
        _, writer = await asyncio.open_connection("127.0.0.1", stack.port)
        head = (
            f"POST /storage/v1/object/open/{name} HTTP/1.1\r\nHost: x\r\nContent-Length: 9000000\r\nx-upsert: {upsert}"
        )
        lines = "".join(f"\r\n{key}: {value}" for key, value in auth(stack).items())
        writer.write(f"{head}{lines}\r\n\r\n".encode() + b"z" * 4_000_000)
        await writer.drain()
        await until(lambda: files_of(stack, "arriving"))
        writer.close()
        await writer.wait_closed()
        await until(lambda: not files_of(stack, "arriving"))
        answer = await client.get(f"/object/authenticated/open/{name}")
    assert len(files_of(stack, "complete")) == before
    assert answer.text == "original" if upsert == "true" else answer.json()["code"] == "NoSuchKey"


async def test_an_upload_is_streamed_to_disk(stack: Stack) -> None:
    """Received bytes are in a file while the rest is still being sent: nothing accumulates in memory."""
    sent = asyncio.Event()
    resume = asyncio.Event()

    async def body() -> object:
        yield b"a" * 4_000_000
        sent.set()
        await resume.wait()
        yield b"b" * 1_000_000

    async with httpx.AsyncClient(base_url=f"{stack.url}/storage/v1", headers=auth(stack), timeout=30) as client:
        uploading = asyncio.create_task(client.post("/object/open/slow.bin", content=body()))  # type: ignore[arg-type]
        await sent.wait()
        await until(lambda: sum(path.stat().st_size for path in files_of(stack, "arriving")) >= 3_000_000)
        resume.set()
        assert (await uploading).status_code == 200
        head = await client.head("/object/open/slow.bin")
        assert head.headers["content-length"] == "5000000"
        old = set(files_of(stack, "complete"))
        await client.put("/object/open/slow.bin", content=b"short")
        assert (await client.get("/object/open/slow.bin")).text == "short"
    assert len(files_of(stack, "complete")) == len(old)


async def test_two_uploads_of_one_name_leave_one_file(stack: Stack) -> None:
    before = len(files_of(stack, "complete"))
    async with httpx.AsyncClient(base_url=f"{stack.url}/storage/v1", headers=auth(stack), timeout=30) as client:
        posts = [client.put("/object/open/race.bin", content=bytes([i]) * 200_000) for i in range(6)]
        answers = await asyncio.gather(*posts)
        assert {answer.status_code for answer in answers} == {200}
        assert len({answer.json()["Id"] for answer in answers}) == 1
        winner = (await client.get("/object/open/race.bin")).content
    assert len(winner) == 200_000
    assert len(set(winner)) == 1
    assert len(files_of(stack, "complete")) == before + 1


@pytest.mark.parametrize(
    ("name", "folders", "file", "extension"),
    [
        ("a/b/c.tar.gz", ["a", "b"], "c.tar.gz", "gz"),
        ("c.mp4", [], "c.mp4", "mp4"),
        ("a/b", ["a"], "b", "b"),
        ("a/", ["a"], "", ""),
        ("/a", [""], "a", "a"),
        ("a//.x.", ["a", ""], ".x.", ""),
        ("", None, None, None),
        (None, None, None, None),
    ],
)
async def test_parts_of_a_name(
    stack: Stack, name: str | None, folders: list[str] | None, file: str | None, extension: str | None
) -> None:
    with psycopg.connect(stack.dsn) as database:
        parts = "select storage.foldername(n), storage.filename(n), storage.extension(n) from (select %s::text as n) t"
        assert database.execute(parts, [name]).fetchone() == (folders, file, extension)
