"""Workers meet every fault with marked secrets, and then everything that they wrote is searched for the marks."""

import asyncio
import base64
import json
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest

from sentinel_worker.local.dev import WorkerProcess, worker_environment
from sentinel_worker.local.faults import Faults, HttpFault, RealtimeFaults
from sentinel_worker.local.keys import Keys
from sentinel_worker.local.stack import Stack
from tests import leaks
from tests.integration.daemon.conftest import QUICK, Worker, row_when, signed_in, sql, until

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.timeout(600)]
MARK = "CANARY"


def marked(name: str) -> str:
    return f"{MARK}{name}{os.urandom(12).hex()}"


def write_marked_keys(path: Path) -> None:
    """The keys of a local Supabase, made before it is: each holds a mark, the JWTs in their claims."""
    path.parent.mkdir(mode=0o700)
    made = Keys(marked("jwtsecret"), "", "", f"sb_publishable_{marked('p')}", f"sb_secret_{marked('s')}")
    jwts = {
        f"{name}_key": made.sign({"role": role, "mark": marked(role), "exp": int(time.time()) + 3600})
        for name, role in (("anon", "anon"), ("service", "service_role"))
    }
    fields = {name: getattr(made, name) for name in ("jwt_secret", "publishable_key", "secret_key")}
    path.write_text(json.dumps(fields | jwts))
    path.chmod(0o600)


def rows_of(stack: Stack) -> str:
    """Every row of every table of ours, as text; but for the address that a user gave."""
    tables = sql(
        stack,
        "select format('%%I.%%I', schemaname, tablename) as name from pg_tables"
        " where schemaname in ('public', 'sentinel')",
    )
    assert len(tables) > 8
    rows = [
        sql(stack, f"select (to_jsonb(t) - 'source_url')::text as row from {table['name']} t")
        for table in tables
    ]
    return json.dumps(rows)


def processes(pid: int) -> Iterator[Path]:
    """/proc of a process and all below it."""
    yield Path(f"/proc/{pid}")
    for task in Path(f"/proc/{pid}/task").iterdir():
        for child in (task / "children").read_text().split():
            yield from processes(int(child))


def titles(pid: int) -> bytes:
    """Command lines and names of a worker and its children, and the environments of the children."""
    own, *children = processes(pid)
    shown = [(process / name).read_bytes() for process in (own, *children) for name in ("cmdline", "comm")]
    return b"\n".join(shown + [(process / "environ").read_bytes() for process in children])


def needles(secrets: list[str]) -> list[bytes]:
    """The mark itself, and each secret in the forms in which it could be written."""
    forms = {MARK, *secrets}
    for secret in secrets:
        forms |= {quote(secret, safe=""), base64.b64encode(secret.encode()).decode()[:-4], *secret.split(".")[1:]}
    return sorted(form.encode() for form in forms if form)


async def test_nothing_that_a_worker_writes_holds_a_secret(
    tmp_path: Path, clips: dict[str, Path], capfd: pytest.CaptureFixture[str]
) -> None:
    out, temporary, stack_folder = tmp_path / "out", tmp_path / "tmp", tmp_path / "supabase"
    out.mkdir()
    temporary.mkdir()
    write_marked_keys(stack_folder / "keys.json")
    async with Stack(stack_folder, port=0, durable=False) as stack:
        jwt = stack.keys.sign({"role": "sentinel_worker", "mark": marked("w"), "exp": int(time.time()) + 3600})
        expired = stack.keys.sign({"role": "sentinel_worker", "mark": marked("e"), "exp": 1})
        secrets = [jwt, expired, stack.jwt_secret, stack.secret_key, stack.publishable_key, stack.service_key]
        basic = {**QUICK, "TMPDIR": str(temporary), "SENTINEL_LOG_LEVEL": "debug", "TRANSFORMERS_VERBOSITY": "debug"}
        as_worker = {"SUPABASE_SECRET_KEY": "", "SUPABASE_PUBLISHABLE_KEY": stack.publishable_key}

        # Wrong from the start: a bad key, an expired token, a URL with a password, a file that is none.
        for number, wrong in enumerate(
            (
                {"SUPABASE_SECRET_KEY": f"sb_secret_{marked('wrong')}"},
                {**as_worker, "SENTINEL_WORKER_JWT": expired},
                {"SUPABASE_URL": f"http://{marked('user')}:{marked('pw')}@127.0.0.1:9?token={marked('q')}"},
                {"SUPABASE_SECRET_KEY_FILE": str(stack_folder / "keys.json"), "SENTINEL_SLOTS": marked("n")},
            )
        ):
            log = out / f"wrong-{number}.log"
            async with WorkerProcess(worker_environment(stack, basic | wrong), log=log) as process:
                assert await process.wait() == 2

        # A whole job, then every service refuses, and Supabase goes away.
        log = out / "worker.log"
        async with WorkerProcess(
            worker_environment(stack, basic | as_worker | {"SENTINEL_WORKER_JWT": jwt}), log=log
        ) as process:
            await process.ready()
            worker = Worker(process, log)
            async with signed_in(stack) as user:
                await user.answer(await user.ask(clips["bikes.mp4"]))
                (out / "titles").write_bytes(titles(process.pid))
                refusing = tuple(
                    HttpFault(service=name, status=401, retry_after_seconds=1) for name in ("rest", "storage")
                )
                await stack.misbehave(Faults(http=refusing, realtime=RealtimeFaults(refuse_status=401)))
                await until(lambda: "worker.call_failed" in worker.said(), what="it is refused", log=log)
                await stack.misbehave(
                    Faults(
                        http=(HttpFault(service="storage", status=500, body="html"),),
                        realtime=RealtimeFaults(close_sockets_after_seconds=0.2),
                    )
                )
                asked = await user.insert(f"{user.id}/none.mp4")
                await row_when(stack, asked, lambda row: row["error_code"] is not None)
                await stack.behave()
                for url in (
                    f"http://127.0.0.1:9/v.mp4?token={marked('t')}",
                    f"http://a:{marked('b')}@127.0.0.1:9/v.mp4",
                ):
                    await user.answer(await user.insert(source_url=url))
                await stack.stop_gateway()
                await until(lambda: "supabase.lost" in worker.said(), what="it is away", log=log)
                await stack.start_gateway()
                await until(lambda: "supabase.returned" in worker.said(), what="it is back", log=log)
                process.signal(signal.SIGHUP)
                await until(lambda: "key.read_again" in worker.said(), what="it read again", log=log)

        # Bugs, and a crash that ends the process; then one by a signal that would leave a core dump.
        for number, log_format in enumerate(("json", "console")):
            log = out / f"crashing-{number}.log"
            environment = worker_environment(stack, basic | {"SENTINEL_LOG_FORMAT": log_format})
            async with (
                signed_in(stack) as user,
                WorkerProcess(environment, log=log, module="tests.integration.daemon.crashing") as process,
            ):
                request = await user.insert(f"{user.id}/x.mp4")
                await row_when(stack, request, lambda row: row["error_code"] == "internal_error")
                assert await asyncio.wait_for(process.wait(), 60) == 75
            assert log.read_text().count("a bug with") >= 3
        async with WorkerProcess(worker_environment(stack, basic), log=out / "aborted.log") as process:
            await until(lambda: '"worker.starting"' in (out / "aborted.log").read_text(), what="it starts")
            limits = Path(f"/proc/{process.pid}/limits").read_text()
            assert "Max core file size        0                    0" in limits
            process.signal(signal.SIGABRT)
            assert await process.wait() == -signal.SIGABRT
        (out / "rows.json").write_text(rows_of(stack))

    printed = capfd.readouterr()
    (out / "stdout").write_text(printed.out)
    (out / "stderr").write_text(printed.err)
    searched = list(leaks.files_of([out, temporary]))
    assert {"worker.log", "rows.json", "titles", "stdout"} <= {path.name for path in searched}
    assert (out / "worker.log").stat().st_size > 2000
    hits = [(str(path), needle.decode()) for path, needle in leaks.found([out, temporary], needles(secrets))]
    assert not hits
    assert not list(Path.cwd().glob("core*"))
