"""Workers run into every fault with marked secrets; then all their output is searched for the marks."""

import asyncio
import base64
import json
import os
import re
import signal
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import pytest

from sentinel_local_supabase.faults import Faults, HttpFault, RealtimeFaults
from sentinel_local_supabase.keys import ProjectKeys
from sentinel_local_supabase.stack import Stack
from sentinel_worker.commands.dev import WorkerProcess, worker_environment
from tests import leaks
from tests.integration.daemon.conftest import QUICK, Worker, signed_in
from tests.integration.daemon.queries import row_when, sql
from tests.stacks import stack_at
from tests.waits import until
from tests.warm.forks import Template
from tests.warm.worker import WarmWorker

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.timeout(600)]
MARK = "CANARY"
SERVICES = ("rest", "storage")


def marked(name: str) -> str:
    return f"{MARK}{name}{os.urandom(12).hex()}"


def write_marked_keys(path: Path) -> None:
    """Make the keys of a local Supabase before it starts. Each holds a mark; the JWTs have it in their claims."""
    made = ProjectKeys(marked("jwtsecret"), "", "", f"sb_publishable_{marked('p')}", f"sb_secret_{marked('s')}")
    jwts = {
        f"{name}_key": made.sign({"role": role, "mark": marked(role), "exp": int(time.time()) + 3600})
        for name, role in (("anon", "anon"), ("service", "service_role"))
    }
    fields = {name: getattr(made, name) for name in ("jwt_secret", "publishable_key", "secret_key")}
    path.write_text(json.dumps(fields | jwts))
    path.chmod(0o600)


def rows_of(stack: Stack) -> str:
    """Every row of every table of ours as text, without the address that a user gave."""
    tables = sql(
        stack,
        "select format('%%I.%%I', schemaname, tablename) as name from pg_tables"
        " where schemaname in ('public', 'sentinel')",
    )
    assert len(tables) > 8
    rows = [
        sql(stack, f"select (to_jsonb(t) - 'source_url')::text as row from {table['name']} t")  # noqa: S608
        for table in tables
    ]
    return json.dumps(rows)


def processes(pid: int) -> Iterator[Path]:
    """The /proc folders of a process and its descendants."""
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
    """The mark itself, and every form in which a secret could be written."""
    forms = {MARK, *secrets}
    for secret in secrets:
        forms |= {quote(secret, safe=""), base64.b64encode(secret.encode()).decode()[:-4], *secret.split(".")[1:]}
    return sorted(form.encode() for form in forms if form)


@dataclass
class Scene:
    """A local Supabase with marked keys, and the folder for the workers' output."""

    stack: Stack
    template: Template
    out: Path
    temporary: Path

    def __post_init__(self) -> None:
        """Make the workers' tokens."""
        claims = {"role": "sentinel_worker", "exp": int(time.time()) + 3600}
        self.jwt = self.stack.keys.sign({**claims, "mark": marked("w")})
        self.expired = self.stack.keys.sign({**claims, "mark": marked("e"), "exp": 1})

    @property
    def secrets(self) -> list[str]:
        keys = self.stack.keys
        return [self.jwt, self.expired, keys.jwt_secret, keys.secret_key, keys.publishable_key, keys.service_key]

    @asynccontextmanager
    async def worker(
        self, name: str, settings: Mapping[str, str], *, module: str = "sentinel_worker", real: bool = False
    ) -> AsyncIterator[Worker]:
        """Run a worker that logs all it can to a file of this name; only a `real` one includes transformers' logs."""
        loud = {"TMPDIR": str(self.temporary), "SENTINEL_LOG_LEVEL": "debug", "TRANSFORMERS_VERBOSITY": "debug"}
        log = self.out / f"{name}.log"
        environment = worker_environment(self.stack, {**QUICK, **loud, **settings})
        made = (
            WorkerProcess(environment, log=log, module=module)
            if real
            else WarmWorker(self.template, environment, log=log, module=module)
        )
        async with made as process:
            yield Worker(process, log)

    def with_jwt(self, jwt: str) -> dict[str, str]:
        return {
            "SUPABASE_SECRET_KEY": "",
            "SUPABASE_PUBLISHABLE_KEY": self.stack.publishable_key,
            "SENTINEL_WORKER_JWT": jwt,
        }


async def wrong_from_the_start(scene: Scene) -> None:
    """An invalid key, an expired token, an address with a password, a file without a key."""
    keys_file = str(scene.stack.folder / leaks.KEYS)
    wrong = (
        {"SUPABASE_SECRET_KEY": f"sb_secret_{marked('wrong')}"},
        scene.with_jwt(scene.expired),
        {"SUPABASE_URL": f"http://{marked('user')}:{marked('pw')}@127.0.0.1:9?token={marked('q')}"},
        {"SUPABASE_SECRET_KEY": "", "SUPABASE_SECRET_KEY_FILE": keys_file, "SENTINEL_SLOTS": marked("n")},
    )

    async def refused(number: int, settings: dict[str, str]) -> None:
        async with scene.worker(f"wrong-{number}", settings) as worker:
            assert await worker.process.wait() == 2

    await asyncio.gather(*(refused(number, settings) for number, settings in enumerate(wrong)))


async def refused_and_left_alone(scene: Scene, film: Path) -> None:
    """A whole job. Then every service refuses, Storage fails, users send secrets of their own, Supabase goes away."""
    stack, refused, with_jwt = scene.stack, {"status": 401, "retry_after_seconds": 1}, scene.with_jwt(scene.jwt)
    async with signed_in(stack) as user, scene.worker("worker", with_jwt, real=True) as worker:
        await worker.process.ready()
        await user.answer(await user.ask(film))
        (scene.out / "titles").write_bytes(titles(worker.pid))
        refusing = tuple(HttpFault(service=name, **refused) for name in SERVICES)  # type: ignore[arg-type]
        await stack.misbehave(Faults(http=refusing, realtime=RealtimeFaults(refuse_status=401)))
        await until(lambda: "worker.call_failed" in worker.said(), what="it is refused", log=worker.log)
        broken = HttpFault(service="storage", status=500, body="html")
        await stack.misbehave(Faults(http=(broken,), realtime=RealtimeFaults(close_sockets_after_seconds=0.2)))
        asked = await user.insert(f"{user.id}/none.mp4")
        await row_when(stack, asked, lambda row: row["error_code"] is not None)
        await stack.behave()
        for given in (f"127.0.0.1:9/v.mp4?token={marked('t')}", f"a:{marked('b')}@127.0.0.1:9/v.mp4"):
            await user.answer(await user.insert(source_url=f"http://{given}"))
        await stack.stop_gateway()
        await until(lambda: "supabase.lost" in worker.said(), what="it is away", log=worker.log)
        await stack.start_gateway()
        await until(lambda: "supabase.returned" in worker.said(), what="it is back", log=worker.log)
        worker.process.signal(signal.SIGHUP)
        await until(lambda: "key.read_again" in worker.said(), what="it read again", log=worker.log)


async def crashed(scene: Scene) -> None:
    """Bugs with keys in messages and variables, one that ends the process, and a signal that dumps core."""
    for log_format in ("json", "console"):
        module, name = "tests.integration.daemon.crashing", f"crashing-{log_format}"
        async with (
            signed_in(scene.stack) as user,
            scene.worker(name, {"SENTINEL_LOG_FORMAT": log_format}, module=module) as worker,
        ):
            request = await user.insert(f"{user.id}/x.mp4")
            await row_when(scene.stack, request, lambda row: row["error_code"] == "internal_error")
            assert await asyncio.wait_for(worker.process.wait(), 60) == 75
        assert worker.log.read_text().count("a bug with") >= 3
    async with scene.worker("aborted", {}) as worker:
        await until(lambda: "worker.starting" in worker.said(), what="it starts")
        assert re.search(r"Max core file size +0 +0 ", Path(f"/proc/{worker.pid}/limits").read_text())
        worker.process.signal(signal.SIGABRT)
        assert await worker.process.wait() == -signal.SIGABRT


async def test_nothing_that_a_worker_writes_holds_a_secret(
    worker_template: Template, tmp_path: Path, clips: dict[str, Path], capfd: pytest.CaptureFixture[str]
) -> None:
    out, temporary = tmp_path / "out", tmp_path / "tmp"
    out.mkdir()
    temporary.mkdir()
    prepared = stack_at(tmp_path / "supabase", pace="fast")
    write_marked_keys(prepared.folder / leaks.KEYS)
    async with prepared as stack:
        scene = Scene(stack, worker_template, out, temporary)
        await wrong_from_the_start(scene)
        await refused_and_left_alone(scene, clips["bikes.mp4"])
        await crashed(scene)
        (out / "rows.json").write_text(rows_of(stack))
    printed = capfd.readouterr()
    (out / "stdout").write_text(printed.out)
    (out / "stderr").write_text(printed.err)
    searched = {path.name: path.stat().st_size for path in leaks.files_of([out, temporary])}
    assert min(searched[name] for name in ("worker.log", "rows.json")) > 500, searched
    # Their length is that of this checkout's path: what has to be there are the worker's own and its zygote's.
    assert {b"sentinel_worker", b"zygote_main"} <= set(
        re.findall(rb"sentinel_worker|zygote_main", (out / "titles").read_bytes())
    )
    hits = [(path.name, needle.decode()) for path, needle in leaks.found([out, temporary], needles(scene.secrets))]
    assert not hits
    assert not list(Path.cwd().glob("core*"))
