"""A small HTTP server that serves one object and can cut, lie, stall and change its mind."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

Headers = dict[str, str]
Behave = Callable[["Exchange"], Awaitable[None]]


@dataclass
class Exchange:
    """One request, and the connection to answer it on."""

    number: int
    target: str
    headers: Headers
    body: bytes
    writer: asyncio.StreamWriter

    async def answer(self, status: str, body: bytes, cut: int | None = None, **headers: Any) -> None:
        """Send an answer; with `cut`, close the connection after that many bytes of its body."""
        sent = {"content-length": str(len(body))} | {key.replace("_", "-"): value for key, value in headers.items()}
        lines = "".join(f"{key}: {value}\r\n" for key, value in sent.items())
        self.writer.write(f"HTTP/1.1 {status}\r\n{lines}connection: close\r\n\r\n".encode() + body[:cut])
        await self.writer.drain()

    async def serve(self, content: bytes, etag: str = '"a"', cut: int | None = None, **headers: Any) -> None:
        """Answer as Storage does, with a range on request."""
        wanted = self.headers.get("range")
        if wanted is None:
            await self.answer("200 OK", content, cut, etag=etag, content_type="video/mp4", **headers)
            return
        start = int(wanted.removeprefix("bytes=").removesuffix("-"))
        place = f"bytes {start}-{len(content) - 1}/{len(content)}"
        await self.answer("206 Partial Content", content[start:], cut, etag=etag, content_range=place, **headers)

    async def refuse(self, status: str, body: str, **headers: Any) -> None:
        """Answer with Storage's JSON."""
        await self.answer(status, body.encode(), content_type="application/json", **headers)


async def drip(exchange: Exchange, head: bytes, drop: bytes = b"x", pause_seconds: float = 0.02) -> None:
    """Send `drop` at intervals until the client is gone."""
    exchange.writer.write(head)
    with suppress(ConnectionError):
        while not exchange.writer.is_closing():
            exchange.writer.write(drop)
            await exchange.writer.drain()
            await asyncio.sleep(pause_seconds)  # the slowness is the point


@dataclass
class Unruly:
    """The running server: its requests, and its next behaviours (the last one repeats)."""

    url: str = ""
    port: int = 0
    asked: list[Exchange] = field(default_factory=list)
    behave: list[Behave] = field(default_factory=list)
    connections: int = 0
    open: set[asyncio.Task[None]] = field(default_factory=set)

    def on_connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self.open.add(task := asyncio.create_task(self._converse(reader, writer)))
        task.add_done_callback(self.open.discard)

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
            headers = {key.lower(): value for key, _, value in (line.partition(": ") for line in head[1:] if line)}
            body = await reader.readexactly(int(headers.get("content-length", 0)))
            exchange = Exchange(len(self.asked), head[0], headers, body, writer)
            self.asked.append(exchange)
            await self.behave[min(exchange.number, len(self.behave) - 1)](exchange)
        except (ConnectionError, asyncio.IncompleteReadError):
            return
        finally:
            writer.close()
            with suppress(ConnectionError):
                await writer.wait_closed()


@asynccontextmanager
async def unruly_server(host: str = "127.0.0.1", tls: ssl.SSLContext | None = None) -> AsyncIterator[Unruly]:
    """Serve on a free port of a loopback address."""
    unruly = Unruly()
    server = await asyncio.start_server(unruly.on_connection, host, 0, ssl=tls)
    unruly.port = server.sockets[0].getsockname()[1]
    unruly.url = f"{'https' if tls else 'http'}://{host}:{unruly.port}"
    async with server:
        yield unruly
        for task in unruly.open:
            task.cancel()
        await asyncio.gather(*unruly.open, return_exceptions=True)
