"""The worker's side of the process that fetches one post: started by exec, always ended."""

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
from sentinel_worker.sources.social.instructions import PACKET_BYTES, Order
from sentinel_worker.sources.social.sentences import refusal, refused

BOOT: Final = bare_process.program("sentinel_worker.sources.social.child_main")
START_SECONDS: Final = 60.0
MAX_NEWS_A_SECOND: Final = 20
"""A process that was taken over must not keep the worker's event loop busy."""


class SocialProcess:
    """A running process and the socket to it."""

    def __init__(self, process: subprocess.Popen[bytes], connection: socket.socket) -> None:
        self.pid = process.pid
        self._connection = connection

    async def listener(self) -> socket.socket:
        """The socket that the process listens on, for the worker's proxy to accept on.

        Raises what the process failed with: `Permanent('social_not_confined')` where its walls do not hold.
        """
        await _readable(self._connection)
        packet, descriptors, _, _ = socket.recv_fds(self._connection, PACKET_BYTES, 1)
        if not descriptors:
            raise refused(_parse(packet))
        listener = socket.socket(fileno=descriptors[0])
        listener.setblocking(False)
        return listener

    async def news(self) -> AsyncIterator[dict[str, Any]]:
        """What the process says, until it ends."""
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
async def started(order: Order, folder: Path, *, boot: str = BOOT) -> AsyncIterator[SocialProcess]:
    """Start the process in `folder`; it and all that it started are dead and reaped when the block ends."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    ours.setblocking(False)
    with ours:
        with theirs:
            process = bare_process.start(boot, theirs, folder, stderr=subprocess.DEVNULL)
        try:
            ours.send(order.packed())
            yield SocialProcess(process, ours)
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            await to_the_end(asyncio.to_thread(process.wait))


async def _readable(connection: socket.socket) -> None:
    """Wait until there is something to read: asyncio's own sock_recv would drop the descriptor that comes along."""
    loop, ready = asyncio.get_running_loop(), asyncio.Event()
    loop.add_reader(connection, ready.set)
    try:
        async with asyncio.timeout(START_SECONDS):
            await ready.wait()
    except TimeoutError:
        raise refusal("social_failed") from None
    finally:
        loop.remove_reader(connection)


def _parse(packet: bytes) -> dict[str, Any]:
    """A packet of a process that may lie: what is not an object is empty."""
    try:
        message = json.loads(packet)
    except (ValueError, RecursionError):
        return {}
    return message if isinstance(message, dict) else {}
