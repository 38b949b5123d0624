"""Hostile object names by a signed-in user on /storage/v1: nothing outside their own folder is read or changed."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import closing
from http.client import HTTPConnection
from typing import Any
from urllib.parse import quote

import httpx
import pytest
import pytest_asyncio

from tests.matrix import sampled
from tests.rights import as_resumable, hostile
from tests.rights.asking import Asking
from tests.rights.world import SERVICE, USER_A, USER_B, A, prepare

pytestmark = pytest.mark.asyncio(loop_scope="session")
LONGEST_URL = 4000
LONGEST_NAME = 1024  # beyond it the real server responds with 500, too
FOREIGN = f"{USER_B}/b.mp4"
# One of each kind; `storage_path` is tried with all of them in test_input.py.
SAMPLE = (
    "another user's folder",
    "up and into another's folder",
    "up, encoded twice",
    "up, with the slash encoded",
    "up, with a backslash",
    "only up",
    "an empty segment",
    "nothing",
    "an absolute path",
    "another's id in capitals",
    "full-width dots",
    "a NUL, encoded",
    "a percent sign",
    "1,025 characters",
    "a million characters",
)
TRICKS = pytest.mark.parametrize("trick", sampled("rights", hostile.PATHS, SAMPLE))
OTHERS = f"""
select jsonb_object_agg(o.bucket_id || '/' || o.name, to_jsonb(o)) from storage.objects o
 where not (o.bucket_id = 'media' and o.name like '{USER_A}/%')
"""  # noqa: S608 - a constant


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def clients(world: Asking) -> AsyncIterator[tuple[httpx.AsyncClient, httpx.AsyncClient]]:
    """User A's HTTP client and service_role's; user B has an object, and user A one to copy."""
    prepare(world.superuser)
    async with world.client(A) as client, world.client(SERVICE) as service:
        for key in (FOREIGN, f"{USER_A}/source.mp4"):
            headers = {"x-upsert": "true"}
            stored = await service.post(f"/storage/v1/object/media/{key}", content=key.encode(), headers=headers)
            stored.raise_for_status()
        yield client, service


def others(world: Asking) -> Any:
    row = world.superuser.execute(OTHERS.encode()).fetchone()
    assert row is not None
    return row[0]


async def verbatim(client: httpx.AsyncClient, method: str, path: str, body: bytes | None = None) -> tuple[int, bytes]:
    """Send a request whose path is not normalized, as httpx would do; return status and body."""

    def ask() -> tuple[int, bytes]:
        with closing(HTTPConnection(client.base_url.host, client.base_url.port or 80)) as connection:
            headers = {name: client.headers[name] for name in ("apikey", "authorization")}
            connection.request(method, f"/storage/v1{path}", body, headers)
            answer = connection.getresponse()
            return answer.status, answer.read()

    return await asyncio.to_thread(ask)


def is_lawful(name: str) -> bool:
    """Return True if Storage may accept the name: below the user's own folder, without a dot segment."""
    return name.startswith(f"{USER_A}/") and not {".", ".."} & set(name.split("/"))


def spellings(name: str) -> list[str]:
    """Return spellings of the name in a URL: fully encoded, and as encoded by a careless client."""
    return [] if len(name) > LONGEST_URL else [quote(name, safe=""), quote(name, safe="/.\\%")]


@TRICKS
async def test_no_name_leaves_the_users_folder(
    world: Asking, clients: tuple[httpx.AsyncClient, httpx.AsyncClient], trick: str
) -> None:
    client, service = clients
    name, before = hostile.spelled(hostile.PATHS[trick]), others(world)
    way = {"bucketId": "media", "sourceKey": f"{USER_A}/source.mp4", "destinationKey": name}
    copied = await client.post("/storage/v1/object/copy", json=way)
    announced = await as_resumable.begin(client, "media", name, 1)
    answers = [(copied.status_code, copied.content), (announced.status_code, announced.content)]
    for spelling in spellings(name):
        answers += [await verbatim(client, verb, f"/object/media/{spelling}", b"x") for verb in ("POST", "PUT")]
        answers.append(await verbatim(client, "POST", f"/object/upload/sign/media/{spelling}"))
    for status, body in answers:
        assert status >= httpx.codes.BAD_REQUEST or is_lawful(name), body
        assert status < httpx.codes.INTERNAL_SERVER_ERROR or len(name) > LONGEST_NAME, body
    moved = await client.post("/storage/v1/object/move", json=way)
    assert moved.is_error or is_lawful(name)
    if moved.is_success:
        back = way | {"sourceKey": name, "destinationKey": way["sourceKey"]}
        (await service.post("/storage/v1/object/move", json=back)).raise_for_status()
    assert others(world) == before


@TRICKS
async def test_no_name_reads_outside_the_users_folder(
    clients: tuple[httpx.AsyncClient, httpx.AsyncClient], trick: str
) -> None:
    client, _ = clients
    name = hostile.spelled(hostile.PATHS[trick])
    signed = await client.post("/storage/v1/object/sign/media", json={"expiresIn": 60, "paths": [name]})
    assert [one["signedURL"] for one in signed.json() if one["signedURL"] and not is_lawful(name)] == []
    prefix = name.removesuffix("b.mp4").removesuffix("/")
    listed = await client.post("/storage/v1/object/list/media", json={"prefix": prefix})
    seen = [f"{prefix}/{one['name']}".removeprefix("/") for one in listed.json()] if listed.is_success else []
    assert all(one.startswith(USER_A) for one in seen)
    for spelling in spellings(name):
        for kind in ("", "authenticated/", "public/", "info/", "sign/"):
            status, body = await verbatim(client, "GET", f"/object/{kind}media/{spelling}")
            assert status >= httpx.codes.BAD_REQUEST or is_lawful(name), body
            assert body != FOREIGN.encode()
            assert status < httpx.codes.INTERNAL_SERVER_ERROR or len(name) > LONGEST_NAME, body


@pytest.mark.parametrize(
    "path",
    [
        "/rest/v1/analysis_requests",
        "/rest/v1/rpc/cancel_analysis",
        "/storage/v1/object/list/media",
        "/storage/v1/object/copy",
        "/storage/v1/object/sign/media",
        "/auth/v1/token?grant_type=password",
        "/realtime/v1/api/broadcast",
        "/realtime/v1/api/broadcast/x/events/y",
    ],
)
@pytest.mark.parametrize(
    "body", ["[" * 200_000 + "]" * 200_000, '{"a":' * 200_000, "\x00", '{"a": NaN', "[]", '"x"', "1"]
)
async def test_an_unparsable_body_is_the_clients_fault(
    clients: tuple[httpx.AsyncClient, httpx.AsyncClient], path: str, body: str
) -> None:
    client, _ = clients
    answer = await client.post(path, content=body.encode(), headers={"content-type": "application/json"})
    assert httpx.codes.OK <= answer.status_code < httpx.codes.INTERNAL_SERVER_ERROR, answer.text[:300]
    assert answer.is_error or json.loads(body) in ([], "x", 1)
