"""Workers of the soak test, and the random faults that they suffer."""

import asyncio
import os
import random
import signal
import time
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

from sentinel_local_supabase.faults import Faults, HttpFault
from sentinel_local_supabase.stack import Stack
from sentinel_worker.commands.dev import WorkerProcess, worker_environment
from sentinel_worker.detectors.registry import DEMO_DETECTOR
from tests.integration.daemon.proxy import FaultProxy

LEASE_SECONDS, HEARTBEAT_SECONDS = 5, 1
QUICK = {
    "SENTINEL_DETECTOR": DEMO_DETECTOR,
    "SENTINEL_LEASE_SECONDS": str(LEASE_SECONDS),
    "SENTINEL_HEARTBEAT_SECONDS": str(HEARTBEAT_SECONDS),
    "SENTINEL_SWEEP_SECONDS": "2",
    "SENTINEL_SWEEP_DEGRADED_SECONDS": "1",
    "SENTINEL_HTTP_TIMEOUT_SECONDS": "3",
    "SENTINEL_LOG_LEVEL": "warning",
    "INSTANT_SECONDS": "0.1",
}
ANY_FAULT = ("kill", "kill", "kill", "freeze", "cut", "silence", "lose", "blank", "crash", "crash")
LOST = HttpFault(service="rest", times=2, lose_answer=True)
CRASHED = HttpFault(service="rest", times=2, status=400, body="blank")
SPOILED_CALLS = ("sentinel_claim", "sentinel_finish")
KILLS = ("kill",)


@dataclass
class Victim:
    """One worker, its proxy to the gateway, and its process, which changes with each kill."""

    number: int
    environment: dict[str, str]
    proxy: FaultProxy
    log: Path
    module: str
    process: WorkerProcess = field(init=False)

    async def start(self) -> None:
        """Start a process with a new log."""
        log = self.log.with_suffix(f".{time.monotonic():.2f}.log")
        self.process = WorkerProcess(self.environment, log=log, module=self.module)
        await self.process.__aenter__()

    async def stop(self) -> None:
        """Drain the current process."""
        await self.process.stop()

    async def kill(self) -> None:
        """Send SIGKILL, and start a new process."""
        os.kill(self.process.pid, signal.SIGKILL)
        await self.process.wait()
        await self.start()

    async def freeze(self) -> None:
        """Suspend the process for longer than its leases last."""
        pid = self.process.pid
        os.kill(pid, signal.SIGSTOP)
        await asyncio.sleep(LEASE_SECONDS + 2)
        os.kill(pid, signal.SIGCONT)

    async def cut(self) -> None:
        """Reset every connection."""
        self.proxy.reset()

    async def silence(self) -> None:
        """Make the connections half open for a moment; they stay so until they time out."""
        self.proxy.silent = True
        await asyncio.sleep(1)
        self.proxy.silent = False


@asynccontextmanager
async def victims(stack: Stack, count: int, folder: Path, module: str) -> AsyncIterator[list[Victim]]:
    async with AsyncExitStack() as running:
        all_of_them = []
        for number in range(count):
            proxy = await running.enter_async_context(FaultProxy(stack.port).running())
            names = {"SUPABASE_URL": proxy.url, "SENTINEL_WORKER_NAME": f"soak-{number}"}
            environment = worker_environment(stack, {**QUICK, **names})
            victim = Victim(number, environment, proxy, folder / f"worker-{number}.log", module)
            await victim.start()
            running.push_async_callback(victim.stop)
            all_of_them.append(victim)
        yield all_of_them


async def torment(
    stack: Stack,
    workers: list[Victim],
    faults: Sequence[str],
    every: float,
    done: Counter[str],
    enough: asyncio.Event,
) -> None:
    """Cause one of `faults` every `every` seconds until `enough` is set; longer ones overlap with the next."""
    async with asyncio.TaskGroup() as group:
        busy: set[int] = set()

        async def one(victim: Victim, fault: str) -> None:
            busy.add(victim.number)
            done[fault] += 1
            try:
                await getattr(victim, fault)()
            finally:
                busy.discard(victim.number)

        while not enough.is_set():
            with suppress(TimeoutError):
                await asyncio.wait_for(enough.wait(), every)
                break
            fault = random.choice(faults)
            free = [victim for victim in workers if victim.number not in busy]
            if fault in {"lose", "blank"}:
                done[fault] += 1
                spoil = LOST if fault == "lose" else CRASHED
                spoiled = [replace(spoil, path=path) for path in SPOILED_CALLS]
                await stack.misbehave(Faults(http=tuple(spoiled)))
            elif fault == "crash":
                done[fault] += await stack.crash_postgres()
            elif free:
                group.create_task(one(random.choice(free), fault))
