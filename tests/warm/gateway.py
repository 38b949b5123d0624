"""Gateways of the local Supabase that are forked from a process which has imported everything: milliseconds each.

`Template` is this process's end. The other one, `python -m tests.warm.gateway`, gets on the socket that is its standard
input a request for each gateway, with the files that become its standard streams, and answers with its process id.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import threading
from contextlib import suppress
from pathlib import Path
from typing import Final

_LONGEST_REQUEST_BYTES: Final = 1024 * 1024
_STREAMS: Final = 3
_ROOT: Final = Path(__file__).parents[2]


class Template:
    """A process that forks gateways, until `stop` or until this process dies."""

    def __init__(self) -> None:
        self._socket, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._asking = threading.Lock()
        with theirs:
            self._process = subprocess.Popen([sys.executable, "-m", __name__], stdin=theirs.fileno(), cwd=_ROOT)

    def stop(self) -> None:
        """End it; gateways go on."""
        self._socket.close()
        self._process.wait()

    async def fork(self) -> Gateway:
        """Start a gateway with the environment of now; its standard error is this process's."""
        stdin, our_stdin = os.pipe()
        our_stdout, stdout = os.pipe()
        try:
            process = await asyncio.to_thread(self._ask, stdin, stdout)
        finally:
            os.close(stdin)
            os.close(stdout)
        loop = asyncio.get_running_loop()
        reader = asyncio.StreamReader()
        reading, _ = await loop.connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(our_stdout, "rb")
        )
        writing, protocol = await loop.connect_write_pipe(
            lambda: asyncio.StreamReaderProtocol(asyncio.StreamReader()), os.fdopen(our_stdin, "wb")
        )
        return Gateway(process, asyncio.StreamWriter(writing, protocol, None, loop), reader, reading)

    def _ask(self, stdin: int, stdout: int) -> int:
        request = json.dumps({**os.environ, "PYTHONUNBUFFERED": "1"}).encode()
        with self._asking:
            socket.send_fds(self._socket, [request], [stdin, stdout, 2])
            return int(self._socket.recv(64))


class Gateway:
    """A forked gateway, with what is used of an asyncio.subprocess.Process."""

    def __init__(
        self,
        process: int,
        stdin: asyncio.StreamWriter,
        stdout: asyncio.StreamReader,
        reading: asyncio.BaseTransport,
    ) -> None:
        self.pid = process
        self.stdin = stdin
        self.stdout = stdout
        self._reading = reading
        self._ended = asyncio.Event()
        try:
            self._end = os.pidfd_open(process)
        except ProcessLookupError:  # already
            self._ended.set()
        else:
            asyncio.get_running_loop().add_reader(self._end, self._note_end)

    @property
    def returncode(self) -> int | None:
        """0 when it has ended, however."""
        return 0 if self._ended.is_set() else None

    def kill(self) -> None:
        """Send SIGKILL; only while it runs."""
        signal.pidfd_send_signal(self._end, signal.SIGKILL)

    async def wait(self) -> int:
        """Wait for its end."""
        await self._ended.wait()
        return 0

    def _note_end(self) -> None:
        asyncio.get_running_loop().remove_reader(self._end)
        os.close(self._end)
        self._reading.close()
        self._ended.set()


def main() -> None:
    """Fork a gateway for each request."""
    from sentinel_local_supabase.gateway import app

    requests = socket.socket(fileno=os.dup(0))
    signal.signal(signal.SIGCHLD, _reap)
    while True:
        request, streams, *_ = socket.recv_fds(requests, _LONGEST_REQUEST_BYTES, _STREAMS)
        if not request:
            return
        if child := os.fork():
            requests.send(str(child).encode())
            for stream in streams:
                os.close(stream)
            continue
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        requests.close()
        os.setsid()
        for number, stream in enumerate(streams):
            os.dup2(stream, number)
            os.close(stream)
        os.environ.clear()
        os.environ.update(json.loads(request))
        app.main()
        return


def _reap(*_: object) -> None:
    with suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            continue


if __name__ == "__main__":
    main()
