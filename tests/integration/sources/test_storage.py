"""Objects arrive whole and checked, or the request gets the reason in one sentence."""

import asyncio
import functools
import hashlib
import os
import resource
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
import pytest

from sentinel_worker.domain.errors import CodedError, Permanent, Transient
from sentinel_worker.sources.fetched import Fetched
from sentinel_worker.sources.minimum_speed import MinimumSpeed
from sentinel_worker.sources.storage import MAX_TRIES, fetch, upload
from tests.integration.sources.unruly import Behave, Exchange, Unruly, drip, unruly_server

USER = UUID("5f0c6f0a-2f0b-4f5e-9c7e-0a1b2c3d4e5f")
CONTENT = os.urandom(3_000_000)
FAST = MinimumSpeed(stall_seconds=0.5, floor_bytes=64 * 1024, pause_seconds=0.01)


@pytest.fixture
async def server() -> AsyncIterator[Unruly]:
    async with unruly_server() as unruly:
        unruly.behave = [serving(CONTENT)]
        yield unruly


@pytest.fixture
async def client(server: Unruly) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=server.url, headers={"Authorization": "Bearer key"}) as http:
        yield http


def serving(content: bytes, **how: Any) -> Behave:
    return functools.partial(Exchange.serve, content=content, **how)


def refusing(status: str, body: str, **headers: Any) -> Behave:
    return functools.partial(Exchange.refuse, status=status, body=body, **headers)


async def fetched(
    client: httpx.AsyncClient, directory: Path, path: str = f"{USER}/film.mp4", **changes: Any
) -> Fetched:
    arguments: dict[str, Any] = {"limit_bytes": 10**8, "minimum_speed": FAST} | changes
    return await fetch(client, user_id=USER, storage_path=path, directory=directory, **arguments)


async def refused(client: httpx.AsyncClient, directory: Path, **changes: Any) -> CodedError:
    with pytest.raises(CodedError) as error:
        await fetched(client, directory, **changes)
    assert "127.0.0.1" not in error.value.message
    return error.value


def written(result: Fetched) -> bytes:
    return result.path.read_bytes()


async def test_an_object_becomes_a_private_file(server: Unruly, client: httpx.AsyncClient, tmp_path: Path) -> None:
    shares: list[float] = []
    result = await fetched(client, tmp_path, on_progress=shares.append)
    assert result == Fetched(tmp_path / "media", len(CONTENT), hashlib.sha256(CONTENT).hexdigest(), '"a"')
    assert written(result) == CONTENT
    assert result.path.stat().st_mode & 0o777 == 0o600
    assert shares == sorted(shares)
    assert shares[-1] == 1.0
    (asked,) = server.asked
    assert asked.target == f"GET /storage/v1/object/authenticated/media/{USER}/film.mp4 HTTP/1.1"
    assert asked.headers["accept-encoding"] == "identity"
    assert asked.headers["authorization"] == "Bearer key"


async def test_unusual_characters_are_quoted(server: Unruly, client: httpx.AsyncClient, tmp_path: Path) -> None:
    await fetched(client, tmp_path, path=f"{USER}/a b/it's (1)&$@=;:+,!.mp4")
    quoted = "a%20b/it%27s%20%281%29%26%24%40%3D%3B%3A%2B%2C%21.mp4"
    assert server.asked[0].target.split()[1].endswith(f"/media/{USER}/{quoted}")


@pytest.mark.parametrize(
    "path",
    [
        "",
        "film.mp4",
        f"{USER}",
        f"{USER}/",
        f"/{USER}/a",
        f"{USER}//a",
        f"{USER}/../b/a",
        f"{USER}/./a",
        f"{USER}/%2e%2e/b",
        f"{USER}/..%2fb",
        f"{USER}/a?x",
        f"{USER}/a#x",
        f"{USER}/a\\..\\b",
        f"{USER}/a\nb",
        f"{USER}/ü",
        f"{UUID(int=1)}/a",
        f"{USER}x/a",
        f"{USER}/" + "a" * 1024,
        f"{USER}/a/..",
        "../" + f"{USER}/a",
    ],
)
async def test_paths_outside_the_users_folder_are_never_requested(
    server: Unruly, client: httpx.AsyncClient, tmp_path: Path, path: str
) -> None:
    error = await refused(client, tmp_path, path=path)
    assert (type(error), error.code) == (Permanent, "storage_path_refused")
    assert server.asked == []
    assert list(tmp_path.iterdir()) == []


async def test_a_cut_download_goes_on_where_it_stopped(
    server: Unruly, client: httpx.AsyncClient, tmp_path: Path
) -> None:
    server.behave = [serving(CONTENT, cut=1_500_000), serving(CONTENT, cut=900_000), serving(CONTENT)]
    result = await fetched(client, tmp_path)
    assert written(result) == CONTENT
    assert result.sha256 == hashlib.sha256(CONTENT).hexdigest()
    ranges = [exchange.headers.get("range") for exchange in server.asked]
    assert ranges == [None, "bytes=1500000-", "bytes=2400000-"]


@pytest.mark.parametrize("second", ["range of another object", "whole object again", "lying range", "416"])
async def test_another_object_is_read_from_its_start(
    server: Unruly, client: httpx.AsyncClient, tmp_path: Path, second: str
) -> None:
    other = os.urandom(2_000_000)

    async def whole(exchange: Exchange) -> None:
        await exchange.answer("200 OK", other, etag='"b"')

    async def lying(exchange: Exchange) -> None:
        await exchange.answer("206 Partial Content", other[:5], etag='"a"', content_range="bytes 0-4/5")

    answers: dict[str, Behave] = {
        "range of another object": serving(other, etag='"b"'),
        "whole object again": whole,
        "lying range": lying,
        "416": refusing("416 Range Not Satisfiable", '{"statusCode":"416","code":"InvalidRange"}'),
    }
    server.behave = [serving(CONTENT, cut=1_000_000), answers[second], serving(other, etag='"b"')]
    result = await fetched(client, tmp_path)
    assert written(result) == other
    assert (result.etag, result.sha256) == ('"b"', hashlib.sha256(other).hexdigest())


async def test_a_server_that_always_cuts_at_once(server: Unruly, client: httpx.AsyncClient, tmp_path: Path) -> None:
    server.behave = [serving(CONTENT, cut=0)]
    error = await refused(client, tmp_path)
    assert (type(error), error.code) == (Transient, "storage_unreachable")
    assert len(server.asked) == MAX_TRIES


async def test_a_stall_and_a_drip_end(server: Unruly, client: httpx.AsyncClient, tmp_path: Path) -> None:
    server.behave = [functools.partial(drip, head=b"HTTP/1.1 200 OK\r\ncontent-length: 1000000\r\n\r\n")]
    error = await refused(client, tmp_path, minimum_speed=MinimumSpeed(0.2, 64 * 1024, 0.01))
    assert (type(error), error.code) == (Transient, "storage_stalled")
    assert len(server.asked) == MAX_TRIES


async def test_the_limit_holds_against_a_header_and_without_one(
    server: Unruly, client: httpx.AsyncClient, tmp_path: Path
) -> None:
    error = await refused(client, tmp_path, limit_bytes=2_999_999)
    assert (type(error), error.code, error.params) == (Permanent, "media_too_large", {"limit": 2_999_999})
    assert (tmp_path / "media").stat().st_size == 0

    async def endless(exchange: Exchange) -> None:
        exchange.writer.write(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
        while not exchange.writer.is_closing():
            exchange.writer.write(b"10000\r\n" + bytes(0x10000) + b"\r\n")
            await exchange.writer.drain()

    server.behave = [endless]
    second = tmp_path / "second"
    second.mkdir()
    error = await refused(client, second, limit_bytes=5_000_000)
    assert error.code == "media_too_large"
    assert (second / "media").stat().st_size <= 5_000_000


async def test_chunks_without_an_end_are_a_cut(server: Unruly, client: httpx.AsyncClient, tmp_path: Path) -> None:
    async def cut_chunks(exchange: Exchange) -> None:
        exchange.writer.write(b'HTTP/1.1 200 OK\r\netag: "a"\r\ntransfer-encoding: chunked\r\n\r\n5\r\n01234\r\n')
        await exchange.writer.drain()

    server.behave = [cut_chunks, serving(b"0123456789")]
    assert written(await fetched(client, tmp_path)) == b"0123456789"
    assert server.asked[1].headers["range"] == "bytes=5-"


async def test_an_empty_object(server: Unruly, client: httpx.AsyncClient, tmp_path: Path) -> None:
    server.behave = [serving(b"")]
    result = await fetched(client, tmp_path)
    assert (result.size_bytes, result.sha256) == (0, hashlib.sha256(b"").hexdigest())


NO_OBJECT = '{"statusCode":"404","error":"not_found","message":"Object not found","code":"NoSuchKey"}'
NO_BUCKET = '{"statusCode":"404","error":"Bucket not found","message":"Bucket not found","code":"NoSuchBucket"}'
EXPIRED = '{"statusCode":"403","error":"Unauthorized","message":"\\"exp\\" claim …","code":"AccessDenied"}'
BROKEN = '{"statusCode":"500","error":"Internal","message":"Internal Server Error","code":"InternalError"}'
INVALID = '{"statusCode":"400","error":"InvalidKey","message":"Invalid key: x","code":"InvalidKey"}'


@pytest.mark.parametrize(
    ("answer", "kind", "code", "retry_after", "tries"),
    [
        (refusing("400 Bad Request", NO_OBJECT), Permanent, "object_not_found", None, 1),
        (refusing("400 Bad Request", NO_BUCKET), Transient, "bucket_missing", 30, 1),
        (refusing("400 Bad Request", EXPIRED), Transient, "access_refused", 30, 1),
        (refusing("400 Bad Request", INVALID), Permanent, "storage_refused", None, 1),
        (refusing("500 Internal Server Error", BROKEN), Transient, "storage_unavailable", None, MAX_TRIES),
        (refusing("503 Unavailable", "<html>", retry_after="17"), Transient, "storage_unavailable", 17, 1),
        (refusing("429 Too Many", "{}", retry_after="3"), Transient, "storage_unavailable", 3, 1),
        (refusing("404 Not Found", "<html>"), Transient, "storage_unavailable", None, MAX_TRIES),
        (refusing("302 Found", "", location="http://127.0.0.1/"), Transient, "storage_unavailable", None, MAX_TRIES),
        (serving(CONTENT, content_encoding="gzip"), Transient, "storage_unavailable", None, MAX_TRIES),
    ],
)
async def test_each_refusal_of_storage_becomes_its_error(
    server: Unruly,
    client: httpx.AsyncClient,
    tmp_path: Path,
    answer: Behave,
    kind: type[CodedError],
    code: str,
    retry_after: float | None,
    tries: int,
) -> None:
    server.behave = [answer]
    error = await refused(client, tmp_path)
    assert (type(error), error.code) == (kind, code)
    assert getattr(error, "retry_after_seconds", None) == retry_after
    assert len(server.asked) == tries


async def test_a_transient_error_is_retried(server: Unruly, client: httpx.AsyncClient, tmp_path: Path) -> None:
    server.behave = [refusing("500 Internal Server Error", BROKEN), serving(CONTENT)]
    assert written(await fetched(client, tmp_path)) == CONTENT


async def test_nobody_listens(tmp_path: Path) -> None:
    async with httpx.AsyncClient(base_url="http://127.0.0.1:9") as client:
        assert (await refused(client, tmp_path)).code == "storage_unreachable"


async def test_a_full_disk(client: httpx.AsyncClient, tmp_path: Path) -> None:
    # A limit on file sizes gives the same error as a full disk, in the middle of a write.
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1_300_000, before[1]))
    try:
        error = await refused(client, tmp_path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert (type(error), error.code) == (Transient, "disk_full")


async def test_cancelling_a_download_closes_its_file(server: Unruly, client: httpx.AsyncClient, tmp_path: Path) -> None:
    begun = asyncio.Event()

    async def hang(exchange: Exchange) -> None:
        exchange.writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 1000000\r\n\r\n" + bytes(1000))
        await exchange.writer.drain()
        begun.set()
        await asyncio.Event().wait()

    server.behave = [hang]
    task = asyncio.create_task(fetched(client, tmp_path, minimum_speed=MinimumSpeed()))
    await begun.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    opened = [path.resolve() for path in Path("/proc/self/fd").iterdir()]
    assert tmp_path / "media" not in opened


async def test_a_derived_file_goes_up(server: Unruly, client: httpx.AsyncClient, tmp_path: Path) -> None:
    server.behave = [refusing("500 Internal Server Error", BROKEN), refusing("200 OK", '{"Key":"derived/x"}')]
    picture = tmp_path / "first.webp"
    picture.write_bytes(b"\xff\xd8\xff picture")
    await upload(client, bucket="derived", path=f"{USER}/r/f/first.webp", file=picture, minimum_speed=FAST)
    asked = server.asked[-1]
    assert asked.target == f"POST /storage/v1/object/derived/{USER}/r/f/first.webp HTTP/1.1"
    assert (asked.headers["x-upsert"], asked.headers["content-type"]) == ("true", "image/webp")
    assert asked.body == b"\xff\xd8\xff picture"


async def test_an_upload_that_is_refused(server: Unruly, client: httpx.AsyncClient, tmp_path: Path) -> None:
    picture, link = tmp_path / "first.webp", tmp_path / "link.webp"
    picture.write_bytes(b"x")
    link.symlink_to(picture)
    server.behave = [refusing("400 Bad Request", '{"statusCode":"413","code":"EntityTooLarge"}')]
    with pytest.raises(Permanent) as error:
        await upload(client, bucket="derived", path=f"{USER}/first.webp", file=picture, minimum_speed=FAST)
    assert error.value.code == "storage_refused"
    with pytest.raises(OSError, match="symbolic"):
        await upload(client, bucket="derived", path=f"{USER}/first.webp", file=link, minimum_speed=FAST)
    with pytest.raises(Permanent, match="path"):
        await upload(client, bucket="derived", path=f"{USER}/../first.webp", file=picture, minimum_speed=FAST)
