"""A TCP proxy between worker and gateway that can hold, lose and delay answers, cut connections, and fall silent.

docs/local.md lists the faults that the gateway itself can play (all refusals, pages of HTML, Retry-After, drips).
"""

import asyncio
import socket
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

METHODS = (b"GET ", b"POST ", b"HEAD ", b"PUT ", b"DELETE ")


class FaultProxy:
    """Passes everything on, except requests whose first line contains `hold_request`, answers to requests whose
    first line contains `hold`, and answers that contain `lose`.

    `held` is set when an answer waits; `release` lets it go. A lost answer was produced by the server and
    never reaches the client: its connection is cut. Each loss decrements `losses`. Everything else is delayed by
    `delay_seconds`. `reset` cuts open connections with a RST. While `silent`, connections are half open: they are
    accepted, and never answered, not even later. `accepted` counts connections, `requests` keeps the first line of
    each request.
    """

    def __init__(self, target_port: int) -> None:
        self.hold: str | None = None
        self.hold_request: str | None = None
        self.lose: bytes | None = None
        self.losses = 0
        self.delay_seconds = 0.0
        self.silent = False
        self.accepted = 0
        self.requests: list[str] = []
        self.held = asyncio.Event()
        self.release = asyncio.Event()
        self.lost = asyncio.Event()
        self.port = 0
        self._target_port = target_port
        self._tasks: set[asyncio.Task[None]] = set()
        self._open: set[asyncio.StreamWriter] = set()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def again(self) -> None:
        """Hold again."""
        self.held.clear()
        self.release.clear()

    def reset(self) -> None:
        """Cut every connection with a RST."""
        for writer in self._open:
            linger = struct.pack("ii", 1, 0)
            with suppress(OSError):  # a closing connection may have no socket any more
                writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            writer.transport.abort()

    @asynccontextmanager
    async def running(self) -> AsyncIterator["FaultProxy"]:
        server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            server.close()
            await asyncio.sleep(0)  # recently accepted connections start, and can be ended
            for task in list(self._tasks):
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        self.accepted += 1
        self._open.add(writer)
        task.add_done_callback(lambda _: self._open.discard(writer))
        with suppress(asyncio.CancelledError):  # the test is over; asyncio would log this
            try:
                await self._serve(reader, writer)
            finally:
                writer.close()
                with suppress(ConnectionError):
                    await writer.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            upstream_reader, upstream_writer = await asyncio.open_connection("127.0.0.1", self._target_port)
        except OSError:
            return
        await _Connection(self, reader, writer, upstream_reader, upstream_writer).run()

    async def pause(self, request: str, part: str | None) -> None:
        """Wait for `release` if the first line matches."""
        if part is not None and part in request and not self.release.is_set():
            self.held.set()
            await self.release.wait()

    def wants_to_lose(self, answer: bytes) -> bool:
        if self.lose is None or self.lose not in answer or self.losses == 0:
            return False
        self.losses -= 1
        self.lost.set()
        return True


class _Connection:
    def __init__(
        self,
        proxy: FaultProxy,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        upstream_reader: asyncio.StreamReader,
        upstream_writer: asyncio.StreamWriter,
    ) -> None:
        self._proxy = proxy
        self._reader, self._writer = reader, writer
        self._upstream_reader, self._upstream_writer = upstream_reader, upstream_writer
        self._request = ""
        self._deaf = False

    async def run(self) -> None:
        self._deaf = self._proxy.silent
        asks = asyncio.create_task(self._pass_requests())
        try:
            with suppress(ConnectionError):
                await self._pass_answers()
        finally:
            asks.cancel()
            self._writer.close()
            self._upstream_writer.close()
            with suppress(ConnectionError):
                await self._upstream_writer.wait_closed()

    async def _pass_requests(self) -> None:
        with suppress(ConnectionError):
            while chunk := await self._reader.read(65536):
                if chunk.startswith(METHODS):
                    self._request = chunk.split(b"\r\n", 1)[0].decode()
                    self._proxy.requests.append(self._request)
                if self._is_deaf():
                    continue
                await self._proxy.pause(self._request, self._proxy.hold_request)
                self._upstream_writer.write(chunk)
                await self._upstream_writer.drain()
            self._upstream_writer.write_eof()

    async def _pass_answers(self) -> None:
        while chunk := await self._upstream_reader.read(65536):
            if self._proxy.wants_to_lose(chunk):
                return
            if self._is_deaf():
                continue
            await asyncio.sleep(self._proxy.delay_seconds)  # the intended fault
            await self._proxy.pause(self._request, self._proxy.hold)
            self._writer.write(chunk)
            await self._writer.drain()

    def _is_deaf(self) -> bool:
        """Once something was withheld, nothing passes any more."""
        self._deaf = self._deaf or self._proxy.silent
        return self._deaf
