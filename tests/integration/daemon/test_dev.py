"""`sentinel-worker dev`: what it prints and keeps, and that no process outlives it."""

import asyncio
import os
import re
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import psycopg
import pytest

from tests.integration.daemon.conftest import START_SECONDS
from tests.integration.local.ports import free_pair
from tests.stacks import stack_at
from tests.waits import until

pytestmark = pytest.mark.asyncio(loop_scope="session")


class Dev:
    """A running `sentinel-worker dev` and its output so far."""

    def __init__(self, process: asyncio.subprocess.Process, output: Path) -> None:
        self.process = process
        self.output = output

    @classmethod
    @asynccontextmanager
    async def running(cls, folder: Path, *options: str) -> AsyncIterator["Dev"]:
        """Start it and wait for its whole start-up output; kill it at the end if it still runs."""
        output = folder.with_suffix(".log")
        command = [sys.executable, "-m", "sentinel_worker", "dev", "--port", "0", "--data", str(folder), *options]
        with output.open("wb") as file:
            process = await asyncio.create_subprocess_exec(*command, stdout=file, stderr=file, start_new_session=True)
        try:
            last = re.compile(r"^ *JWT secret  \S+\n", re.MULTILINE)
            await until(
                lambda: bool(last.search(output.read_text())),
                what="it runs", limit_seconds=START_SECONDS, log=output,
            )  # fmt: skip
            yield cls(process, output)
        finally:
            if process.returncode is None:
                process.kill()  # its children end with it
                await process.wait()

    def said(self, name: str) -> str:
        found = re.search(rf"^ *{name}  (\S+)$", self.output.read_text(), re.MULTILINE)
        assert found, self.output.read_text()
        return found[1]

    def family(self) -> set[int]:
        """Every process below it, across sessions."""
        found, look_at = set[int](), [self.process.pid]
        while look_at:
            for thread in Path(f"/proc/{look_at.pop()}/task").glob("*/children"):
                children = {int(child) for child in thread.read_text().split()} - found
                found |= children
                look_at += children
        return found


def alive(processes: set[int]) -> set[int]:
    return {pid for pid in processes if Path(f"/proc/{pid}").exists()}


async def test_ctrl_c_stops_every_child_and_the_data_stays(tmp_path: Path) -> None:
    async with Dev.running(tmp_path / "data") as dev:
        await until(
            lambda: '"worker.ready"' in dev.output.read_text(),
            what="the worker is ready", limit_seconds=START_SECONDS, log=dev.output,
        )  # fmt: skip
        key = dev.said("publishable key")
        async with httpx.AsyncClient() as http:
            answer = await http.get(f"{dev.said('API URL')}/rest/v1/analysis_requests", headers={"apikey": key})
        assert answer.status_code in {200, 401}
        family = dev.family()
        assert len(family) >= 5
        os.killpg(dev.process.pid, signal.SIGINT)  # as a terminal's Ctrl-C does
        assert await dev.process.wait() == 0
        assert not alive(family)

    async with Dev.running(tmp_path / "data", "--no-worker") as again:
        assert again.said("publishable key") == key
        with psycopg.connect(again.said("DB URL")) as database:
            grace = database.execute("select value from sentinel.settings where name = 'lane_grace_seconds'").fetchone()
        assert grace == (10,), "a request that nobody serves fails within seconds here"
        family = again.family()
        again.process.kill()
        await again.process.wait()
        await until(lambda: not alive(family), what="kill -9 takes the children along")

    async with Dev.running(tmp_path / "data", "--no-worker", "--fresh") as fresh:
        assert fresh.said("publishable key") != key
        fresh.process.terminate()
        assert await fresh.process.wait() == 0


async def run_to_its_end(*options: str) -> tuple[int | None, str]:
    """Run a second `sentinel-worker dev` that should be refused; return its exit status and output."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "sentinel_worker", "dev", "--no-worker", *options),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    said, _ = await process.communicate()
    return process.returncode, said.decode()


async def test_a_second_one_is_told_who_was_first(tmp_path: Path) -> None:
    stack_at(tmp_path / "data")
    async with Dev.running(tmp_path / "data", "--no-worker") as first:
        url = first.said("API URL")
        who = f"error Process {first.process.pid} keeps a local Supabase"
        assert await run_to_its_end("--data", str(tmp_path / "data"), "--port", "0") == (
            2,
            f"{who} in {tmp_path}/data: use that one at {url}, choose another folder (--data), or stop it.\n",
        )
        assert await run_to_its_end("--data", str(tmp_path / "other"), "--port", url.rpartition(":")[2]) == (
            2,
            f"{who} at {url}: use that one, choose another port (--port), or stop it.\n",
        )
        async with httpx.AsyncClient(headers={"apikey": first.said("secret key")}) as http:
            assert (await http.get(f"{url}/rest/v1/analysis_requests")).json() == []
        first.process.terminate()
        assert await first.process.wait() == 0


async def test_a_project_brings_its_migrations_seed_schemas_and_secret(tmp_path: Path) -> None:
    stack_at(tmp_path / "data")
    migrations, seed = tmp_path / "migrations", tmp_path / "seed.sql"
    migrations.mkdir()
    later, earlier = "20991231000000_Fill it.sql", "20990101000000_api.sql"  # any name, as with the Supabase CLI
    (migrations / later).write_text("insert into api.things select 'migrated'")
    (migrations / earlier).write_text(
        "create schema api; grant usage on schema api to anon; create table api.things (name text);"
        " grant select on api.things to anon; create view public.seen as select * from api.things"
    )
    seed.write_text("insert into api.things values ('seeded')")
    secret = "a-secret-that-has-at-least-32-characters"
    options = (
        *("--no-worker", "--migrations", str(migrations), "--seed", str(seed), "--schemas", "api, public"),
        *("--jwt-secret", secret, "--db-port", str(free_pair()), "--default-grants"),
    )
    async with Dev.running(tmp_path / "data", *options) as dev:
        assert dev.said("JWT secret") == secret
        assert f":{options[-2]}/postgres" in dev.said("DB URL")
        async with httpx.AsyncClient(headers={"apikey": dev.said("anon key")}) as http:
            for profile, table in (("api", "things"), ("public", "seen")):
                found = await http.get(
                    f"{dev.said('API URL')}/rest/v1/{table}?order=name", headers={"accept-profile": profile}
                )
                assert found.json() == [{"name": "migrated"}, {"name": "seeded"}]
        with psycopg.connect(dev.said("DB URL")) as database:
            ledger = database.execute(
                "select version, name from supabase_migrations.schema_migrations where version > '2099' order by 1"
            ).fetchall()
        assert ledger == [("20990101000000", "api"), ("20991231000000", "Fill it")]
        dev.process.terminate()
        assert await dev.process.wait() == 0

    seed.write_text("select 1")
    (migrations / "20991231000001_cron.sql").write_text("select cron.schedule('x', '* * * * *', 'select 1')")
    status, said = await run_to_its_end("--data", str(tmp_path / "data"), "--port", "0", *options)
    assert status == 2
    assert said.startswith("error 20991231000001_cron.sql, line 1: ")
    assert "The local Supabase has no schema cron" in said
    (migrations / "20991231000001_cron.sql").unlink()
    async with Dev.running(tmp_path / "data", *options) as again:
        assert f"{seed} has changed since it ran. It runs again with --fresh." in again.output.read_text()
        again.process.terminate()
        assert await again.process.wait() == 0
