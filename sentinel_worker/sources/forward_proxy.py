"""Forward proxy inside the worker: the only way out for a process that has no network of its own.

It accepts on a socket that was created in that process's network namespace. Every target is checked like a
`source_url`, looked up once, and connected to by the checked address. CONNECT carries TLS from end to end. Plain http
takes absolute URLs, one request per connection, and no chunked request bodies: h11 makes an object of each chunk, and
one-byte chunks would keep the event loop busy.
"""

from __future__ import annotations

import asyncio
import base64
import re
import secrets
import socket
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from http import HTTPStatus
from time import monotonic
from typing import Any, Final

import h11

from sentinel_worker.domain.errors import CodedError, Permanent, Transient
from sentinel_worker.sources.egress import Egress
from sentinel_worker.sources.egress_policy import Target

_BLOCK_BYTES: Final = 64 * 1024
_PORT: Final = re.compile("[0-9]{1,5}")
_METHODS: Final = frozenset({b"GET", b"HEAD", b"POST"})
# These concern one connection, not the message. The last two are for proxies, and no other proxy follows.
_HOP_HEADERS: Final = frozenset(
    {b"host", b"connection", b"keep-alive", b"te", b"upgrade", b"proxy-authorization", b"proxy-connection"}
)


@dataclass(frozen=True, slots=True)
class ProxyLimits:
    """Limits of one client. Bytes and `connections` are totals; `open_connections` may be open at once.

    While a connection is open, at least `floor_bytes` must arrive every `stall_seconds`.
    """

    down_bytes: int
    up_bytes: int = 16 * 1024**2
    open_connections: int = 8
    connections: int = 50_000
    head_bytes: int = 64 * 1024
    head_seconds: float = 10.0
    connect_seconds: float = 15.0
    stall_seconds: float = 30.0
    floor_bytes: int = 4 * 1024
    close_seconds: float = 5.0
    """Time for a client to read the rest when a connection ends."""


class ForwardProxy:
    """Proxy for one client, which authenticates with `password`.

    `failure` is set when a limit is exceeded; every connection then ends. `refusal` is the reason why the newest
    connection was refused or could not be made, or None. It is only noted, because the client may cope with it.
    """

    def __init__(self, egress: Egress, limits: ProxyLimits) -> None:
        self.password = secrets.token_urlsafe(16)
        self.down_bytes = 0
        self.refusal: CodedError | None = None
        self.failure: asyncio.Future[CodedError] = asyncio.get_running_loop().create_future()
        self._egress = egress
        self._limits = limits
        self._credentials = b"Basic " + base64.b64encode(b"worker:" + self.password.encode())
        self._up_bytes = 0
        self._connections = 0
        self._open: dict[asyncio.Task[None], float] = {}

    @asynccontextmanager
    async def serve(self, listener: socket.socket) -> AsyncIterator[None]:
        """Accept on `listener` until the block ends, then close every connection."""
        server = await asyncio.start_server(self._accept, sock=listener, limit=_BLOCK_BYTES)
        watch = asyncio.create_task(self._watch_speed())
        try:
            yield
        finally:
            server.close()
            ending = [watch, *self._open]
            for task in ending:
                task.cancel()
            await asyncio.gather(*ending, return_exceptions=True)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._connections += 1
        if len(self._open) >= self._limits.open_connections or self._connections > self._limits.connections:
            writer.transport.abort()
            return
        task = asyncio.create_task(self._converse(reader, writer))
        self._open[task] = monotonic()
        task.add_done_callback(self._open.pop)

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            try:
                await _Conversation(self, self._egress, self._limits, reader, writer).run()
            except _Refused as refused:
                if refused.why is not None:
                    self.refusal = refused.why
                writer.write(_answer(refused.status))
            async with asyncio.timeout(self._limits.close_seconds):
                writer.close()
                await writer.wait_closed()
        except (OSError, TimeoutError, _LimitPassed):
            return
        finally:
            writer.transport.abort()  # close() alone waits until the peer has read everything, possibly for ever

    async def _watch_speed(self) -> None:
        stall, floor = self._limits.stall_seconds, self._limits.floor_bytes
        while True:
            before = self.down_bytes
            await asyncio.sleep(stall)
            oldest = min(self._open.values(), default=monotonic())
            if monotonic() - oldest >= stall and self.down_bytes - before < floor:
                self._fail(Transient("social_stalled", "The site sends data too slowly."))

    def authentic(self, credentials: bytes) -> bool:
        """Check the client's `credentials`: without a network namespace any local process could connect."""
        return secrets.compare_digest(credentials, self._credentials)

    def count_down(self, size_bytes: int) -> None:
        """Count bytes sent to the client; exceeding the limit ends every connection."""
        self.down_bytes += size_bytes
        if self.down_bytes > self._limits.down_bytes:
            self._fail(Permanent("media_too_large", "The post is larger than allowed."))
            raise _LimitPassed

    def count_up(self, size_bytes: int) -> None:
        """Count bytes sent by the client; exceeding the limit ends every connection."""
        self._up_bytes += size_bytes
        if self._up_bytes > self._limits.up_bytes:
            self._fail(Transient("social_failed", "Fetching the post sent more data than allowed."))
            raise _LimitPassed

    def _fail(self, error: CodedError) -> None:
        if not self.failure.done():
            self.failure.set_result(error)
        for task in self._open:
            task.cancel()


class _Conversation:
    """One connection of the client: a request, then bytes both ways."""

    def __init__(
        self,
        proxy: ForwardProxy,
        egress: Egress,
        limits: ProxyLimits,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> None:
        self._proxy = proxy
        self._egress = egress
        self._limits = limits
        self._reader = reader
        self._writer = writer
        self._parser = h11.Connection(h11.SERVER, max_incomplete_event_size=limits.head_bytes)

    async def run(self) -> None:
        try:
            async with asyncio.timeout(self._limits.head_seconds):
                request = await self._next()
            assert isinstance(request, h11.Request)
            headers = dict(request.headers)
            if not self._proxy.authentic(headers.get(b"proxy-authorization", b"")):
                raise _Refused(HTTPStatus.PROXY_AUTHENTICATION_REQUIRED)
            if b"transfer-encoding" in headers:
                raise _Refused(HTTPStatus.LENGTH_REQUIRED)
            if request.method == b"CONNECT":
                await self._tunnel(request.target)
            elif request.method in _METHODS:
                await self._forward(request)
            else:
                raise _Refused(HTTPStatus.METHOD_NOT_ALLOWED)
        except h11.ProtocolError:
            raise _Refused(HTTPStatus.BAD_REQUEST) from None

    async def _next(self) -> h11.Request | h11.Data | h11.EndOfMessage:
        """Return the client's next event."""
        while (event := self._parser.next_event()) is h11.NEED_DATA:
            self._parser.receive_data(await self._reader.read(_BLOCK_BYTES))
        if not isinstance(event, h11.Request | h11.Data | h11.EndOfMessage):
            raise _Refused(HTTPStatus.BAD_REQUEST)
        return event

    async def _tunnel(self, authority: bytes) -> None:
        host, colon, port = authority.decode("ascii").rpartition(":")
        if not colon or not _PORT.fullmatch(port):
            raise _Refused(HTTPStatus.BAD_REQUEST)
        reader, writer = await self._dial(self._checked(host.removeprefix("[").removesuffix("]"), int(port)))
        try:
            self._writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
            await self._next()  # consume the end of the message, or the parser would keep what follows
            early, _ = self._parser.trailing_data
            self._proxy.count_up(len(early))
            writer.write(early)
            await _first_of(self._carry_up(writer), self._carry_down(reader))
        finally:
            writer.transport.abort()

    async def _forward(self, request: h11.Request) -> None:
        try:
            target = self._egress.policy.check_url(request.target.decode("ascii"))
        except CodedError as error:
            raise _Refused(HTTPStatus.FORBIDDEN, error) from error
        reader, writer = await self._dial(target)
        try:
            kept = [(name, value) for name, value in request.headers if name not in _HOP_HEADERS]
            onward = h11.Connection(h11.CLIENT)
            head = h11.Request(
                method=request.method,
                target=target.resource,
                headers=[(b"host", target.authority.encode()), *kept, (b"connection", b"close")],
            )
            writer.write(onward.send(head) or b"")
            while not isinstance(event := await self._next(), h11.EndOfMessage):
                block = onward.send(event) or b""
                self._proxy.count_up(len(block))
                writer.write(block)
                await writer.drain()
            writer.write(onward.send(event) or b"")
            await _first_of(self._reader.read(1), self._carry_down(reader))
        finally:
            writer.transport.abort()

    def _checked(self, host: str, port: int) -> Target:
        try:
            return self._egress.policy.check_target("https", host, port)
        except CodedError as error:
            raise _Refused(HTTPStatus.FORBIDDEN, error) from error

    async def _dial(self, target: Target) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Connect to one of the target's checked addresses, never to its name."""
        try:
            addresses = await self._egress.resolve(target)
        except CodedError as error:
            raise _Refused(HTTPStatus.FORBIDDEN, error) from error
        for address in addresses:
            with suppress(OSError, TimeoutError):
                async with asyncio.timeout(self._limits.connect_seconds):
                    made = await asyncio.open_connection(str(address), target.port, limit=_BLOCK_BYTES)
                self._proxy.refusal = None
                return made
        raise _Refused(
            HTTPStatus.BAD_GATEWAY, Transient("url_unreachable", f"The host {target.host} could not be reached.")
        )

    async def _carry_up(self, writer: asyncio.StreamWriter) -> None:
        while block := await self._reader.read(_BLOCK_BYTES):
            self._proxy.count_up(len(block))
            writer.write(block)
            await writer.drain()

    async def _carry_down(self, reader: asyncio.StreamReader) -> None:
        while block := await reader.read(_BLOCK_BYTES):
            self._proxy.count_down(len(block))
            self._writer.write(block)
            await self._writer.drain()


class _Refused(Exception):
    """Respond with `status`; `why` is for the worker."""

    def __init__(self, status: HTTPStatus, why: CodedError | None = None) -> None:
        super().__init__(status.phrase)
        self.status = status
        self.why = why


class _LimitPassed(Exception):
    """A limit was exceeded: this connection ends, and so do all others."""


async def _first_of(up: Coroutine[Any, Any, object], down: Coroutine[Any, Any, object]) -> None:
    """Wait until one direction ends, re-raise its exception if any, and stop the other."""
    ways = [asyncio.ensure_future(up), asyncio.ensure_future(down)]
    try:
        done, _ = await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        for way in done:
            way.result()
    finally:
        for way in ways:
            way.cancel()
        await asyncio.gather(*ways, return_exceptions=True)


def _answer(status: HTTPStatus) -> bytes:
    return f"HTTP/1.1 {status.value} {status.phrase}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n".encode()
