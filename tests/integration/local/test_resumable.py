"""Resumable uploads in pieces: kept across cuts and restarts, one writer at a time, rights on every piece."""

import asyncio
import base64
import json
import os
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import httpx
import pytest
from supabase import AsyncClient

from sentinel_local_supabase.stack import Stack
from tests.integration.local.conftest import User
from tests.waits import until

KIND = {"Content-Type": "application/offset+octet-stream"}


@dataclass
class Tus:
    """A client of the protocol with one token."""

    stack: Stack
    http: httpx.AsyncClient
    token: str
    path: str = "/storage/v1/upload/resumable"

    def headers(self, **more: str) -> dict[str, str]:
        words = {name.replace("_", "-"): value for name, value in more.items()}
        return {"Authorization": f"Bearer {self.token}", "Tus-Resumable": "1.0.0", **words}

    async def ask(self, bucket: str, name: str, size: int | None, content: bytes = b"", **more: str) -> httpx.Response:
        said = {"bucketName": bucket, "objectName": name, "contentType": "video/mp4", "cacheControl": "60"}
        said |= {key: more.pop(key) for key in ("contentType", "metadata") if key in more}
        pairs = ",".join(f"{key} {base64.b64encode(value.encode()).decode()}" for key, value in said.items())
        length = {"Upload-Defer-Length": "1"} if size is None else {"Upload-Length": str(size)}
        headers = {**self.headers(Upload_Metadata=pairs, **more), **length, **(KIND if content else {})}
        return await self.http.post(self.path, headers=headers, content=content)

    async def create(self, bucket: str, name: str, size: int | None, **more: str) -> str:
        answer = await self.ask(bucket, name, size, b"", **more)
        assert answer.status_code == 201, answer.text
        return str(answer.headers["location"])

    async def patch(self, url: str, offset: int, content: bytes, **more: str) -> httpx.Response:
        headers = {**self.headers(Upload_Offset=str(offset), **more), **KIND}
        return await self.http.patch(url, headers=headers, content=content)

    async def head(self, url: str) -> httpx.Response:
        return await self.http.head(url, headers=self.headers())

    async def begin(self, url: str, length: int, first: bytes) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Start a PATCH at offset 0: the server has asked for the body, and `first` has been sent."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.stack.port)
        headers = self.headers(Host="x", Upload_Offset="0", Content_Length=str(length), Expect="100-continue") | KIND
        lines = [f"PATCH {httpx.URL(url).raw_path.decode()} HTTP/1.1", *(f"{k}: {v}" for k, v in headers.items())]
        writer.write("\r\n".join([*lines, "", ""]).encode())
        assert b" 100 " in await reader.readuntil(b"\r\n\r\n")
        writer.write(first)
        part = part_of(self.stack, url)
        await until(lambda: part.stat().st_size >= len(first))
        return reader, writer


def part_of(stack: Stack, url: str) -> Path:
    upload = url.rpartition("/")[2]
    version = base64.urlsafe_b64decode(upload + "=" * (-len(upload) % 4)).decode().rpartition("/")[2]
    return stack.folder / "objects" / "resumable" / f"{version}.part"


async def client_of(stack: Stack, http: httpx.AsyncClient, user: User) -> Tus:
    session = await user.client.auth.get_session()
    assert session is not None
    return Tus(stack, http, session.access_token)


@pytest.fixture
async def http(stack: Stack) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=stack.url, timeout=30) as client:
        yield client


@pytest.fixture
async def tus(stack: Stack, http: httpx.AsyncClient) -> Tus:
    return Tus(stack, http, stack.service_key)


async def test_the_object_is_there_after_the_last_byte(users: tuple[User, User], tus: Tus) -> None:
    mine = await client_of(tus.stack, tus.http, users[0])
    bucket, name, content = users[0].client.storage.from_("media"), f"{users[0].id}/long.mp4", os.urandom(13_000_000)
    url = await mine.create("media", name, len(content), metadata='{"camera": "7"}')
    for offset in range(0, len(content), 6 << 20):
        assert not await bucket.exists(name)
        piece = content[offset : offset + (6 << 20)]
        answer = await mine.patch(url, offset, piece)
        assert (answer.status_code, answer.headers["upload-offset"]) == (204, str(offset + len(piece)))
    assert answer.headers["tus-complete"] == "1"
    assert await bucket.download(name) == content
    known = await bucket.info(name)
    assert (known["content_type"], known["cache_control"]) == ("video/mp4", "max-age=60")
    assert known["metadata"] == {"camera": "7"}
    assert (await mine.head(url)).headers["upload-offset"] == str(len(content))
    assert not part_of(tus.stack, url).exists()
    again = await mine.patch(url, len(content), b"", X_Upsert="true")
    assert (again.status_code, again.headers["tus-complete"]) == (204, "1")
    assert not part_of(tus.stack, url).exists()
    assert (await mine.http.delete(url, headers=mine.headers(X_Upsert="true"))).status_code == 400


async def test_a_cut_piece_is_kept(tus: Tus) -> None:
    name = f"{uuid4()}.bin"
    url = await tus.create("open", name, 12)
    _, writer = await tus.begin(url, 12, b"hello")
    writer.close()
    assert (await tus.head(url)).headers["upload-offset"] == "5"
    assert (await tus.patch(url, 5, b" world!")).headers["upload-offset"] == "12"
    assert (await tus.http.get(f"/storage/v1/object/public/open/{name}")).text == "hello world!"


async def test_others_wait_for_a_running_piece(tus: Tus) -> None:
    url, free = [await tus.create("open", f"{uuid4()}.bin", 12) for _ in range(2)]
    reader, writer = await tus.begin(url, 12, b"hello")
    others = [asyncio.create_task(tus.head(url)), asyncio.create_task(tus.patch(url, 5, b" world!", X_Upsert="true"))]
    # Requests that need not wait get their responses meanwhile.
    for _ in range(3):
        assert (await tus.patch(free, 0, b"", X_Upsert="true")).status_code == 204
    assert not others[0].done()
    assert not others[1].done()
    writer.write(b" world!")
    assert b"204" in await reader.readline()
    head, conflict = await asyncio.gather(*others)
    assert head.headers["upload-offset"] == "12"
    assert (conflict.status_code, conflict.text) == (409, "Upload-Offset conflict\n")
    writer.close()


async def test_a_client_that_hangs_loses_its_lock(tus: Tus) -> None:
    url = await tus.create("open", f"{uuid4()}.bin", 12)
    reader, writer = await tus.begin(url, 12, b"hello")
    began = time.monotonic()
    assert (await tus.head(url)).headers["upload-offset"] == "5"
    assert time.monotonic() - began > 2.5
    answer = (await reader.read()).decode().lower()
    assert "204 no content" in answer
    assert "upload-offset: 5" in answer
    writer.close()
    assert (await tus.patch(url, 5, b" world!")).status_code == 204


async def test_rights_are_checked_on_every_piece(users: tuple[User, User], tus: Tus) -> None:
    mine, theirs = [await client_of(tus.stack, tus.http, user) for user in users]
    name = f"{users[0].id}/mine.mp4"
    refused = await theirs.ask("media", name, 10)
    assert (refused.status_code, refused.text) == (403, "new row violates row-level security policy")
    url = await mine.create("media", name, 10)
    assert (await theirs.patch(url, 0, b"hello")).status_code == 403
    assert (await theirs.http.delete(url, headers=theirs.headers())).status_code == 403
    assert (await theirs.head(url)).status_code == 200
    claims = {"role": "authenticated", "sub": users[0].id, "exp": int(time.time()) - 5}
    late = await Tus(tus.stack, tus.http, tus.stack.keys.sign(claims)).patch(url, 0, b"hello")
    assert (late.status_code, late.json()["message"]) == (400, '"exp" claim timestamp check failed')
    assert (await mine.patch(url, 0, b"hello")).status_code == 204
    await users[0].client.storage.from_("media").upload(name, b"meanwhile", {"content-type": "video/mp4"})
    exists = await mine.patch(url, 5, b"hello")
    assert (exists.status_code, exists.text) == (409, "The resource already exists")


async def test_a_signed_upload_needs_no_session(users: tuple[User, User], tus: Tus) -> None:
    name, bucket = f"{users[0].id}/signed.mp4", users[0].client.storage.from_("media")
    signature = (await bucket.create_signed_upload_url(name))["token"]
    stranger = Tus(tus.stack, tus.http, "none", "/storage/v1/upload/resumable/sign")
    url = await stranger.create("media", name, 5, x_signature=signature)
    assert url.startswith(f"{tus.stack.url}{stranger.path}/")
    assert (await stranger.patch(url, 0, b"hello")).text == "Missing x-signature header"
    assert (await stranger.patch(url, 0, b"hello", x_signature=signature)).status_code == 204
    assert await bucket.download(name) == b"hello"
    other = await stranger.ask("media", f"{users[0].id}/other.mp4", 5, x_signature=signature)
    assert (other.status_code, other.text) == (400, "Invalid signature")
    download = httpx.URL((await bucket.create_signed_url(name, 60))["signedURL"] or "").params["token"]
    assert (await stranger.ask("media", name, 5, x_signature=download)).text == "Token is not scoped for upload"


async def test_limits_of_the_bucket(service: AsyncClient, tus: Tus) -> None:
    bucket = f"limited-{uuid4()}"
    await service.storage.create_bucket(bucket, None, {"file_size_limit": 100, "allowed_mime_types": ["video/*"]})
    assert (await tus.ask(bucket, "a", 101)).text == "Maximum size exceeded\n"
    assert (await tus.ask(bucket, "a", 9, contentType="image/png")).status_code == 415
    url = await tus.create(bucket, "a", None)
    assert (await tus.head(url)).headers["upload-defer-length"] == "1"
    assert (await tus.patch(url, 0, b"x" * 101)).status_code == 413
    assert (await tus.patch(url, 0, b"x" * 60)).status_code == 204
    assert (await tus.patch(url, 60, b"", Upload_Length="101")).text == "Maximum size exceeded\n"
    assert (await tus.patch(url, 60, b"x" * 5, Upload_Length="62")).text == "upload's size exceeded\n"

    async def unannounced() -> AsyncIterator[bytes]:
        yield b"y"
        yield b"y" * 50

    headers = {**tus.headers(Upload_Offset="60"), **KIND}
    assert (await tus.http.patch(url, headers=headers, content=unannounced())).text == "Maximum size exceeded\n"
    offset = int((await tus.head(url)).headers["upload-offset"])
    assert (await tus.patch(url, offset, b"z" * (62 - offset))).headers["tus-complete"] == "1"
    assert (await service.storage.from_(bucket).info("a"))["size"] == 62


async def test_the_first_piece_may_come_with_the_creation(tus: Tus) -> None:
    for content in (b"", b"hello"):
        answer = await tus.ask("open", f"{uuid4()}.bin", len(content), content)
        assert (answer.status_code, answer.headers["tus-complete"]) == (201, "1")
    answer = await tus.ask("open", name := f"{uuid4()}.bin", 9, b"hello")
    assert (answer.headers["upload-offset"], "tus-complete" in answer.headers) == ("5", False)
    url = answer.headers["location"]
    assert (await tus.http.delete(url, headers=tus.headers())).status_code == 204
    assert (await tus.patch(url, 5, b"gone")).text == "The file for this url was not found\n"
    assert (await tus.http.get(f"/storage/v1/object/public/open/{name}")).status_code == 400
    assert not part_of(tus.stack, url).exists()


@pytest.mark.parametrize(
    ("changed", "status", "text"),
    [
        ({"Tus-Resumable": "0.2.2"}, 400, "Invalid tus-resumable\n"),
        ({"Upload-Length": "-1"}, 400, "Invalid upload-length\n"),
        ({"Upload-Metadata": "bucketName !"}, 400, "Invalid upload-metadata\n"),
        ({"Upload-Defer-Length": "1"}, 400, "Upload-Length or Upload-Defer-Length header required\n"),
        ({"Upload-Metadata": "bucketName b3Blbg=="}, 400, "Invalid key: "),
        ({"Upload-Concat": "partial"}, 501, "Concatenation extension is not (yet) supported."),
    ],
)
async def test_malformed_creations(tus: Tus, changed: dict[str, str], status: int, text: str) -> None:
    good = {"Upload-Length": "5", "Upload-Metadata": "bucketName b3Blbg==,objectName eA=="}
    answer = await tus.http.post(tus.path, headers={**tus.headers(), **good, **changed})
    assert (answer.status_code, answer.text.partition(" Disable")[0]) == (status, text)


async def test_the_location_is_as_the_client_sees_the_server(tus: Tus) -> None:
    seen = {"X_Forwarded_Host": "sentinel.example", "X_Forwarded_Proto": "https", "X_Forwarded_Prefix": "/api/"}
    url = await tus.create("open", "x", 5, **seen)
    assert url.startswith("https://sentinel.example/api/storage/v1/upload/resumable/")
    options = await tus.http.options(tus.path)
    assert (options.status_code, options.headers["tus-max-size"]) == (204, str(2 * 1024**3))


async def test_uploads_outlive_the_server_but_not_their_day(own_stack: Stack) -> None:
    async with httpx.AsyncClient(base_url=own_stack.url, timeout=30) as http:
        tus = Tus(own_stack, http, own_stack.service_key)
        half, whole, old = [await tus.create("media", f"{uuid4()}/{name}", 10) for name in ("half", "whole", "old")]
        for url in (half, whole, old):
            await tus.patch(url, 0, b"hello")
        record = part_of(own_stack, old).with_suffix(".json")
        record.write_text(json.dumps({**json.loads(record.read_text()), "created_at": time.time() - 86_401}))
        gone = await tus.patch(old, 5, b"hello")
        assert (gone.status_code, gone.text) == (410, "The file for this url no longer exists\n")
        await own_stack.stop_gateway(kill=True)
        # As if the server had crashed between the last byte and the object's row.
        with part_of(own_stack, whole).open("ab") as file:
            file.write(b"hello")
        await own_stack.start_gateway()
        assert [(await tus.head(url)).headers.get("upload-offset") for url in (half, whole, old)] == ["5", "10", None]
        assert (await tus.patch(half, 5, b"hello")).status_code == 204
        folder = own_stack.folder / "objects"
        assert len([path for path in (folder / "complete").rglob("*") if path.is_file()]) == 2
        assert len(list((folder / "resumable").iterdir())) == 2  # records of the two complete uploads
