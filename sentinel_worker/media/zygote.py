"""The worker's side of the decoding children: start the zygote, fork a child per request, always end it.

```python
zygote = Zygote()
await zygote.start()
async with zygote.open(path, directory, limits) as child:
    facts = await child.probe()
    async for clip in child.clips(windows, geometry):
        ...
await zygote.stop()
```

A child that dies is an error of its request alone. A zygote that dies is started again; the requests that
had children get `Transient('decoder_lost')`.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import socket
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Final

from sentinel_worker import isolated
from sentinel_worker.errors import Fatal, Transient
from sentinel_worker.finishing import to_the_end
from sentinel_worker.media.children import Child, ChildProcess, lost
from sentinel_worker.media.facts import MediaLimits
from sentinel_worker.media.protocol import fork_request
from sentinel_worker.media.walls import Layers, Mode

START_SECONDS: Final = 60.0
FORK_SECONDS: Final = 15.0
STOP_SECONDS: Final = 5.0

_ANYWHERE: Final = Path("/")
_PACKET_BYTES: Final = 64 * 1024
_RESTART_PAUSES: Final = (0.0, 0.5, 2.0, 8.0, 30.0)
_BOOT: Final = isolated.program("sentinel_worker.media.zygote_main")


class Zygote:
    """A running zygote, started again whenever it dies.

    `sandbox`: which layers its children need (`sandbox.apply`); `layers` are those of a child forked at the start.
    `restarts` counts deaths since `start`; `last_failure` is the newest reason, for the health page.
    """

    def __init__(self, *, sandbox: Mode = "auto") -> None:
        self._mode = sandbox
        self._numbers = itertools.count(1)
        self._children: dict[int, ChildProcess] = {}
        self._process: subprocess.Popen[bytes] | None = None
        self._control: socket.socket | None = None
        self._ready = asyncio.Event()
        self._keeper: asyncio.Task[None] | None = None
        self.layers = Layers((), {})
        self.restarts = 0
        self.last_failure: str | None = None

    @property
    def pid(self) -> int | None:
        """The process id of the running zygote."""
        return self._process.pid if self._process is not None else None

    @property
    def running(self) -> bool:
        """Whether it can fork now; it is started again by itself when it died."""
        return self._ready.is_set()

    async def start(self) -> None:
        """Start the zygote, fork a child and wait until it is confined.

        Raises `Fatal('decoder_unavailable')` if it cannot fork and `Fatal('sandbox_unavailable')` if too few layers
        hold.
        """
        assert self._keeper is None, "started twice"
        try:
            await self._launch()
        except _StartError as error:
            raise Fatal("decoder_unavailable", f"The decoder cannot be started: {error}") from None
        self._keeper = asyncio.create_task(self._keep(), name="zygote")
        try:
            async with self.open(_ANYWHERE / "nothing", _ANYWHERE, MediaLimits()) as child:
                self.layers = child.layers
        except Transient as error:
            await self.stop()
            raise Fatal("decoder_unavailable", f"The decoder cannot fork a child: {error.message}") from None
        except BaseException:
            await self.stop()
            raise

    async def stop(self) -> None:
        """End the zygote and every child; harmless when it was not started."""
        await to_the_end(self._stop())

    @contextlib.asynccontextmanager
    async def open(self, path: Path, directory: Path, limits: MediaLimits) -> AsyncIterator[Child]:
        """Fork a child for the media at `path`, an absolute path inside the private `directory`.

        The child is killed and reaped when the block ends, however it ends. Raises
        `Transient('decoder_lost')` when the zygote is away and `Fatal('sandbox_unavailable')` when the child
        cannot be confined.
        """
        if not path.is_absolute() or not path.is_relative_to(directory):
            raise ValueError("the media lies in the request's own directory")
        process = ChildProcess(next(self._numbers))
        try:
            child = await self._fork(process, path, directory, limits)
            yield child
        finally:
            await to_the_end(self._put_down(process))

    async def _fork(self, process: ChildProcess, path: Path, directory: Path, limits: MediaLimits) -> Child:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        ours.setblocking(False)
        process.connection = ours
        with theirs:
            try:
                async with asyncio.timeout(FORK_SECONDS):
                    await self._ready.wait()
                    self._children[process.number] = process
                    request = fork_request(process.number, path, directory, limits, self._mode)
                    self._say(request, theirs.fileno())
                    await process.forked
            except TimeoutError:
                raise Transient("decoder_lost", "The decoder did not start in time.") from None
        child = Child(process, directory, limits)
        await child.greet(FORK_SECONDS)
        return child

    async def _put_down(self, process: ChildProcess) -> None:
        if process.connection is not None:
            process.connection.close()
        if self._children.get(process.number) is not process:
            return
        if not process.exited.done():
            with contextlib.suppress(Transient):
                self._say(json.dumps({"kill": process.number}).encode())
            # A zygote that does not answer is ended by its keeper; its children die with it.
            await asyncio.wait([process.exited], timeout=STOP_SECONDS)
            if not process.exited.done() and self._process is not None:
                self._process.kill()
        self._children.pop(process.number, None)

    def _say(self, message: bytes, descriptor: int | None = None) -> None:
        """Send one packet. A full socket means a zygote that no longer reads: the same as a dead one."""
        if self._control is None:
            raise lost()
        try:
            socket.send_fds(self._control, [message], [] if descriptor is None else [descriptor])
        except OSError:
            raise lost() from None

    async def _launch(self) -> None:
        control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        control.setblocking(False)
        self._control = control
        with theirs:
            self._process = isolated.start(_BOOT, theirs, _ANYWHERE)
        try:
            async with asyncio.timeout(START_SECONDS):
                event = await self._hear()
        except TimeoutError:
            event = {"event": "failed", "detail": f"no answer within {START_SECONDS:g} s"}
        except BaseException:
            await to_the_end(self._end())
            raise
        if event is None or event["event"] != "ready":
            detail = "it ended at once" if event is None else str(event.get("detail", "")).strip()
            await self._end()
            raise _StartError(detail)
        self._ready.set()

    async def _hear(self) -> dict[str, Any] | None:
        """The zygote's next event; None when it is gone."""
        assert self._control is not None
        try:
            packet = await asyncio.get_running_loop().sock_recv(self._control, _PACKET_BYTES)
        except OSError:
            return None
        try:
            event = json.loads(packet)
        except (ValueError, RecursionError):
            return None  # whatever it is by now, it is no zygote
        return event if isinstance(event, dict) and "event" in event else None

    async def _keep(self) -> None:
        while True:
            while (event := await self._hear()) is not None:
                process = self._children.get(event["number"])
                if process is not None:
                    process.note(event)
            self.restarts += 1
            await to_the_end(self._end())
            await self._restart()

    async def _restart(self) -> None:
        for pause in itertools.chain(_RESTART_PAUSES, itertools.repeat(_RESTART_PAUSES[-1])):
            await asyncio.sleep(pause)
            try:
                await self._launch()
            except (_StartError, OSError) as error:
                self.last_failure = str(error)
            else:
                return

    async def _stop(self) -> None:
        keeper, self._keeper = self._keeper, None
        if keeper is not None:
            keeper.cancel()
            await asyncio.wait([keeper])
        await self._end()

    async def _end(self) -> None:
        """Close the control socket, which ends the zygote and its children, and reap the zygote."""
        self._ready.clear()
        control, self._control = self._control, None
        process, self._process = self._process, None
        if control is not None:
            control.close()
        if process is not None:
            try:
                await asyncio.to_thread(process.wait, STOP_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                await asyncio.to_thread(process.wait)
            self.last_failure = f"the zygote ended with status {process.returncode}"
        for child in self._children.values():
            child.lose()


class _StartError(Exception):
    """The zygote could not import what it needs, or ended before it said so."""
