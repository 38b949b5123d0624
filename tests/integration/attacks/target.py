"""An attacker's targets: a server inside the network, and a neighbour's file."""

from __future__ import annotations

import ctypes
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_IN_ACCESS, _IN_OPEN = 0x1, 0x20
_EVENT_BYTES = 4096


class Target:
    """A loopback address that must stay unused. Connections wait in its queue, so that none is missed."""

    def __init__(self) -> None:
        self.stream = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.stream.setblocking(False)
        self.datagrams = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.datagrams.bind(self.stream.getsockname())
        self.datagrams.setblocking(False)
        self.port: int = self.stream.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"

    def requests(self) -> list[bytes]:
        """Return the first bytes of each connection once, and close it."""
        found = []
        while (caller := self._caller()) is not None:
            with caller:
                caller.settimeout(5)
                found.append(caller.recv(1024))
        while (datagram := self._datagram()) is not None:
            found.append(datagram)
        return found

    def close(self) -> None:
        """Release the port."""
        self.stream.close()
        self.datagrams.close()

    def _caller(self) -> socket.socket | None:
        try:
            return self.stream.accept()[0]
        except BlockingIOError:
            return None

    def _datagram(self) -> bytes | None:
        try:
            return self.datagrams.recv(1024)
        except BlockingIOError:
            return None


class Readings:
    """Counts how often a file was opened or read."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def seen(self) -> bool:
        """True if the file was opened or read since the last call."""
        try:
            return bool(os.read(self._descriptor, _EVENT_BYTES))
        except BlockingIOError:
            return False


@contextmanager
def readings_of(path: Path) -> Iterator[Readings]:
    """Watch the file by inotify."""
    libc = ctypes.CDLL(None, use_errno=True)
    descriptor = libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
    assert descriptor >= 0
    try:
        assert libc.inotify_add_watch(descriptor, os.fsencode(path), _IN_ACCESS | _IN_OPEN) > 0
        yield Readings(descriptor)
    finally:
        os.close(descriptor)
