"""`sentinel-worker dev`: the local Supabase and one worker, until Ctrl-C."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Any, TypedDict, Unpack

from rich.console import Console

from sentinel_local_supabase.errors import LocalSupabaseError
from sentinel_local_supabase.fault_parser import read_faults
from sentinel_local_supabase.faults import Faults
from sentinel_local_supabase.left_out import advice
from sentinel_local_supabase.realtime.settings import EVENTS_PER_SECOND, RealtimePace
from sentinel_local_supabase.stack import Stack
from sentinel_worker.database import dev_settings, migrate
from sentinel_worker.detectors.registry import DEMO_DETECTORS
from sentinel_worker.domain.errors import Fatal, Transient
from sentinel_worker.domain.machine_errors import start_errors_translated
from sentinel_worker.media.libraries import require_libraries
from sentinel_worker.observe import logs

TETHER = Path(__file__).with_name("tether.py")
LOOK_EVERY_SECONDS = 0.1
STOP_LIMIT_SECONDS = 20.0
DEMO_NOTICE = "The worker uses the demo detectors: each finds one synthetic manipulation, and none detects deepfakes."

console = Console(highlight=False, soft_wrap=True)


def worker_environment(stack: Stack, overrides: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return the environment of a worker for `stack`, with the demo detectors unless the caller chose others."""
    chosen = {name: value for name, value in os.environ.items() if not name.startswith("SUPABASE_")}
    return {
        "SENTINEL_DETECTOR": ",".join(DEMO_DETECTORS),
        **chosen,
        "SUPABASE_URL": stack.url,
        "SUPABASE_SECRET_KEY": stack.secret_key,
        **(overrides or {}),
    }


class WorkerProcess:
    """A child process that runs `sentinel-worker run`, or another worker `module`. It dies with this process."""

    def __init__(
        self, environment: Mapping[str, str], *, log: Path | None = None, module: str = "sentinel_worker"
    ) -> None:
        self._environment = dict(environment)
        self._log = log
        self._module = module
        self._process: asyncio.subprocess.Process | None = None

    @property
    def pid(self) -> int:
        """Process id; valid only while the process runs."""
        assert self._process is not None
        return self._process.pid

    async def __aenter__(self) -> "WorkerProcess":
        stderr = self._log.open("wb") if self._log else None
        try:
            self._process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-I", "-S", str(TETHER), str(os.getpid())),
                *(sys.executable, "-m", self._module, "run"),
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stderr=stderr,
                start_new_session=True,  # a terminal's Ctrl-C goes only to the parent, which stops things in order
            )
        finally:
            if stderr:
                stderr.close()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def ready(self) -> None:
        """Wait until its log says that it is ready; raises `Transient` if it exits instead."""
        assert self._log is not None
        while f'"{logs.READY}"' not in self._log.read_text():
            if self._process is None or self._process.returncode is not None:
                raise Transient("worker_ended", f"The worker exited unexpectedly; see its log {self._log}.")
            await asyncio.sleep(LOOK_EVERY_SECONDS)

    async def wait(self) -> int:
        """Wait for the process to exit; returns the exit status."""
        assert self._process is not None
        return await self._process.wait()

    def signal(self, number: signal.Signals = signal.SIGTERM) -> None:
        """Send a signal to the process."""
        assert self._process is not None
        self._process.send_signal(number)

    async def stop(self) -> int:
        """Drain the worker, and kill it if it does not exit; returns the exit status."""
        assert self._process is not None
        if self._process.returncode is None:
            self.signal()
            try:
                async with asyncio.timeout(STOP_LIMIT_SECONDS):
                    await self._process.wait()
            except TimeoutError:
                self._process.kill()
        return await self._process.wait()


class ProjectOptions(TypedDict, total=False):
    """Options of the project, passed to `Stack` as they are."""

    database_port: int | None
    exposed_schemas: tuple[str, ...]
    seed: Sequence[Path]
    jwt_secret: str | None
    default_grants: bool


async def keep_running(
    data: Path,
    *,
    port: int,
    fresh: bool,
    with_worker: bool,
    faults: Sequence[str] = (),
    pace: RealtimePace = "real",
    rate_limit: bool = True,
    migrations: Path | None = None,
    **project: Unpack[ProjectOptions],
) -> None:
    """Start everything, print its addresses, and stop everything at Ctrl-C or SIGTERM.

    The folder `migrations` is applied after this product's own. The `faults` are active when the worker starts. Raises
    `Fatal` if something cannot start, and `Transient` if the worker exits unexpectedly.
    """
    if with_worker:
        await asyncio.to_thread(require_libraries)
    began = time.monotonic()
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with AsyncExitStack() as running:
        running.enter_context(_local_errors_translated())
        running.enter_context(start_errors_translated())
        wanted = read_faults(faults)
        limit = EVENTS_PER_SECOND if rate_limit else None
        stack = await running.enter_async_context(
            Stack(
                data,
                port=port,
                fresh=fresh,
                migrations=partial(_migrate, own=migrations),
                pace=pace,
                events_per_second=limit,
                **project,
            )
        )
        await stack.misbehave(wanted)
        _print_addresses(stack, time.monotonic() - began)
        for seed in stack.changed_seeds:
            console.print(f"{seed} has changed since it ran. It runs again with --fresh.", style="yellow", markup=False)
        if wanted != Faults():
            console.print("[yellow]The faults of --misbehave are active.[/yellow]")
        if with_worker:
            console.print(DEMO_NOTICE)
        ended: list[asyncio.Task[Any]] = [asyncio.create_task(stop.wait())]
        if with_worker:
            worker = await running.enter_async_context(WorkerProcess(worker_environment(stack)))
            ended.append(asyncio.create_task(worker.wait()))
        _, rest = await asyncio.wait(ended, return_when=asyncio.FIRST_COMPLETED)
        for task in rest:
            task.cancel()
        console.print("stopping …")
    if not stop.is_set():
        raise Transient("worker_ended", "The worker exited unexpectedly; its log says why.")


@contextmanager
def _local_errors_translated() -> Iterator[None]:
    try:
        yield
    except LocalSupabaseError as error:
        raise Fatal("local_supabase_failed", error.message) from error
    except migrate.MigrationError as error:
        if error.passing:
            raise Transient("database_unavailable", str(error)) from error
        raise Fatal("local_supabase_failed", f"{error}{advice(str(error))}") from error


def _migrate(db_url: str, *, own: Path | None) -> None:
    migrate.apply(db_url)
    dev_settings.shorten_waits(db_url)
    if own is not None:
        migrate.apply(db_url, migrations_dir=own)


def _print_addresses(stack: Stack, seconds: float) -> None:
    rows = {
        "API URL": stack.url,
        "DB URL": stack.dsn,
        "publishable key": stack.publishable_key,
        "secret key": stack.secret_key,
        "anon key": stack.anon_key,
        "service_role key": stack.service_key,
        "JWT secret": stack.jwt_secret,
    }
    console.print(
        f"[bold]Local Supabase is running[/bold] after {seconds:.1f} s. For development only; Ctrl-C stops it."
    )
    for name, value in rows.items():
        console.print(f"{name:>17}  {value}", markup=False)
