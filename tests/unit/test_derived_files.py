"""Uploads of pictures to a Storage on a real socket: repeated, left out, or a reason to give the request back."""

import asyncio
import time
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import jwt
import pytest

from sentinel_worker.config.settings import Settings
from sentinel_worker.domain.errors import LeaseLost, Transient
from sentinel_worker.queue.lease import Lease, boottime
from sentinel_worker.queue.rights import Doubt, RightsCheck
from sentinel_worker.supabase_client.expiry import CLOCKS_DIFFER_SECONDS
from sentinel_worker.supabase_client.keys import KeyAuth, WorkerKeys
from sentinel_worker.worker.derived_files import DerivedFiles
from sentinel_worker.worker.machine import Machine
from tests.claims import a_claim
from tests.integration.sources.unruly import Exchange, Unruly, unruly_server

AWAY = partial(Exchange.refuse, status="503 Service Unavailable", body="{}", retry_after="0")
STORED = partial(Exchange.refuse, status="200 OK", body='{"Key":"derived/x"}')
EXPIRED = partial(
    Exchange.refuse,
    status="400 Bad Request",
    body='{"statusCode":"403","message":"\\"exp\\" claim timestamp check failed","code":"AccessDenied"}',
)
HOUR = 3600.0


@pytest.fixture
async def storage() -> AsyncIterator[Unruly]:
    async with unruly_server() as server:
        yield server


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    path = tmp_path / "thumbnail.webp"
    path.write_bytes(b"\xff\xd8\xff picture")
    return path


async def kept(storage: Unruly, picture: Path, lease: Lease, *, key_seconds: float = HOUR) -> str | None:
    """Upload the picture with a token that expires in `key_seconds`."""
    token = jwt.encode({"role": "sentinel_worker", "exp": time.time() + key_seconds}, "x" * 32)
    settings = Settings(SUPABASE_URL=storage.url, SUPABASE_PUBLISHABLE_KEY="sb_publishable_x", worker_jwt=token)
    unused: Any = SimpleNamespace()
    async with httpx.AsyncClient(auth=KeyAuth(WorkerKeys(settings)), base_url=storage.url) as http:
        derived = DerivedFiles(http, RightsCheck(unused, Doubt()), Machine())
        return await derived.keep(lease, "thumbnail", picture)


def a_lease() -> Lease:
    return Lease(a_claim(), boottime())


async def test_a_picture_is_uploaded_again_while_storage_is_away(storage: Unruly, picture: Path) -> None:
    storage.behave = [AWAY, AWAY, STORED]
    claim = (lease := a_lease()).claim
    path = await kept(storage, picture, lease)
    assert path == f"{claim.user_id}/{claim.id}/{claim.fence}/thumbnail.webp"
    assert [one.target for one in storage.asked] == [f"POST /storage/v1/object/derived/{path} HTTP/1.1"] * 3


async def test_nothing_is_uploaded_once_the_lease_is_lost(storage: Unruly, picture: Path) -> None:
    lease = a_lease()

    async def take_over(exchange: Exchange) -> None:
        lease.expires_at = boottime()
        await AWAY(exchange)

    storage.behave = [take_over, STORED]
    with pytest.raises(LeaseLost):
        await kept(storage, picture, lease)
    assert len(storage.asked) == 1


async def test_an_expired_key_is_not_sent(storage: Unruly, picture: Path) -> None:
    assert await kept(storage, picture, a_lease(), key_seconds=-1) is None
    assert storage.asked == []


@pytest.mark.parametrize("refused", [True, False], ids=["away", "silent"])
async def test_a_picture_is_left_out_when_the_key_expires_meanwhile(
    storage: Unruly, picture: Path, refused: bool
) -> None:
    async def hang(_: Exchange) -> None:
        await asyncio.Event().wait()

    storage.behave = [AWAY if refused else hang]
    assert await kept(storage, picture, a_lease(), key_seconds=0.3) is None


async def test_storage_may_see_the_expiry_first(storage: Unruly, picture: Path) -> None:
    storage.behave = [EXPIRED]
    assert await kept(storage, picture, a_lease(), key_seconds=CLOCKS_DIFFER_SECONDS) is None
    with pytest.raises(Transient, match="access_refused"):  # revoked: other workers can store it
        await kept(storage, picture, a_lease(), key_seconds=HOUR)
