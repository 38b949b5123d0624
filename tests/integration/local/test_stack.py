"""The stack as a whole: it keeps its keys and data, refuses a taken port, and dies with its parent."""

import asyncio
import signal
import socket
import sys
from pathlib import Path

import httpx
import psycopg
import pytest

from sentinel_worker.errors import Fatal
from sentinel_worker.local.stack import Stack
from tests.integration.local.clients import connected

KEPT_RUNNING = """
import asyncio, sys
from pathlib import Path
from sentinel_worker.local.stack import Stack

async def main() -> None:
    async with Stack(Path(sys.argv[1]), port=0, durable=False, migrations=False) as stack:
        print(stack.port, stack.postgres.port, flush=True)
        await asyncio.Event().wait()

asyncio.run(main())
"""


async def test_data_and_keys_survive_a_restart_unless_fresh(tmp_path: Path) -> None:
    async with Stack(tmp_path, port=0, durable=False) as first:
        async with connected(first.url, first.publishable_key) as client:
            signed = await client.auth.sign_up({"email": "a@example.com", "password": "correct horse"})
            assert signed.user is not None
            path = f"{signed.user.id}/a.txt"
            await client.storage.from_("media").upload(path, b"kept", {"content-type": "text/plain"})
        keys = first.keys
    async with Stack(tmp_path, port=0, durable=False) as second:
        assert second.keys == keys
        async with connected(second.url, keys.anon_key) as client:
            await client.auth.sign_in_with_password({"email": "a@example.com", "password": "correct horse"})
            assert await client.storage.from_("media").download(path) == b"kept"
    async with Stack(tmp_path, port=0, durable=False, fresh=True, migrations=False) as third:
        assert third.keys != keys
        with psycopg.connect(third.superuser_dsn) as database:
            assert database.execute("select count(*) from auth.users").fetchone() == (0,)


async def test_a_taken_port_is_named(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(Fatal) as caught:
            async with Stack(tmp_path, port=port, durable=False, migrations=False):
                pass
    assert str(port) in str(caught.value)


async def test_everything_dies_with_a_killed_parent(tmp_path: Path) -> None:
    parent = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", KEPT_RUNNING, str(tmp_path)), stdout=asyncio.subprocess.PIPE
    )
    assert parent.stdout is not None
    ports = [int(text) for text in (await parent.stdout.readline()).split()]
    async with httpx.AsyncClient() as client:
        assert (await client.get(f"http://127.0.0.1:{ports[0]}/storage/v1/status")).status_code == 200
    parent.send_signal(signal.SIGKILL)
    await parent.wait()
    async with asyncio.timeout(20):
        for port in ports:
            while await _listens(port):
                await asyncio.sleep(0.02)


async def _listens(port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
    except ConnectionError:
        return False
    writer.close()
    return True
