"""Faults of the local Supabase, seen by raw sockets, httpx and an unmodified supabase-py."""

import asyncio
import re
import signal
import sys
import time
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest
import pytest_asyncio
from postgrest.exceptions import APIError
from storage3.exceptions import StorageApiError
from supabase import AsyncClient, AuthApiError, AuthRetryableError
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from sentinel_local_supabase.faults import Faults, HttpFault, RealtimeFaults, Service
from sentinel_local_supabase.stack import Stack
from tests.integration.local.clients import connected, rows
from tests.stacks import stack_at
from tests.waits import until

pytestmark = pytest.mark.asyncio(loop_scope="session")

BIG = bytes(range(256)) * 400
PATHS = {"rest": "/rest/v1/notes", "storage": "/storage/v1/bucket", "auth": "/auth/v1/user"}


@pytest_asyncio.fixture(loop_scope="session")
async def misbehaving(stack: Stack) -> AsyncIterator[Stack]:
    """The shared stack; its faults are removed after the test."""
    yield stack
    await stack.behave()


@pytest_asyncio.fixture(loop_scope="session")
async def caller(misbehaving: Stack) -> AsyncIterator[AsyncClient]:
    """An unmodified supabase-py client with all rights."""
    async with connected(misbehaving.url, misbehaving.secret_key) as client:
        yield client


@pytest_asyncio.fixture(loop_scope="session")
async def http(misbehaving: Stack) -> AsyncIterator[httpx.AsyncClient]:
    """A plain HTTP client with all rights."""
    key = misbehaving.service_key
    headers = {"apikey": key, "Authorization": f"Bearer {key}"}
    async with httpx.AsyncClient(base_url=misbehaving.url, headers=headers, timeout=10) as client:
        yield client


def note() -> dict[str, str]:
    return {"owner": str(uuid.uuid4()), "text": f"note {uuid.uuid4()}"}


async def is_kept(client: AsyncClient, row: dict[str, str]) -> bool:
    return bool(await rows(client.table("notes").select("id").eq("text", row["text"])))


async def one(stack: Stack, fault: HttpFault) -> None:
    await stack.misbehave(Faults(http=(fault,)))


async def uploaded(client: AsyncClient, body: bytes = BIG) -> str:
    """Upload a new object to the public bucket `open` and return its name."""
    name = f"{uuid.uuid4()}.bin"
    await client.storage.from_("open").upload(name, body, {"content-type": "application/octet-stream"})
    return name


@pytest.mark.parametrize(
    ("service", "status", "expected"),
    [
        (
            "rest",
            503,
            {
                "code": "PGRST002",
                "details": None,
                "hint": None,
                "message": "Could not query the database for the schema cache. Retrying.",
            },
        ),
        ("rest", 502, {"message": "An invalid response was received from the upstream server"}),
        ("rest", 521, {"message": "The upstream server responded with 521"}),
        (
            "storage",
            429,
            {
                "statusCode": "429",
                "error": "too_many_connections",
                "message": "Too many connections issued to the database",
                "code": "SlowDown",
            },
        ),
        (
            "rest",
            401,
            {"code": "PGRST303", "details": None, "hint": None, "message": "JWT expired"},
        ),
        ("auth", 429, {"code": 429, "error_code": "over_request_rate_limit", "msg": "Request rate limit reached"}),
    ],
)
async def test_a_status_has_its_services_own_wording(
    misbehaving: Stack, http: httpx.AsyncClient, service: Service, status: int, expected: dict[str, object]
) -> None:
    await one(misbehaving, HttpFault(service=service, status=status, retry_after_seconds=7, times=2))
    for _ in range(2):
        answer = await http.get(PATHS[service], headers={"Origin": "http://page"})
        assert (answer.status_code, answer.json(), answer.headers["retry-after"]) == (status, expected, "7")
        assert answer.headers["access-control-allow-origin"] == "*"
    assert (await http.get(PATHS[service])).status_code in {200, 403}  # no fault is active any more
    for other in PATHS.keys() - {service}:
        assert (await http.get(PATHS[other])).status_code in {200, 403}


async def test_auth_words_it_in_the_version_that_was_asked_for(misbehaving: Stack, http: httpx.AsyncClient) -> None:
    await one(misbehaving, HttpFault(service="auth", status=429))
    answer = await http.get(PATHS["auth"], headers={"X-Supabase-Api-Version": "2024-01-01"})
    assert answer.json() == {"code": "over_request_rate_limit", "message": "Request rate limit reached"}


async def test_rest_sends_retry_after_by_itself(misbehaving: Stack, http: httpx.AsyncClient) -> None:
    await one(misbehaving, HttpFault(service="rest", status=503))
    answer = await http.get(PATHS["rest"])
    assert answer.headers["retry-after"] == "0"
    assert answer.headers["proxy-status"] == "PostgREST; error=PGRST002"


async def test_a_page_and_an_empty_answer_come_from_before_the_gateway(
    misbehaving: Stack, http: httpx.AsyncClient
) -> None:
    await misbehaving.misbehave(
        Faults(http=(HttpFault(status=502, body="html", times=1), HttpFault(status=504, body="empty")))
    )
    page = await http.get(PATHS["rest"], headers={"Origin": "http://page"})
    assert page.status_code == 502
    assert page.headers["content-type"].startswith("text/html")
    assert "<center><h1>502 Bad Gateway</h1></center>\r\n<hr><center>cloudflare</center>" in page.text
    empty = await http.get(PATHS["storage"], headers={"Origin": "http://page"})
    assert (empty.status_code, empty.content) == (504, b"")
    assert not [answer for answer in (page, empty) if "access-control-allow-origin" in answer.headers]


async def test_a_refused_request_is_not_carried_out(misbehaving: Stack, caller: AsyncClient) -> None:
    row = note()
    await one(misbehaving, HttpFault(service="rest", method="POST", status=503, times=1))
    with pytest.raises(APIError) as caught:
        await caller.table("notes").insert(row).execute()
    assert caught.value.code == "PGRST002"
    assert not await is_kept(caller, row)
    await caller.table("notes").insert(row).execute()
    assert await is_kept(caller, row)


async def test_supabase_py_reads_gateways_as_it_does_the_real_ones(misbehaving: Stack, caller: AsyncClient) -> None:
    await misbehaving.misbehave(
        Faults(
            http=(
                HttpFault(service="rest", status=502, times=1),
                HttpFault(service="rest", status=502, body="html", times=1),
                HttpFault(service="rest", status=400, body="blank", times=1),
                HttpFault(service="storage", status=544, times=1),
                HttpFault(service="auth", status=429, times=1),
                HttpFault(service="auth", status=503, times=1),
            )
        )
    )
    with pytest.raises(APIError) as worded:
        await caller.table("notes").select("id").execute()
    assert worded.value.code is None
    with pytest.raises(APIError) as page:
        await caller.table("notes").select("id").execute()
    assert page.value.code == "502"
    assert "cloudflare" in str(page.value.details)
    with pytest.raises(APIError) as blank:
        await caller.table("notes").select("id").execute()
    assert blank.value.json() == {"code": "", "details": None, "hint": None, "message": ""}
    with pytest.raises(StorageApiError) as storage:
        await caller.storage.from_("open").list()
    assert (storage.value.status, storage.value.code) == ("544", "DatabaseTimeout")
    with pytest.raises(AuthApiError) as auth:
        await caller.auth.admin.list_users()
    assert (auth.value.status, auth.value.code) == (429, "over_request_rate_limit")
    with pytest.raises(AuthRetryableError):
        await caller.auth.admin.list_users()
    assert await caller.auth.admin.list_users() is not None


async def test_only_what_fits_is_met(misbehaving: Stack, http: httpx.AsyncClient) -> None:
    await one(misbehaving, HttpFault(path="/rpc/", method="post", status=500))
    assert (await http.post("/rest/v1/rpc/count_notes", json={})).status_code == 500
    assert (await http.get("/rest/v1/rpc/count_notes")).status_code == 200
    assert (await http.get("/rest/v1/notes?limit=1")).status_code == 200
    preflight = {"Origin": "http://page", "Access-Control-Request-Method": "POST"}
    await one(misbehaving, HttpFault(status=500))
    assert (await http.options("/rest/v1/rpc/count_notes", headers=preflight)).status_code == 200
    assert (await http.get("/")).status_code == 500
    await one(misbehaving, HttpFault(method="OPTIONS", status=500))
    assert (await http.options("/rest/v1/rpc/count_notes", headers=preflight)).status_code == 500
    assert (await http.get("/")).status_code == 200


async def test_an_upload_is_read_whole_before_it_is_refused(misbehaving: Stack, http: httpx.AsyncClient) -> None:
    await one(misbehaving, HttpFault(service="storage", status=503, times=1))
    asked: list[int] = []

    async def pieces() -> AsyncIterator[bytes]:
        for number in range(40):
            asked.append(number)
            yield b"x" * 100_000

    path, headers = f"/storage/v1/object/open/{uuid.uuid4()}", {"Connection": "close"}
    assert (await http.post(path, content=pieces(), headers=headers)).status_code == 503
    assert len(asked) == 40
    assert (await http.get(path)).status_code == 400


async def test_a_lost_answer_is_committed(misbehaving: Stack, caller: AsyncClient) -> None:
    row, name = note(), f"{uuid.uuid4()}.bin"
    fault = HttpFault(method="POST", lose_answer=True, times=1)
    await one(misbehaving, fault)
    with pytest.raises(httpx.RemoteProtocolError, match="without sending a response"):
        await caller.table("notes").insert(row).execute()
    assert await is_kept(caller, row)
    await one(misbehaving, fault)
    with pytest.raises(httpx.RemoteProtocolError, match="without sending a response"):
        await caller.storage.from_("open").upload(name, BIG)
    assert await caller.storage.from_("open").download(name) == BIG


async def test_a_cut_answer_promises_more_than_it_gives(misbehaving: Stack, caller: AsyncClient) -> None:
    name = await uploaded(caller)
    await one(misbehaving, HttpFault(service="storage", cut_after_bytes=5000))
    async with raw(misbehaving, f"/storage/v1/object/public/open/{name}") as (reader, _):
        head = (await reader.readuntil(b"\r\n\r\n")).lower()
        assert f"content-length: {len(BIG)}\r\n".encode() in head
        assert await reader.read() == BIG[:5000]
    with pytest.raises(httpx.RemoteProtocolError, match=f"received 5000 bytes, expected {len(BIG)}"):
        await caller.storage.from_("open").download(name)
    short = await uploaded(caller, b"x" * 5000)
    assert await caller.storage.from_("open").download(short) == b"x" * 5000
    await one(misbehaving, HttpFault(service="rest", cut_after_bytes=0))
    with pytest.raises(httpx.RemoteProtocolError, match="received 0 bytes"):
        await caller.table("notes").insert(note()).execute()


async def test_the_answer_to_a_head_request_has_nothing_to_cut(misbehaving: Stack) -> None:
    await one(misbehaving, HttpFault(service="auth", cut_after_bytes=10))
    async with raw(misbehaving, "/auth/v1/settings", "keep-alive", method="HEAD") as (reader, writer):
        assert b"content-length: " in (await reader.readuntil(b"\r\n\r\n")).lower()
        assert await next_status(reader, writer) == 200


async def test_a_dripping_answer_is_whole_and_slow(
    misbehaving: Stack, caller: AsyncClient, http: httpx.AsyncClient
) -> None:
    name = await uploaded(caller, BIG[:3000])
    await one(misbehaving, HttpFault(service="storage", drip_bytes_per_second=4000))
    began, arrived = time.monotonic(), []
    async with http.stream("GET", f"/storage/v1/object/public/open/{name}") as answer:
        pieces = []
        async for piece in answer.aiter_raw():
            pieces.append(piece)
            arrived.append(time.monotonic() - began)
    assert b"".join(pieces) == BIG[:3000]
    assert arrived[-1] >= 0.75 - 0.02
    assert all(after >= sum(map(len, pieces[: n + 1])) / 4000 - 0.02 for n, after in enumerate(arrived))
    assert len(pieces) >= 4


async def test_a_dripping_answer_can_be_cut(misbehaving: Stack, caller: AsyncClient) -> None:
    name = await uploaded(caller)
    await one(misbehaving, HttpFault(service="storage", drip_bytes_per_second=10_000, cut_after_bytes=2500))
    async with raw(misbehaving, f"/storage/v1/object/public/open/{name}") as (reader, _):
        await reader.readuntil(b"\r\n\r\n")
        assert await reader.read() == BIG[:2500]


async def test_a_delay_comes_first_and_a_client_that_gave_up_changes_nothing(
    misbehaving: Stack, caller: AsyncClient, http: httpx.AsyncClient
) -> None:
    await one(misbehaving, HttpFault(service="rest", delay_seconds=0.3))
    began = time.monotonic()
    assert (await http.get(PATHS["rest"], params={"limit": 1})).status_code == 200
    assert time.monotonic() - began >= 0.3
    row = note()
    with pytest.raises(httpx.ReadTimeout):
        await http.post(PATHS["rest"], json=row, timeout=0.1)
    await misbehaving.behave()
    await until(lambda: is_kept(caller, row))


async def test_a_connection_that_was_not_broken_is_used_again(misbehaving: Stack) -> None:
    await one(misbehaving, HttpFault(service="rest", status=503, times=1))
    async with raw(misbehaving, "/rest/v1/", "keep-alive") as (reader, writer):
        assert b"HTTP/1.1 503" in await reader.readline()
        head = await reader.readuntil(b"\r\n\r\n")
        length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
        await reader.readexactly(length)
        assert await next_status(reader, writer) == 200


async def test_times_are_counted_anew_when_the_faults_are_set_again(
    misbehaving: Stack, http: httpx.AsyncClient
) -> None:
    faults = Faults(http=(HttpFault(status=500, times=1), HttpFault(status=502, times=1)))
    for _ in range(2):
        await misbehaving.misbehave(faults)
        assert [(await http.get("/")).status_code for _ in range(3)] == [500, 502, 200]


async def test_realtime_gets_the_faults_too(misbehaving: Stack) -> None:
    url = f"{misbehaving.url.replace('http', 'ws')}/realtime/v1/websocket?vsn=1.0.0&apikey={misbehaving.anon_key}"
    await misbehaving.misbehave(Faults(realtime=RealtimeFaults(refuse_status=503)))
    with pytest.raises(InvalidStatus) as caught:
        await connect(url)
    assert caught.value.response.status_code == 503
    await misbehaving.behave()
    async with connect(url):
        pass


async def test_broken_and_abandoned_answers_hold_up_nothing_and_log_nothing(
    tmp_path_factory: pytest.TempPathFactory, capfd: pytest.CaptureFixture[str]
) -> None:
    async with stack_at(tmp_path_factory.mktemp("drip"), migrations=False) as stack:
        for fault in (HttpFault(lose_answer=True), HttpFault(cut_after_bytes=10)):
            await one(stack, fault)
            async with raw(stack, "/auth/v1/settings") as (reader, _):
                await reader.read()
        await one(stack, HttpFault(drip_bytes_per_second=1))
        async with raw(stack, "/auth/v1/settings") as (reader, _):
            await reader.readuntil(b"\r\n\r\n")
            await reader.readexactly(1)
    # If a request had been in progress, uvicorn would have cancelled it after five seconds and logged that.
    assert capfd.readouterr().err == ""


async def test_dev_misbehaves_as_it_is_told(tmp_path: Path) -> None:
    options = ["--no-worker", "--port", "0", "--data", str(tmp_path), "--pace", "fast", "--no-rate-limit"]
    dev = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "sentinel_worker", "dev", *options),
        *("--misbehave", "rest:status=503,retry-after=7,times=1", "--misbehave", "auth:status=502,body=html"),
        stdout=asyncio.subprocess.PIPE,
    )
    assert dev.stdout is not None
    async with asyncio.timeout(60):
        started = re.search(r"is running after (\d+\.\d) s", (await dev.stdout.readline()).decode())
        assert started
        assert float(started[1]) > 0
        url = (await dev.stdout.readline()).decode().split()[-1]
        async with httpx.AsyncClient(base_url=url) as client:
            refused = await client.get("/rest/v1/notes")
            assert (refused.status_code, refused.headers["retry-after"]) == (503, "7")
            assert (await client.get("/rest/v1/notes")).status_code == 401
            assert "502 Bad Gateway" in (await client.get("/auth/v1/settings")).text
        dev.send_signal(signal.SIGINT)
        assert b"The faults of --misbehave are active" in await dev.stdout.read()
        assert await dev.wait() == 0


@asynccontextmanager
async def raw(
    stack: Stack, path: str, connection: str = "close", *, method: str = "GET"
) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """Open a TCP connection and request `path` on it."""
    reader, writer = await asyncio.open_connection("127.0.0.1", stack.port)
    try:
        key = stack.service_key
        lines = [f"{method} {path} HTTP/1.1", "Host: local", f"apikey: {key}", f"Authorization: Bearer {key}"]
        writer.write("\r\n".join([*lines, f"Connection: {connection}", "", ""]).encode())
        async with asyncio.timeout(30):
            yield reader, writer
    finally:
        writer.close()
        await writer.wait_closed()


async def next_status(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> int:
    """Send another request on the same connection; return its status, 0 if the connection was closed."""
    writer.write(b"GET /storage/v1/status HTTP/1.1\r\nHost: local\r\nConnection: close\r\n\r\n")
    return int((await reader.readline() or b"- 0").split()[1])
