"""The first zygote of a worker forked from the template. The worker forks it before it has a secret.

It runs `zygote_main.main` as `bare_process.start` would: with one socket and its parent's process id, in the root
folder, in a new session, without environment or other descriptors. Only its imports were made earlier. Every later
zygote of the worker is a real one.
"""

from __future__ import annotations

import contextlib
import os
import resource
import select
import signal
import socket
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NoReturn, cast

from sentinel_worker.confine import bare_process, sandbox
from sentinel_worker.media import zygote_main

BOOT: Final = bare_process.program(zygote_main.__name__)
_MAX_DESCRIPTORS: Final = 1 << 20


@dataclass
class Forked:
    """The parts of a `subprocess.Popen` that the worker uses, and the socket over which the zygote gets its own."""

    pid: int
    handover: socket.socket
    returncode: int | None = None

    def poll(self) -> int | None:
        """Its exit status, or None while it runs."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.wait(0)
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Reap it and return its exit status. Raises `subprocess.TimeoutExpired`."""
        if self.returncode is None:
            ended = os.pidfd_open(self.pid)
            try:
                if not select.select([ended], [], [], timeout)[0]:
                    raise subprocess.TimeoutExpired(BOOT, timeout or 0)
            finally:
                os.close(ended)
            self.returncode = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
        return self.returncode

    def kill(self) -> None:
        """Send SIGKILL, unless it has been reaped."""
        if self.returncode is None:
            os.kill(self.pid, signal.SIGKILL)


def forked() -> Forked:
    """Fork a zygote that waits for its socket. Call it in a process with one thread and no secrets."""
    worker = os.getpid()
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    pid = os.fork()
    if pid == 0:
        _serve(theirs, worker)
    theirs.close()
    return Forked(pid, ours)


def _serve(handover: socket.socket, worker: int) -> NoReturn:
    """Become what `bare_process.start` starts, and never return into the template."""
    try:
        sandbox.die_with_parent(worker)
        os.setsid()
        os.chdir("/")
        os.environ.clear()
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # the worker has set that before it starts a real one
        os.dup2(0, 1)
        close_others(handover)
        packet, descriptors, _, _ = socket.recv_fds(handover, 1, 1)
        handover.close()
        if packet:
            zygote_main.main(descriptors[0], worker)
    finally:
        os._exit(0)


def close_others(kept: socket.socket) -> None:
    """Close every descriptor but the standard ones and `kept`."""
    os.closerange(3, kept.fileno())
    os.closerange(kept.fileno() + 1, _MAX_DESCRIPTORS)


def hand_out(first: Forked) -> None:
    """Let `bare_process.start` return `first` when it is first asked for a zygote."""
    start: Callable[..., subprocess.Popen[bytes]] = bare_process.start

    def start_or_hand_out(
        text: str, connection: socket.socket, cwd: Path, *, stderr: int | None = None
    ) -> subprocess.Popen[bytes]:
        if text != BOOT:
            return start(text, connection, cwd, stderr=stderr)
        bare_process.start = start
        with first.handover:
            socket.send_fds(first.handover, [b"!"], [connection.fileno()])
        return cast("subprocess.Popen[bytes]", first)

    bare_process.start = start_or_hand_out
