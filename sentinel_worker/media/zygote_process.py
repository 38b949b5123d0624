"""The zygote's process as the worker sees it: start it, listen to it, end it."""

from __future__ import annotations

import asyncio
import json
import socket
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from sentinel_worker.concurrency.uninterrupted import to_the_end
from sentinel_worker.confine import bare_process

START_SECONDS: Final = 60.0
STOP_SECONDS: Final = 5.0

_PACKET_BYTES: Final = 64 * 1024
_BOOT: Final = bare_process.program("sentinel_worker.media.zygote_main")


class StartError(Exception):
    """The zygote could not import what it needs, or ended before it was ready."""


@dataclass(frozen=True, slots=True)
class RunningZygote:
    """A zygote's process, and the socket that controls it."""

    process: subprocess.Popen[bytes]
    control: socket.socket

    async def hear(self) -> dict[str, Any] | None:
        """Return its next event, or None if it is gone."""
        try:
            packet = await asyncio.get_running_loop().sock_recv(self.control, _PACKET_BYTES)
        except OSError:
            return None
        try:
            event = json.loads(packet)
        except (ValueError, RecursionError):
            return None  # it no longer behaves like a zygote
        return event if isinstance(event, dict) and "event" in event else None

    async def end(self) -> int:
        """Close the control socket, which ends the zygote and its children, and reap the zygote; returns its exit
        status."""
        self.control.close()
        try:
            return await asyncio.to_thread(self.process.wait, STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            return await asyncio.to_thread(self.process.wait)


async def launch() -> RunningZygote:
    """Start a zygote and wait until it can fork; raises `StartError`."""
    control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    control.setblocking(False)
    with theirs:
        running = RunningZygote(bare_process.start(_BOOT, theirs, Path("/")), control)
    try:
        async with asyncio.timeout(START_SECONDS):
            event = await running.hear()
    except TimeoutError:
        event = {"event": "failed", "detail": f"no answer within {START_SECONDS:g} s"}
    except BaseException:
        await to_the_end(running.end())
        raise
    if event is None or event["event"] != "ready":
        detail = "it ended at once" if event is None else str(event.get("detail", "")).strip()
        await running.end()
        raise StartError(detail)
    return running
