"""The stack as a whole: keys, data, port, pace, changes while it runs, and shutdown."""

import asyncio
import json
import os
import signal
import socket
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest
from realtime import RealtimePostgresChangesListenEvent
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from sentinel_local_supabase.errors import LocalSupabaseError
from sentinel_local_supabase.faults import Faults, HttpFault
from sentinel_local_supabase.gateway.settings import GatewaySettings
from sentinel_local_supabase.postgres import Postgres
from sentinel_local_supabase.realtime.settings import RealtimePace
from sentinel_local_supabase.stack import Stack
from sentinel_worker.database import migrate
from tests.integration.local.clients import connected
from tests.stacks import stack_at

KEPT_RUNNING = """
import asyncio, sys
from pathlib import Path
from sentinel_local_supabase.stack import Stack

async def main() -> None:
    async with Stack(Path(sys.argv[1]), port=0, durable=False, migrations=None) as stack:
        server = (stack.postgres.folder / "cluster" / "postmaster.pid").read_text().split()[0]
        print(stack.port, stack._gateway.pid, server, flush=True)
        await asyncio.Event().wait()

asyncio.run(main())
"""


async def test_data_and_keys_survive_a_restart_unless_fresh(tmp_path: Path) -> None:
    async with Stack(tmp_path, port=0, durable=False, migrations=migrate.apply) as first:
        async with connected(first.url, first.publishable_key) as client:
            signed = await client.auth.sign_up({"email": "a@example.com", "password": "correct horse"})
            assert signed.user is not None
            path = f"{signed.user.id}/a.txt"
            await client.storage.from_("media").upload(path, b"kept", {"content-type": "text/plain"})
        keys = first.keys
    async with Stack(tmp_path, port=0, durable=False, migrations=migrate.apply) as second:
        assert second.keys == keys
        async with connected(second.url, keys.anon_key) as client:
            await client.auth.sign_in_with_password({"email": "a@example.com", "password": "correct horse"})
            assert await client.storage.from_("media").download(path) == b"kept"
    async with Stack(tmp_path, port=0, durable=False, fresh=True, migrations=None) as third:
        assert third.keys != keys
        with psycopg.connect(third.superuser_dsn) as database:
            assert database.execute("select count(*) from auth.users").fetchone() == (0,)


async def start(folder: Path, port: int = 0, *, fresh: bool = False) -> None:
    async with Stack(folder, port=port, fresh=fresh, durable=False, migrations=None):
        pass


async def test_fresh_does_not_empty_somebody_elses_folder(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(LocalSupabaseError, match="was not created by a local Supabase"):
        await start(tmp_path, fresh=True)
    assert [child.name for child in tmp_path.iterdir()] == ["thesis.txt"]


@pytest.mark.parametrize("fresh", [True, False])
async def test_a_folder_is_held_by_one_stack(stack: Stack, fresh: bool) -> None:
    with psycopg.connect(stack.superuser_dsn, autocommit=True) as database:
        kept = database.execute("insert into auth.users (email) values (gen_random_uuid()) returning id").fetchone()
    assert kept is not None
    with pytest.raises(LocalSupabaseError) as refused:
        await start(stack.folder, fresh=fresh)
    assert refused.value.code == "folder_in_use"
    assert f"Process {os.getpid()} keeps a local Supabase in {stack.folder}" in refused.value.message
    assert stack.url in refused.value.message
    with psycopg.connect(stack.superuser_dsn) as database:
        assert database.execute("select count(*) from auth.users where id = %s", kept).fetchone() == (1,)


async def test_a_server_that_outlived_its_stack_is_named(tmp_path: Path) -> None:
    stack_at(tmp_path, migrations=False)
    with Postgres(tmp_path / "postgres", durable=False) as server:
        process = (server.folder / "cluster" / "postmaster.pid").read_text().split()[0]
        for fresh in (True, False):
            with pytest.raises(LocalSupabaseError, match=f"PostgreSQL, process {process}, still uses {tmp_path}"):
                await start(tmp_path, fresh=fresh)
        with psycopg.connect(server.dsn()) as database:
            assert database.execute("select 1").fetchone() == (1,)


async def test_a_taken_port_is_named_before_anything_is_made(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(
            LocalSupabaseError, match=rf"^port_in_use: Process {os.getpid()} listens on 127\.0\.0\.1:{port}: "
        ):
            await start(tmp_path / "data", port)
    assert not (tmp_path / "data").exists()


async def test_a_port_of_another_local_supabase_is_named(stack: Stack, tmp_path: Path) -> None:
    with pytest.raises(
        LocalSupabaseError, match=rf"Process {os.getpid()} keeps a local Supabase at {stack.url}: use that one"
    ):
        await start(tmp_path / "data", stack.port)


async def test_data_and_keys_are_closed_to_other_accounts(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    secret = (folder / "keys.json", folder / "postgres" / "password")

    def modes() -> set[int]:
        assert folder.stat().st_mode & 0o777 == 0o700
        return {file.stat().st_mode & 0o777 for file in secret}

    await start(folder)
    assert modes() == {0o600}
    folder.chmod(0o755)
    for file in secret:
        file.chmod(0o644)
    await start(folder)
    assert modes() == {0o600}


async def test_a_folder_with_something_else_in_it_keeps_its_mode(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("years of work")
    tmp_path.chmod(0o755)
    await start(tmp_path)
    assert tmp_path.stat().st_mode & 0o777 == 0o755


async def test_everything_dies_with_a_killed_parent(tmp_path: Path) -> None:
    stack_at(tmp_path, migrations=False)
    parent = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", KEPT_RUNNING, str(tmp_path)), stdout=asyncio.subprocess.PIPE
    )
    assert parent.stdout is not None
    port, *processes = [int(text) for text in (await parent.stdout.readline()).split()]
    async with httpx.AsyncClient() as client:
        assert (await client.get(f"http://127.0.0.1:{port}/storage/v1/status")).status_code == 200
    ends = [os.pidfd_open(process) for process in processes]
    parent.send_signal(signal.SIGKILL)
    await parent.wait()
    async with asyncio.timeout(60):
        await asyncio.gather(*map(ended, ends))


async def test_a_restarted_gateway_behaves(tmp_path: Path) -> None:
    async with stack_at(tmp_path, migrations=False) as stack, httpx.AsyncClient() as http:
        await asyncio.gather(*(stack.misbehave(Faults(http=(HttpFault(status=n),))) for n in (500, 502, 503)))
        assert (await http.get(stack.url)).status_code == 503
        await stack.stop_gateway()
        with pytest.raises(LocalSupabaseError, match="not running"):
            await stack.behave()
        await stack.start_gateway()
        assert (await http.get(stack.url)).status_code == 200


async def test_the_gateway_reads_its_standard_input_line_by_line(tmp_path: Path) -> None:
    async with stack_at(tmp_path, migrations=False) as stack, httpx.AsyncClient() as http:
        settings = GatewaySettings.from_json(stack._gateway_settings().to_json())
        assert settings == stack._gateway_settings()
        await stack.stop_gateway()
        gateway = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "sentinel_local_supabase.gateway.app"),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
        )
        assert gateway.stdin is not None
        assert gateway.stdout is not None
        in_force = json.dumps({"number": 7, "faults": Faults(http=(HttpFault(status=502),)).to_dict()})
        wrong = [
            "nonsense",
            "{}",
            '{"number": 8, "faults": {"http": [{"status": 200}], "realtime": {}}}',
            '{"number": 9, "faults": {"http": [3]}}',
        ]
        gateway.stdin.write("\n".join([settings.to_json(), in_force, *wrong, ""]).encode())
        answers: list[dict[str, Any]] = []
        async with asyncio.timeout(30):
            while len(answers) < 2 + len(wrong):
                answers.append(json.loads(await gateway.stdout.readline()))
        assert {"port": settings.port} in answers
        assert {"number": 7, "faults": "in force"} in answers
        refused = [answer["refused"] for answer in answers if "refused" in answer]
        assert len(refused) == len(wrong)
        assert "the status must be between 400 and 599" in refused[2]
        assert (await http.get(stack.url)).status_code == 502
        gateway.stdin.close()
        assert await gateway.wait() == 0


@pytest.mark.parametrize(("pace", "is_slow"), [("real", True), ("fast", False)])
async def test_realtime_refuses_a_bad_key_at_the_pace(tmp_path: Path, pace: RealtimePace, is_slow: bool) -> None:
    async with stack_at(tmp_path, migrations=False, pace=pace) as stack:
        began = time.monotonic()
        with pytest.raises(InvalidStatus):
            await connect(f"{stack.url.replace('http', 'ws')}/realtime/v1/websocket?vsn=1.0.0&apikey=wrong")
        assert (time.monotonic() - began >= 2) is is_slow


@pytest.mark.parametrize(("limit", "arrives"), [(None, True), (0, False)])
async def test_row_changes_over_the_limit_are_dropped(tmp_path: Path, limit: int | None, arrives: bool) -> None:
    async with stack_at(tmp_path, migrations=False, pace="fast", events_per_second=limit) as stack:
        with psycopg.connect(stack.superuser_dsn, autocommit=True) as database:
            database.execute(
                "create table public.things (id int primary key); grant select on public.things to service_role;"
                " alter publication supabase_realtime add table public.things"
            )
            async with connected(stack.url, stack.secret_key) as client:
                ready, came = asyncio.Event(), asyncio.Event()
                channel = client.channel("things")
                channel.on_postgres_changes(
                    RealtimePostgresChangesListenEvent.Insert, lambda _: came.set(), table="things", schema="public"
                )
                channel.on_system(lambda _: ready.set())
                await channel.subscribe()
                async with asyncio.timeout(20):
                    await ready.wait()
                database.execute("insert into public.things values (1)")
                with suppress(TimeoutError):
                    async with asyncio.timeout(20 if arrives else 1):
                        await came.wait()
                assert came.is_set() is arrives


async def ended(process: int) -> None:
    """Wait for a process to end, and close its file descriptor (from pidfd_open)."""
    over = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_reader(process, over.set)
    try:
        await over.wait()
    finally:
        loop.remove_reader(process)
        os.close(process)


async def test_a_client_that_leaves_in_the_middle_of_a_body_leaves_no_traceback(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    async with stack_at(tmp_path, migrations=False) as stack:
        for path in ("/rest/v1/analysis_requests", "/auth/v1/token?grant_type=password"):
            reader, writer = await asyncio.open_connection("127.0.0.1", stack.port)
            head = f"POST {path} HTTP/1.1\r\nhost: x\r\napikey: {stack.secret_key}\r\ncontent-length: 100\r\n"
            writer.write(f"{head}expect: 100-continue\r\n\r\n".encode())
            assert b"100 Continue" in await reader.readuntil(b"\r\n\r\n")  # the service reads the body now
            writer.close()
            await writer.wait_closed()
        await stack.stop_gateway()
    assert capfd.readouterr().err == ""


async def test_a_cancelled_call_does_not_answer_the_next(own_stack: Stack) -> None:
    async with httpx.AsyncClient() as http:
        for status in (500, 502, 503, 504):
            hasty = asyncio.create_task(own_stack.misbehave(Faults(http=(HttpFault(status=599),))))
            await asyncio.sleep(0)  # it has written its message and waits for the reply
            hasty.cancel()
            await own_stack.misbehave(Faults(http=(HttpFault(status=status),)))
            assert (await http.get(own_stack.url)).status_code == status


async def test_a_gateway_that_was_killed_is_named(own_stack: Stack) -> None:
    assert own_stack._gateway is not None
    os.kill(own_stack._gateway.pid, signal.SIGKILL)
    with pytest.raises(LocalSupabaseError, match="has ended"):
        await own_stack.behave()


async def test_a_connection_that_is_idle_for_seconds_stays_open(stack: Stack) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", stack.port)
    writer.write(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")
    head = await reader.readuntil(b"\r\n\r\n")
    assert b"200 OK" in head
    await reader.readexactly(int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0]))
    with pytest.raises(TimeoutError):  # uvicorn's own limit is 5 s
        await asyncio.wait_for(reader.read(1), 7)
    writer.close()
    await writer.wait_closed()
