"""The worker's handle of the process that fetches one post: started by exec, always killed and reaped."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any, Final

from sentinel_worker.concurrency.uninterrupted import to_the_end
from sentinel_worker.confine import bare_process
from sentinel_worker.domain.compute import Compute
from sentinel_worker.observe import cpu_clocks
from sentinel_worker.sources.social.instructions import PACKET_BYTES, Order
from sentinel_worker.sources.social.sentences import refused, social_error

BOOT: Final = bare_process.program("sentinel_worker.sources.social.child_main")
START_SECONDS: Final = 60.0
MAX_NEWS_A_SECOND: Final = 20
"""Limit of packets: a compromised process must not keep the worker's event loop busy."""


class SocialProcess:
    """A running process and the socket connected to it."""

    def __init__(self, process: subprocess.Popen[bytes], connection: socket.socket) -> None:
        self.pid = process.pid
        self._process = process
        self._connection = connection
        self._cpu_seconds = 0.0

    @property
    def cpu_seconds(self) -> float:
        """CPU seconds so far."""
        if self._process.returncode is None:
            self._cpu_seconds = cpu_clocks.of_process(self.pid) or self._cpu_seconds
        return self._cpu_seconds

    def reap(self) -> None:
        """Wait until the process has ended."""
        _, status, usage = os.wait4(self.pid, 0)
        self._cpu_seconds = usage.ru_utime + usage.ru_stime
        self._process.returncode = os.waitstatus_to_exitcode(status)

    async def listener(self) -> socket.socket:
        """Receive the process's listening socket, for the worker's proxy to accept on.

        Raises the process's error, such as `Permanent('social_not_confined')` if it could not be sandboxed.
        """
        await _readable(self._connection)
        packet, descriptors, _, _ = socket.recv_fds(self._connection, PACKET_BYTES, 1)
        if not descriptors:
            raise refused(_parse(packet))
        listener = socket.socket(fileno=descriptors[0])
        listener.setblocking(False)
        return listener

    async def news(self) -> AsyncIterator[dict[str, Any]]:
        """Yield the process's packets until it ends."""
        loop = asyncio.get_running_loop()
        while True:
            try:
                packet = await loop.sock_recv(self._connection, PACKET_BYTES)
            except OSError:
                return
            if not packet:
                return
            yield _parse(packet)
            await asyncio.sleep(1 / MAX_NEWS_A_SECOND)


@asynccontextmanager
async def started(
    order: Order, folder: Path, *, boot: str = BOOT, compute: Compute | None = None
) -> AsyncIterator[SocialProcess]:
    """Start the process in `folder`; it and its children are killed, and it is reaped, when the block ends."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    ours.setblocking(False)
    with ours:
        with theirs:
            process = SocialProcess(bare_process.start(boot, theirs, folder, stderr=subprocess.DEVNULL), ours)
        if compute is not None:
            compute.watch(lambda: process.cpu_seconds)
        try:
            ours.send(order.packed())
            yield process
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            await to_the_end(asyncio.to_thread(process.reap))


async def _readable(connection: socket.socket) -> None:
    """Wait until the socket is readable: asyncio's sock_recv would drop the descriptor that comes with the packet."""
    loop, ready = asyncio.get_running_loop(), asyncio.Event()
    loop.add_reader(connection, ready.set)
    try:
        async with asyncio.timeout(START_SECONDS):
            await ready.wait()
    except TimeoutError:
        raise social_error("social_failed") from None
    finally:
        loop.remove_reader(connection)


def _parse(packet: bytes) -> dict[str, Any]:
    """Parse a packet of an untrusted process; anything but a JSON object becomes an empty one."""
    try:
        message = json.loads(packet)
    except (ValueError, RecursionError):
        return {}
    return message if isinstance(message, dict) else {}
