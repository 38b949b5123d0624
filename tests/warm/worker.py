"""Workers that are forked from a template: `WorkerProcess` without the seconds that its imports take."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self, cast

from sentinel_worker.commands.dev import TETHER, WorkerProcess
from tests.warm.template import ENVIRONMENT, PACKET_BYTES

ROOT = Path(__file__).parents[2]


@dataclass
class Forked:
    """What `WorkerProcess` needs of an `asyncio.subprocess.Process`."""

    pid: int
    ended: asyncio.Future[int] = field(default_factory=lambda: asyncio.get_running_loop().create_future())

    @property
    def returncode(self) -> int | None:
        """Its exit status, or None while it runs."""
        return self.ended.result() if self.ended.done() else None

    async def wait(self) -> int:
        """Wait for its end; returns the exit status."""
        return await asyncio.shield(self.ended)

    def send_signal(self, number: int) -> None:
        """Send a signal, unless it has ended."""
        if not self.ended.done():
            with contextlib.suppress(ProcessLookupError):  # it has been reaped, and that is about to be told
                os.kill(self.pid, number)

    def kill(self) -> None:
        """End it."""
        self.send_signal(signal.SIGKILL)


class Template:
    """A running template, and the workers that were forked from it."""

    def __init__(self, control: socket.socket) -> None:
        self._control = control
        self._started: asyncio.Queue[Forked] = asyncio.Queue()
        self._running: dict[int, Forked] = {}
        self._starting = asyncio.Lock()

    async def start(self, order: dict[str, Any], stderr: int) -> Forked:
        """Fork a worker, whose standard output is that of this process."""
        async with self._starting:
            socket.send_fds(self._control, [json.dumps(order).encode()], [1, stderr])
            return await self._started.get()

    async def listen(self) -> None:
        """Hear of starts and ends until the template is gone; then every worker of it is."""
        loop = asyncio.get_running_loop()
        while packet := await loop.sock_recv(self._control, PACKET_BYTES):
            event = json.loads(packet)
            match event["event"]:
                case "started":
                    self._running[event["pid"]] = forked = Forked(event["pid"])
                    self._started.put_nowait(forked)
                case "ended":
                    self._running.pop(event["pid"]).ended.set_result(event["status"])


@asynccontextmanager
async def running_template() -> AsyncIterator[Template]:
    """Start a template and wait until it can fork. It ends with this process, and its workers with it."""
    control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    control.setblocking(False)
    with theirs:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-I", "-S", str(TETHER), str(os.getpid())),
            *(sys.executable, "-m", "tests.warm.template", str(theirs.fileno())),
            env=ENVIRONMENT,
            cwd=ROOT,
            pass_fds=[theirs.fileno()],
            start_new_session=True,
        )
    with control:
        ready = await asyncio.get_running_loop().sock_recv(control, PACKET_BYTES)
        assert ready, "the template of workers did not start"
        template = Template(control)
        listening = asyncio.create_task(template.listen(), name="template")
        try:
            yield template
        finally:
            listening.cancel()
            await asyncio.gather(listening, return_exceptions=True)
    await process.wait()


class WarmWorker(WorkerProcess):
    """A `WorkerProcess` that is forked from `template`; its process id, signals and exit status are a real one's.

    Its environment is not to be seen in `/proc`, where the template's stays, which is empty.
    """

    def __init__(
        self, template: Template, environment: Mapping[str, str], *, log: Path, module: str = "sentinel_worker"
    ) -> None:
        super().__init__(environment, log=log, module=module)
        self._template = template

    async def __aenter__(self) -> Self:
        assert self._log is not None
        order = {"environment": self._environment, "folder": str(Path.cwd()), "module": self._module}
        with self._log.open("wb") as stderr:
            forked = await self._template.start(order, stderr.fileno())
        self._process = cast(asyncio.subprocess.Process, forked)
        return self
