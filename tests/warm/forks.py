"""Forks of a process that has made its imports: a start costs milliseconds instead of seconds.

`Template` is this process's end. At the other one `python -m MODULE` makes its imports and calls `serve`. An order goes
over the socket that is its standard input, with the fork's three standard streams. The answers are pairs: the process
id and null at the start of a fork, the process id and the exit status at its end.
"""

from __future__ import annotations

import asyncio
import ctypes
import json
import os
import selectors
import signal
import socket
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Mapping
from concurrent.futures import Future
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, TypeVar

Order = dict[str, Any]
T = TypeVar("T")
_PACKET_BYTES: Final = 256 * 1024
_ROOT: Final = Path(__file__).parents[2]
_PR_SET_PDEATHSIG: Final = 1


class Forked:
    """A fork, with the parts of an `asyncio.subprocess.Process` that tests use."""

    def __init__(self, pid: int, ended: Future[int]) -> None:
        self.pid = pid
        self.ended = ended

    @property
    def returncode(self) -> int | None:
        """Its exit status, or None while it runs."""
        return self.ended.result() if self.ended.done() else None

    async def wait(self) -> int:
        """Wait for its end; return the exit status."""
        return await _result(self.ended)

    def send_signal(self, number: int) -> None:
        """Send a signal, unless it has ended."""
        if not self.ended.done():
            with suppress(ProcessLookupError):  # it was reaped, and the status is on its way
                os.kill(self.pid, number)

    def kill(self) -> None:
        """Send SIGKILL, unless it has ended."""
        self.send_signal(signal.SIGKILL)


class Template:
    """A process that forks at each order. It ends at `stop` or with this process; its forks then get SIGTERM."""

    def __init__(self, module: str, environment: Mapping[str, str] | None = None) -> None:
        self._control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-m", module],
                stdin=theirs.fileno(),
                env=environment,
                cwd=_ROOT,
                start_new_session=True,
            )
        self._starting: deque[Future[Forked]] = deque()
        self._ordering = threading.Lock()
        self._listener = threading.Thread(target=self._listen, name=module, daemon=True)
        self._listener.start()

    async def fork(self, streams: list[int], environment: Mapping[str, str], **more: str) -> Forked:
        """Start a fork with these standard streams, in this process's folder. `more` are for the module."""
        order = {"environment": dict(environment), "folder": str(Path.cwd())} | more
        started: Future[Forked] = Future()
        with self._ordering:
            self._starting.append(started)
            socket.send_fds(self._control, [json.dumps(order).encode()], streams)
        return await _result(started)

    def stop(self) -> None:
        """End it and its forks."""
        self._control.shutdown(socket.SHUT_WR)
        self._process.wait()
        self._listener.join()
        self._control.close()

    def _listen(self) -> None:
        running: dict[int, Future[int]] = {}
        while packet := self._control.recv(_PACKET_BYTES):
            pid, status = json.loads(packet)
            if status is None:
                running[pid] = Future()
                self._starting.popleft().set_result(Forked(pid, running[pid]))
            else:
                running.pop(pid).set_result(status)
        lost: list[Future[Any]] = [*self._starting, *running.values()]
        for future in lost:
            future.set_exception(ChildProcessError("the process that forks has ended"))


async def _result(future: Future[T]) -> T:
    return await asyncio.shield(asyncio.wrap_future(future))


def serve() -> Order | None:
    """Fork at each order; call it in a process with one thread. Returns the order in each fork, None at the end."""
    control = socket.socket(fileno=os.dup(0))
    with selectors.DefaultSelector() as selector:
        selector.register(control, selectors.EVENT_READ)
        while True:
            for key, _ in selector.select():
                if key.fileobj is not control:
                    selector.unregister(key.fileobj)
                    os.close(key.fd)
                    _tell(control, key.data, os.waitstatus_to_exitcode(os.waitpid(key.data, 0)[1]))
                    continue
                packet, streams, *_ = socket.recv_fds(control, _PACKET_BYTES, 3)
                if not packet:
                    return None
                parent = os.getpid()
                if not (pid := os.fork()):
                    control.detach()
                    _settle(parent, streams, [other.fd for other in selector.get_map().values()])
                    order: Order = json.loads(packet)
                    return order
                _tell(control, pid, None)
                selector.register(os.pidfd_open(pid), selectors.EVENT_READ, pid)
                for stream in streams:
                    os.close(stream)


def _tell(control: socket.socket, pid: int, status: int | None) -> None:
    control.sendall(json.dumps([pid, status]).encode())


def _settle(parent: int, streams: list[int], others: list[int]) -> None:
    """Die with the parent, lead a session, take the streams, and close what belongs to the parent."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
    if os.getppid() != parent:  # it died before the signal was armed
        os._exit(1)
    os.setsid()
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
    for descriptor in (*streams, *others):
        os.close(descriptor)


def enter(order: Order) -> None:
    """Take the folder and the environment that the order names."""
    os.chdir(order["folder"])
    os.environ.clear()
    os.environ.update(order["environment"])
