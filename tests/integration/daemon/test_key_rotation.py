"""Key files change while a worker runs: it goes on, and rejects a wrong key with a log line that names it."""

import asyncio
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg
import pytest

from bench.instant import InstantWorker
from sentinel_local_supabase.faults import Faults, HttpFault
from sentinel_local_supabase.stack import Stack
from sentinel_worker.config.settings import Settings
from sentinel_worker.domain.errors import Transient
from sentinel_worker.queue.client import MissingRight, QueueClient
from sentinel_worker.queue.rights import Doubt, RightsCheck
from sentinel_worker.supabase_client import connections
from sentinel_worker.supabase_client.keys import WorkerKeys
from tests.claims import a_claim
from tests.integration.daemon.conftest import StartWorker, User
from tests.integration.daemon.key_files import Lines, events, running, succeeded, token, write
from tests.integration.daemon.proxy import FaultProxy
from tests.integration.daemon.queries import row_when
from tests.waits import until

pytestmark = pytest.mark.asyncio(loop_scope="session")
DOWNLOAD = "GET /storage/v1/object/authenticated/media/"


async def test_a_new_token_in_the_file_is_used_everywhere(
    stack: Stack, tmp_path: Path, insert: Callable[[], str], lines: Lines
) -> None:
    path = write(tmp_path / "jwt", token(stack))
    async with running(stack, path) as worker:
        await succeeded(stack, insert())
        assert worker.wakeup is not None
        before = {name: hint.generation for name, hint in worker.wakeup.hints.items()}
        write(path, fresh := token(stack))
        await until(lambda: bool(events(lines, "key.changed")), what="the new token is in use")
        assert worker.keys.current.token == fresh
        hints = worker.wakeup.hints
        await until(lambda: all(h.generation > before[n] and h.ready for n, h in hints.items()), what="it joined again")
        await succeeded(stack, insert())
    assert {line["reason"] for line in events(lines, "realtime.lost")} == {"the key changed"}
    assert not events(lines, "worker.call_failed")
    assert fresh not in repr(lines)


async def looked_again(worker: InstantWorker, monkeypatch: pytest.MonkeyPatch) -> None:
    """Wait for two more looks into the files, so that the first of them is complete."""
    looks, read = 0, worker.keys.read

    def counted() -> Any:
        nonlocal looks
        looks += 1
        return read()

    monkeypatch.setattr(worker.keys, "read", counted)
    await until(lambda: looks >= 2, what="it looked twice")


async def test_a_wrong_token_is_named_and_the_old_one_goes_on(
    stack: Stack,
    tmp_path: Path,
    insert: Callable[[], str],
    lines: Lines,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    path = write(tmp_path / "jwt", good := token(stack))
    async with running(stack, path) as worker:
        write(path, token(stack, role="authenticated"))
        await until(lambda: bool(events(lines, "key.refused")), what="the wrong one is named")
        await succeeded(stack, insert())
        assert worker.keys.current.token == good
        path.unlink()
        await until(lambda: bool(events(lines, "key.unreadable")), what="a file that is gone is named")
        await succeeded(stack, insert())
        write(path, last := token(stack))
        await until(lambda: worker.keys.current.token == last, what="a good one is taken")
        await looked_again(worker, monkeypatch)
    (refused,), (unreadable,) = events(lines, "key.refused"), events(lines, "key.unreadable")
    assert refused["error"].startswith("SENTINEL_WORKER_JWT: SENTINEL_WORKER_JWT has the role authenticated")
    assert unreadable["error"] == f"SENTINEL_WORKER_JWT: {path} cannot be read: No such file or directory"
    assert len(events(lines, "key.changed")) == 1


async def test_a_refused_token_is_replaced_without_a_wait(
    stack: Stack, tmp_path: Path, insert: Callable[[], str], lines: Lines
) -> None:
    """The file changes unnoticed and the old token is refused, which makes the worker read the file."""
    path = write(tmp_path / "jwt", token(stack))
    async with running(stack, path, looks=False, realtime=False) as worker:
        write(path, fresh := token(stack))
        await stack.misbehave(Faults(http=(HttpFault(service="rest", path="sentinel_claim", status=401, times=1),)))
        request = insert()
        await until(lambda: worker.keys.current.token == fresh, what="the refusal made it look")
        await succeeded(stack, request)
        await succeeded(stack, insert())
    assert not events(lines, "request.lease_lost")


async def test_sighup_takes_the_new_key_while_a_request_runs(
    stack: Stack, start_worker: StartWorker, user: User, clips: dict[str, Path], proxy: FaultProxy, tmp_path: Path
) -> None:
    path = write(tmp_path / "jwt", token(stack))
    worker = await start_worker(
        via=proxy, SUPABASE_SECRET_KEY="", SUPABASE_PUBLISHABLE_KEY=stack.publishable_key,
        SENTINEL_WORKER_JWT_FILE=str(path), SENTINEL_SWEEP_SECONDS="60", SENTINEL_LEASE_SECONDS="30",
    )  # fmt: skip
    proxy.hold = DOWNLOAD
    request = await user.ask(clips["bikes.mp4"])
    await proxy.held.wait()
    write(path, token(stack))
    worker.process.signal(signal.SIGHUP)
    await until(lambda: "key.changed" in worker.said(), what="it is in use", log=worker.log)
    proxy.release.set()
    row = await user.answer(request)
    assert (row["status"], row["attempt"]) == ("succeeded", 1)
    worker.process.signal(signal.SIGHUP)
    await until(lambda: "key.read_again" in worker.said(), what="nothing is new", log=worker.log)
    assert "key.exposed" not in worker.said()
    path.chmod(0o644)
    write(path, token(stack))
    path.chmod(0o644)
    worker.process.signal(signal.SIGHUP)
    await until(lambda: "key.exposed" in worker.said(), what="others may read it", log=worker.log)


@pytest.fixture
def no_progress(admin: psycopg.Connection) -> Iterator[None]:
    """Take away a right that the worker can do without."""
    admin.execute("revoke execute on function public.sentinel_progress(jsonb) from sentinel_worker")
    yield
    admin.execute("grant execute on function public.sentinel_progress(jsonb) to sentinel_worker")


@pytest.mark.usefixtures("no_progress")
async def test_a_missing_optional_right_does_not_prevent_rotation(
    stack: Stack, tmp_path: Path, insert: Callable[[], str], lines: Lines
) -> None:
    path = write(tmp_path / "jwt", token(stack))
    async with running(stack, path) as worker:
        write(path, fresh := token(stack))
        await until(lambda: worker.keys.current.token == fresh, what="the new token is in use")
        await succeeded(stack, insert())
    assert not events(lines, "key.refused")


class Counting(QueueClient):
    """Counts how often the missing rights were queried."""

    asked = 0

    async def missing_rights(self) -> list[MissingRight]:
        self.asked += 1
        return await super().missing_rights()


@pytest.mark.usefixtures("no_progress")
async def test_an_optional_right_known_to_be_missing_is_not_checked_again(stack: Stack) -> None:
    values = {"SUPABASE_URL": stack.url, "SUPABASE_PUBLISHABLE_KEY": stack.publishable_key, "worker_jwt": token(stack)}
    settings = Settings.model_validate(values)
    client = connections.connect(settings, WorkerKeys(settings))
    doubt = Doubt()
    queue = Counting(client, uuid4(), refused=doubt.call_refused)
    rights = RightsCheck(queue, doubt)
    try:
        for _ in range(2):
            await rights.check()
            with pytest.raises(Transient, match="access_refused"):
                await queue.progress({a_claim(): ("probing", 5)})
        await rights.check()
        assert queue.asked == 1
        doubt.call_refused("sentinel_claim")
        await rights.check()
        assert queue.asked == 2
    finally:
        await connections.close(client)


async def test_sighup_during_the_start_ends_nothing(stack: Stack, start_worker: StartWorker) -> None:
    worker = await start_worker(wait=False)
    await until(lambda: "worker.starting" in worker.said(), what="it starts", log=worker.log)
    worker.process.signal(signal.SIGHUP)
    await until(lambda: "worker.ready" in worker.said(), what="it is ready all the same", log=worker.log)


@pytest.mark.parametrize("function", ["sentinel_heartbeat", "sentinel_finish", "sentinel_claim"])
async def test_no_attempt_is_lost_while_a_right_is_missing(
    stack: Stack,
    tmp_path: Path,
    insert: Callable[[], str],
    lines: Lines,
    admin: psycopg.Connection,
    function: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("sentinel_worker.queue.rights.REFUSED_RETRY_SECONDS", 0.3)
    monkeypatch.setattr("sentinel_worker.supabase_client.connections.REFUSED_RETRY_SECONDS", 0.3)
    path = write(tmp_path / "jwt", token(stack))
    sentence = f"run grant execute on function public.{function}(jsonb) to sentinel_worker"
    async with running(stack, path, lease_seconds=2, heartbeat_seconds=0.5) as worker:
        worker.worker._pipeline.seconds = 4.0  # type: ignore[attr-defined]
        request = insert()
        await row_when(stack, request, lambda row: row["status"] == "running")
        admin.execute(f"revoke execute on function public.{function}(jsonb) from sentinel_worker".encode())
        try:
            if function == "sentinel_claim":
                insert()
            await until(
                lambda: any(sentence in line["error"] for line in events(lines, "right.missing")), what="it is named"
            )
            await asyncio.sleep(3)  # longer than a lease, in which nothing may be lost
        finally:
            admin.execute(f"grant execute on function public.{function}(jsonb) to sentinel_worker".encode())
        worker.worker._pipeline.seconds = 0.0  # type: ignore[attr-defined]
        await succeeded(stack, request)
    assert len([line for line in events(lines, "right.missing") if sentence in line["error"]]) == 1
