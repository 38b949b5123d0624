"""One WebSocket: incoming frames, a bounded queue of outgoing frames, and its joined channels."""

import asyncio
import contextlib
import logging
from collections import deque
from typing import Any, Final

from starlette.websockets import WebSocket, WebSocketDisconnect

from sentinel_local_supabase.realtime.channel import TOPIC_PREFIX, Channel
from sentinel_local_supabase.realtime.channel_services import Services
from sentinel_local_supabase.realtime.connection_tokens import OPAQUE_PREFIX, TokenRefused
from sentinel_local_supabase.realtime.fault_injector import Alarms, FaultInjector, Message
from sentinel_local_supabase.realtime.frames import BadFrame, Broadcast, Frame, Serializer, dumps
from sentinel_local_supabase.realtime.settings import SocketSettings
from sentinel_local_supabase.realtime.topics import Refused

OK: Final = '{"status":"ok","response":{}}'
UNMATCHED: Final = '{"status":"error","response":{"reason":"unmatched topic"}}'
CRASHED: Final = '{"status":"error","response":{"reason":"join crashed"}}'
CLOSE_NORMAL: Final = 1000
CLOSE_BROKEN: Final = 1011
CLOSE_TOO_SLOW: Final = 1013

log = logging.getLogger(__name__)


class Socket:
    """Serves one accepted WebSocket until it closes; `token` is the token of the connection."""

    def __init__(
        self,
        websocket: WebSocket,
        serializer: Serializer,
        token: str,
        services: Services,
        settings: SocketSettings,
    ) -> None:
        self._websocket = websocket
        self._serializer = serializer
        self._token = token
        self._services = services
        self._settings = settings
        self._channels: dict[str, Channel] = {}
        self._queue: deque[str | bytes] = deque()
        self._queued_bytes = 0
        self._ready = asyncio.Event()
        self._flowing = asyncio.Event()
        self._flowing.set()
        self._ending: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._fault_injector = FaultInjector(services.faults, self._write)
        self._replies = Alarms()
        self._end = Alarms()

    async def run(self) -> None:
        """Serve until the client disconnects, goes idle, falls behind, or sends an invalid frame."""
        self.arm()
        duties = [
            asyncio.create_task(self._receive()),
            asyncio.create_task(self._send()),
            asyncio.create_task(self._ended()),
        ]
        try:
            done, _ = await asyncio.wait(duties, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for duty in duties:
                duty.cancel()
            results = await asyncio.gather(*duties, return_exceptions=True)
            for timers in (self._end, self._replies, self._fault_injector):
                timers.cancel()
            for channel in self._channels.values():
                channel.close()
        first = next((result for duty, result in zip(duties, results, strict=True) if duty in done), None)
        if isinstance(first, int):
            with contextlib.suppress(RuntimeError, WebSocketDisconnect):
                await self._websocket.close(first)
        elif isinstance(first, BaseException) and not isinstance(first, WebSocketDisconnect):
            raise first

    def arm(self) -> None:
        """Schedule the active faults that depend on time, here and in every channel."""
        faults = self._services.faults.now.realtime
        self._end.cancel()
        self._end.add(faults.close_sockets_after_seconds, lambda: self._end_with(faults.close_code))
        for channel in tuple(self._channels.values()):
            channel.arm()

    def push(self, topic: str, event: str, payload: str, ref: str | None = None, join_ref: str | None = None) -> None:
        """Queue a message; `payload` is JSON text."""
        self._fault_injector.pass_on(Message(topic, event, payload, ref, join_ref))

    def push_broadcast(self, topic: str, broadcast: Broadcast) -> None:
        """Queue a broadcast, unless this protocol version cannot represent it."""
        if self._fault_injector.loses_broadcasts():
            return
        if (frame := self._serializer.encode_broadcast(topic, broadcast)) is not None:
            self._enqueue(frame)

    def _write(self, message: Message) -> None:
        self._enqueue(
            self._serializer.encode(message.topic, message.event, message.payload, message.ref, message.join_ref)
        )

    def _enqueue(self, frame: str | bytes) -> None:
        if self._queued_bytes + len(frame) > self._settings.queued_bytes:
            log.warning("a Realtime client is too slow: %d bytes wait for it", self._queued_bytes)
            self._end_with(CLOSE_TOO_SLOW)
            return
        self._queue.append(frame)
        self._queued_bytes += len(frame)
        self._ready.set()

    def _end_with(self, code: int) -> None:
        if not self._ending.done():
            self._ending.set_result(code)

    async def _ended(self) -> int:
        return await self._ending

    async def _send(self) -> None:
        while True:
            await self._ready.wait()
            await self._flowing.wait()
            if not self._queue:
                self._ready.clear()
                continue
            frame = self._queue.popleft()
            self._queued_bytes -= len(frame)
            if isinstance(frame, str):
                await self._websocket.send_text(frame)
            else:
                await self._websocket.send_bytes(frame)

    async def _receive(self) -> int | None:
        while True:
            try:
                async with asyncio.timeout(self._settings.idle_seconds):
                    message = await self._websocket.receive()
            except TimeoutError:
                return CLOSE_NORMAL
            if message["type"] == "websocket.disconnect":
                return None
            raw = message.get("text") or message.get("bytes") or ""
            try:
                frame = self._serializer.decode(raw)
            except BadFrame as error:
                log.warning("a Realtime client sent a bad frame: %s", error)
                return CLOSE_BROKEN
            try:
                await self._dispatch(frame)
            except Exception:  # as on the real server, a failed channel does not end others
                log.exception("a Realtime channel failed")
                self._give_up(frame)

    async def _dispatch(self, frame: Frame) -> None:
        if self._services.faults.now.realtime.mute:
            return
        channel = self._channels.get(frame.topic)
        if frame.topic == "phoenix" and frame.event == "heartbeat":
            self.push(frame.topic, "phx_reply", OK, frame.ref)
        elif (
            frame.event == "phx_join" and len(frame.topic) > len(TOPIC_PREFIX) and frame.topic.startswith(TOPIC_PREFIX)
        ):
            await self._join(frame)
        elif channel is None:
            self.push(
                frame.topic,
                "phx_reply",
                OK if frame.event == "phx_leave" else UNMATCHED,
                frame.ref,
                frame.join_ref,
            )
        elif frame.join_ref != channel.join_ref:
            return  # the real server silently ignores messages of another join
        elif frame.event == "phx_leave":
            channel.close()
            self.push(frame.topic, "phx_reply", OK, frame.ref, channel.join_ref)
            self._forget(channel)
        else:
            await channel.receive(frame)

    async def _join(self, frame: Frame) -> None:
        token = frame.payload.get("access_token") or frame.payload.get("user_token")
        if not isinstance(token, str) or token.startswith(OPAQUE_PREFIX):
            token = self._token
        channel = Channel(self, self._services, frame, on_end=self._forget)
        try:
            response = await channel.join(token)
        except (Refused, TokenRefused) as error:
            await self._refuse(frame, str(error))
            return
        seconds = self._services.faults.now.realtime.join_reply_seconds
        if not seconds:
            self._reply_to_join(frame, channel, response)
        if (former := self._channels.get(frame.topic)) is not None:
            former.close()
            self._forget(former)
        self._channels[frame.topic] = channel
        if not seconds:
            channel.begin()
        else:
            self._replies.add(seconds, lambda: self._welcome(frame, channel, response))

    def _welcome(self, frame: Frame, channel: Channel, response: dict[str, Any]) -> None:
        if self._channels.get(frame.topic) is channel:
            self._reply_to_join(frame, channel, response)
            channel.begin()

    def _reply_to_join(self, frame: Frame, channel: Channel, response: dict[str, Any]) -> None:
        reply = dumps({"status": "ok", "response": response})
        self.push(frame.topic, "phx_reply", reply, frame.ref, channel.join_ref)

    async def _refuse(self, frame: Frame, reason: str) -> None:
        # The real server sleeps in the join, which blocks the whole connection.
        self._flowing.clear()
        try:
            await asyncio.sleep(self._settings.refusal_seconds)
        finally:
            self._flowing.set()
        self.push(
            frame.topic,
            "phx_reply",
            dumps({"status": "error", "response": {"reason": reason}}),
            frame.ref,
            frame.join_ref,
        )

    def _give_up(self, frame: Frame) -> None:
        if frame.event == "phx_join":
            self.push(frame.topic, "phx_reply", CRASHED, frame.ref, frame.join_ref)
        elif (channel := self._channels.pop(frame.topic, None)) is not None:
            channel.close()
            self.push(channel.topic, "phx_error", "{}", channel.join_ref, channel.join_ref)

    def _forget(self, channel: Channel) -> None:
        self.push(channel.topic, "phx_close", "{}", channel.join_ref, channel.join_ref)
        if self._channels.get(channel.topic) is channel:
            del self._channels[channel.topic]
