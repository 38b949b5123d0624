"""The zygote's process as the worker sees it: start it, listen to it, end it."""

from __future__ import annotations

import asyncio
import json
import signal
import socket
import subprocess
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from sentinel_worker.concurrency.uninterrupted import to_the_end
from sentinel_worker.confine import bare_process
from sentinel_worker.domain.errors import Transient
from sentinel_worker.domain.machine_errors import machine_error

START_SECONDS: Final = 60.0
STOP_SECONDS: Final = 5.0

_OF_MACHINE: Final = frozenset({signal.SIGKILL, signal.SIGTERM, signal.SIGABRT, signal.SIGBUS})
"""Signals that end a process for lack of memory, or that somebody sent; any other is a fault of what it runs."""
_PACKET_BYTES: Final = 64 * 1024
_BOOT: Final = bare_process.program("sentinel_worker.media.zygote_main")


class StartError(Exception):
    """The zygote could not import what it needs, or ended before it was ready.

    `passing` is true if the next try may succeed: it was killed or too slow, or the machine had nothing to give.
    """

    def __init__(self, detail: str, *, passing: bool = False) -> None:
        super().__init__(detail)
        self.passing = passing


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
            return await self._reaped(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            return await self._reaped(None)

    async def _reaped(self, limit_seconds: float | None) -> int:
        try:
            return await asyncio.to_thread(self.process.wait, limit_seconds)
        except RuntimeError as error:
            if machine_error(error) is None:
                raise
            return self.process.wait(limit_seconds)  # no thread can be started, and it ends in milliseconds


async def launch() -> RunningZygote:
    """Start a zygote and wait until it can fork; raises `StartError`."""
    running = _started()
    try:
        async with asyncio.timeout(START_SECONDS):
            event = await running.hear()
    except TimeoutError:
        event = {"event": "failed", "detail": f"no answer within {START_SECONDS:g} s", "passing": True}
    except BaseException:
        await to_the_end(running.end())
        raise
    if event is not None and event["event"] == "ready":
        return running
    status = await running.end()
    if event is not None:
        raise StartError(str(event.get("detail", "")).strip(), passing=event.get("passing") is True)
    if status < 0:
        raise StartError(f"it was killed by signal {-status}", passing=-status in _OF_MACHINE)
    raise StartError("it ended at once")


def _started() -> RunningZygote:
    try:
        return _connected()
    except OSError as error:
        raise StartError(f"{error.strerror}", passing=machine_error(error) is not None) from error
    except Transient as fault:
        raise StartError(fault.message, passing=True) from fault


def _connected() -> RunningZygote:
    control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    control.setblocking(False)
    with theirs, ExitStack() as on_failure:
        on_failure.callback(control.close)
        process = bare_process.start(_BOOT, theirs, Path("/"))
        on_failure.pop_all()
        return RunningZygote(process, control)
