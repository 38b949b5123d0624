"""The outermost middleware: applies the active faults to HTTP requests."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from sentinel_local_supabase.faults import Faults, HttpFault, Service, Switch
from sentinel_local_supabase.gateway.connection import connection_of
from sentinel_local_supabase.gateway.refusals import refusal, service_of

_DRIPS_PER_SECOND = 10


class Misbehaviour:
    """Applies the faults in `switch`, read at each request. `with_cors` adds Supabase's CORS headers to responses.

    An HTML or empty response stands for a proxy in front of Supabase, so it has no CORS headers.
    """

    def __init__(self, app: ASGIApp, switch: Switch, with_cors: Callable[[ASGIApp], ASGIApp]) -> None:
        self._app = app
        self._switch = switch
        self._with_cors = with_cors
        self._counted: Faults = switch.now
        self._met: dict[int, int] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        service = service_of(scope["path"])
        fault = self._next(service, scope["method"], scope["path"])
        if fault is None:
            await self._app(scope, receive, send)
            return
        if fault.delay_seconds:
            # A request that has arrived is carried out even if the client disconnects: a proxy would have passed it on.
            receive = _again(await receive(), receive)
            await asyncio.sleep(fault.delay_seconds)
        if fault.status is None:
            await _Spoilt(fault, scope, receive, send).serve(self._app)
            return
        answer = refusal(fault, service, scope)
        await _read_all(receive)
        behind_cors = fault.body == "json" and scope["method"] != "OPTIONS"
        await (self._with_cors(answer) if behind_cors else answer)(scope, receive, send)

    def _next(self, service: Service | None, method: str, path: str) -> HttpFault | None:
        now = self._switch.now
        if now is not self._counted:
            self._counted, self._met = now, {}
        for number, fault in enumerate(now.http):
            met = self._met.get(number, 0)
            if fault.fits(service, method, path) and (fault.times is None or met < fault.times):
                self._met[number] = met + 1
                return fault
        return None


class _Spoilt:
    """A request that is carried out but whose response is lost, cut or slowed down."""

    def __init__(self, fault: HttpFault, scope: Scope, receive: Receive, send: Send) -> None:
        self._fault = fault
        self._scope = scope
        self._receive = receive
        self._send = send
        self._connection = connection_of(scope)
        self._sent = 0
        self._dripping_since: float | None = None

    async def serve(self, app: ASGIApp) -> None:
        """Pass the request to `app` and spoil its response."""
        await app(self._scope, self._receive, self._pass_on)
        if self._connection.is_closing():
            # Until the server notices that the client is gone, it would log an incomplete response.
            while (await self._receive())["type"] != "http.disconnect":
                pass

    async def _pass_on(self, message: Message) -> None:
        # The services start their response after the commit, so the work is done here.
        if self._connection.is_closing():
            return
        if self._fault.lose_answer:
            self._connection.close()
        elif message["type"] == "http.response.body":
            await self._pass_body(message)
        else:
            await self._send(message)

    async def _pass_body(self, message: Message) -> None:
        body: bytes = b"" if self._scope["method"] == "HEAD" else message.get("body", b"")
        limit = self._fault.cut_after_bytes
        is_cut = limit is not None and self._sent + len(body) > limit
        if limit is not None and is_cut:
            body = body[: limit - self._sent]
        await self._pass_bytes(body)
        if is_cut:
            self._connection.close()
        elif not self._connection.is_closing():
            await self._send({**message, "body": b""})

    async def _pass_bytes(self, body: bytes) -> None:
        rate = self._fault.drip_bytes_per_second
        if rate is None:
            await self._pass_piece(body)
            return
        if self._dripping_since is None:
            self._dripping_since = time.monotonic()
        size = max(1, rate // _DRIPS_PER_SECOND)
        for start in range(0, len(body), size):
            piece = body[start : start + size]
            due = self._dripping_since + (self._sent + len(piece)) / rate
            await asyncio.sleep(due - time.monotonic())
            if self._connection.is_closing():
                return
            await self._pass_piece(piece)

    async def _pass_piece(self, piece: bytes) -> None:
        self._sent += len(piece)
        await self._send({"type": "http.response.body", "body": piece, "more_body": True})


def _again(message: Message, receive: Receive) -> Receive:
    """Return a `receive` that yields `message` again before all others."""
    waiting = [message]

    async def replay() -> Message:
        return waiting.pop() if waiting else await receive()

    return replay


async def _read_all(receive: Receive) -> None:
    """Read the whole request, as a proxy does: a client that still sends would see a reset, not the response."""
    while True:
        message = await receive()
        if message["type"] != "http.request" or not message.get("more_body", False):
            return
