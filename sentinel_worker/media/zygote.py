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

A child that dies fails only its own request. A zygote that dies is started again; the requests that had children get
`Transient('decoder_lost')`. Children share the memory addresses of their zygote, so one child could learn from another
where code lies: after many forks a new zygote takes over, at a moment when the old one has no child.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import socket
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final

import structlog

from sentinel_worker.concurrency.uninterrupted import to_the_end
from sentinel_worker.confine.layers import Layers, Mode
from sentinel_worker.domain.compute import Compute
from sentinel_worker.domain.errors import Fatal, Transient
from sentinel_worker.domain.machine_errors import is_of_machine, machine_error
from sentinel_worker.domain.media_facts import MediaLimits
from sentinel_worker.media.child_client import Child, ChildProcess, lost
from sentinel_worker.media.libraries import require_libraries
from sentinel_worker.media.protocol import Profile, fork_request
from sentinel_worker.media.zygote_process import STOP_SECONDS, RunningZygote, StartError, launch
from sentinel_worker.observe import logs

FORK_SECONDS: Final = 15.0
RENEW_AFTER: Final = 1000

_ANYWHERE: Final = Path("/")
_RESTART_PAUSES: Final = (0.0, 0.5, 2.0, 8.0, 30.0)

log = structlog.get_logger()


class Zygote:
    """A running zygote, started again whenever it dies.

    `sandbox` says which layers its children need (`sandbox.apply`); `layers` are those of a child forked at the start.
    `restarts` counts deaths since `start`; `last_failure` is the newest reason, which is also logged. After
    `renew_after` forks another zygote is started beside it and takes over as soon as no child runs.
    """

    def __init__(self, *, sandbox: Mode = "auto", renew_after: int = RENEW_AFTER) -> None:
        self._mode = sandbox
        self._renew_after = renew_after
        self._forks = 0
        self._numbers = itertools.count(1)
        self._children: dict[int, ChildProcess] = {}
        self._running: RunningZygote | None = None
        self._next: RunningZygote | None = None
        self._former: RunningZygote | None = None
        self._renewal: asyncio.Task[None] | None = None
        self._ready = asyncio.Event()
        self._keeper: asyncio.Task[None] | None = None
        self.layers = Layers((), {})
        self.restarts = 0
        self.last_failure: str | None = None

    @property
    def pid(self) -> int | None:
        """Process id of the running zygote."""
        return self._running.process.pid if self._running is not None else None

    @property
    def running(self) -> bool:
        """True if it can fork now. After its death it is started again automatically, unless its keeper has ended."""
        return self._ready.is_set() and not (self._keeper is not None and self._keeper.done())

    async def start(self) -> None:
        """Start the zygote, fork a child and wait until it is confined.

        Raises `Fatal('library_missing')` if the decoder lacks a shared library, `Fatal('decoder_unavailable')` if it
        cannot fork for another reason, `Transient('decoder_unavailable')` if it was killed or too slow, the machine's
        error if that refused it something, and `Fatal('sandbox_unavailable')` if too few layers hold.
        """
        assert self._keeper is None, "started twice"
        try:
            self._begin(await launch())
        except StartError as error:
            if (fault := machine_error(error)) is not None:
                raise fault from None
            said = f"The decoder cannot be started: {error}."
            if error.passing:
                raise Transient("decoder_unavailable", said) from None
            await asyncio.to_thread(require_libraries)
            raise Fatal("decoder_unavailable", said) from None
        self._keeper = asyncio.create_task(self._keep(), name="zygote")
        try:
            async with self.open(_ANYWHERE / "nothing", _ANYWHERE, MediaLimits()) as child:
                self.layers = child.layers
        except Transient as error:
            await self.stop()
            if is_of_machine(error):
                raise
            raise Transient("decoder_unavailable", f"The decoder cannot fork a child: {error.message}") from None
        except BaseException:
            await self.stop()
            raise

    async def stop(self) -> None:
        """End the zygote and every child; harmless if it was not started."""
        await to_the_end(self._stop())

    @contextlib.asynccontextmanager
    async def open(
        self,
        path: Path,
        directory: Path,
        limits: MediaLimits,
        compute: Compute | None = None,
        *,
        profile: Profile = "decoder",
    ) -> AsyncIterator[Child]:
        """Fork a child of `profile` for the media at `path`, an absolute path inside the private `directory`.

        The child is killed and reaped when the block ends, however it ends; `compute` counts its CPU seconds. Raises
        `Transient('decoder_lost')` if the zygote is not running and `Fatal('sandbox_unavailable')` if the child cannot
        be confined.
        """
        if not path.is_absolute() or not path.is_relative_to(directory):
            raise ValueError("the media must lie in the request's own directory")
        process = ChildProcess(next(self._numbers))
        if compute is not None:
            compute.watch(lambda: process.cpu_seconds)
        try:
            child = await self._fork(process, path, directory, limits, profile)
            yield child
        finally:
            await to_the_end(self._put_down(process))

    async def _fork(
        self, process: ChildProcess, path: Path, directory: Path, limits: MediaLimits, profile: Profile
    ) -> Child:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        ours.setblocking(False)
        process.connection = ours
        with theirs:
            try:
                async with asyncio.timeout(FORK_SECONDS):
                    await self._ready.wait()
                    self._children[process.number] = process
                    request = fork_request(process.number, path, directory, limits, self._mode, profile)
                    self._say(request, theirs.fileno())
                    self._forks += 1
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
            if not process.exited.done() and self._running is not None:
                self._running.process.kill()
        self._children.pop(process.number, None)
        self._renew_when_idle()

    def _say(self, message: bytes, descriptor: int | None = None) -> None:
        """Send one packet. A full socket means that the zygote no longer reads, which is as good as dead."""
        if self._running is None:
            raise lost()
        try:
            socket.send_fds(self._running.control, [message], [] if descriptor is None else [descriptor])
        except OSError:
            raise lost() from None

    def _begin(self, running: RunningZygote) -> None:
        self._running, self._forks = running, 0
        self._ready.set()

    async def _keep(self) -> None:
        while True:
            running = self._running
            assert running is not None
            event = await running.hear()
            if event is not None:
                process = self._children.get(event.get("number", 0))
                if process is not None:
                    process.note(event)
            elif running is not self._running:  # another one has taken over
                await to_the_end(running.end())
                self._former = None
            else:
                self.restarts += 1
                await to_the_end(self._end())
                log.warning(logs.DECODER_LOST, error=self.last_failure, restarts=self.restarts)
                await self._restart()

    async def _restart(self) -> None:
        for pause in itertools.chain(_RESTART_PAUSES, itertools.repeat(_RESTART_PAUSES[-1])):
            await asyncio.sleep(pause)
            try:
                following, self._next = self._next, None
                self._begin(following or await launch())
            except (StartError, OSError) as error:
                self._note_failed_start(error)
            else:
                return

    def _renew_when_idle(self) -> None:
        if self._children or self._forks < self._renew_after or not self._ready.is_set():
            return
        if self._next is not None and self._next.process.poll() is not None:  # it died while it waited
            self._next.control.close()
            self._next = None
        if self._next is None:
            self._renewal = self._renewal or asyncio.create_task(self._prepare(), name="next zygote")
            return
        assert self._running is not None
        self._former, following, self._next = self._running, self._next, None
        self._begin(following)
        with contextlib.suppress(OSError):
            self._former.control.shutdown(socket.SHUT_RDWR)  # the keeper notices, and reaps it

    async def _prepare(self) -> None:
        """Start the zygote that takes over. If that fails, the old one continues, and the next try comes after as
        many forks."""
        try:
            self._next = await launch()
        except (StartError, OSError) as error:
            self._note_failed_start(error)
            self._forks = 0
        finally:
            self._renewal = None
        self._renew_when_idle()

    def _note_failed_start(self, error: StartError | OSError) -> None:
        self.last_failure = str(error)
        log.error(logs.DECODER_NOT_STARTED, error=self.last_failure)

    async def _stop(self) -> None:
        ending = [task for task in (self._keeper, self._renewal) if task is not None]
        self._keeper = self._renewal = None
        for task in ending:
            task.cancel()
        if ending:
            await asyncio.wait(ending)
        for beside in (self._former, self._next):
            if beside is not None:
                await beside.end()
        self._former = self._next = None
        await self._end()

    async def _end(self) -> None:
        """End the zygote and its children."""
        self._ready.clear()
        running, self._running = self._running, None
        if running is not None:
            self.last_failure = f"the zygote ended with status {await running.end()}"
        for child in self._children.values():
            child.lose()
