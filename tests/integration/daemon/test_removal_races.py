"""A worker removes files soon, and none that was uploaded or named again while its call to Storage was on the way."""

import psycopg
import pytest

from sentinel_local_supabase.stack import Stack
from tests.integration.daemon.conftest import StartWorker, User
from tests.integration.daemon.proxy import FaultProxy
from tests.integration.daemon.test_deletions import stored, token_of_a_worker
from tests.waits import until

pytestmark = pytest.mark.asyncio(loop_scope="session")

REMOVAL = "DELETE /storage/v1/object/media"


def environment(stack: Stack, key: str) -> dict[str, str]:
    """Return the settings that give a worker this key."""
    if key == "secret":
        return {}
    token = token_of_a_worker(stack)
    return {
        "SUPABASE_SECRET_KEY": "",
        "SUPABASE_PUBLISHABLE_KEY": stack.publishable_key,
        "SENTINEL_WORKER_JWT": token,
    }


@pytest.mark.parametrize("key", ["secret", "sentinel_worker"])
async def test_what_was_uploaded_or_named_again_since_the_list_stays(
    stack: Stack, start_worker: StartWorker, user: User, admin: psycopg.Connection, proxy: FaultProxy, key: str
) -> None:
    replaced, fresh, named, gone = [
        await user.upload(b"no film", f"{name}.mp4") for name in ("replaced", "fresh", "named", "gone")
    ]
    requests = {path: await user.insert(path) for path in (replaced, fresh, named, gone)}
    admin.execute("delete from analysis_requests")
    proxy.hold_request = REMOVAL
    await start_worker(via=proxy, SENTINEL_HTTP_TIMEOUT_SECONDS="60", **environment(stack, key))
    await proxy.held.wait()
    for path in (replaced, fresh):
        await user.client.storage.from_("media").update(path, b"no film either", {"content-type": "video/mp4"})
    for path in (replaced, named):
        await user.insert(path, id=requests[path])
    proxy.release.set()
    await until(lambda: not stored(stack, gone), what="the removal was carried out")
    assert [stored(stack, path) for path in (replaced, fresh, named)] == [1, 1, 1]
    for path in (replaced, named):
        assert (await user.answer(requests[path]))["error_code"] == "media_not_supported"


async def test_the_first_maintenance_after_a_deletion_finds_its_files(
    stack: Stack, start_worker: StartWorker, user: User, proxy: FaultProxy
) -> None:
    await start_worker(via=proxy)
    request = await user.ask(b"no film")
    film = (await user.answer(request))["storage_path"]
    calls = [line for line in proxy.requests if "sentinel_deletions" in line]
    assert calls == [], "nothing was to be removed"
    await user.client.rpc("delete_analysis", {"id": request}).execute()
    proxy.requests.clear()
    await until(lambda: not stored(stack, film), what="the file is gone")
    before = proxy.requests[: next(n for n, line in enumerate(proxy.requests) if line.startswith("DELETE "))]
    assert sum("sentinel_maintain" in line for line in before) <= 2
