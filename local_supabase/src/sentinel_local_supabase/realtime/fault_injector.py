"""Applies the active faults to the outgoing messages of one connection."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

from sentinel_local_supabase.faults import RealtimeFaults, Switch
from sentinel_local_supabase.realtime.frames import dumps

HELD_SECONDS: Final = 0.5
OVERSIZE_BYTES: Final = 1024 * 1024 + 1


@dataclass(frozen=True, slots=True)
class Message:
    """A message to a client; `payload` is JSON text."""

    topic: str
    event: str
    payload: str
    ref: str | None = None
    join_ref: str | None = None


class Alarms:
    """Scheduled calls; their owner must `cancel` them before it ends."""

    def __init__(self) -> None:
        self._handles: set[asyncio.TimerHandle] = set()

    def add(self, seconds: float | None, call: Callable[[], None]) -> None:
        """Schedule a call in so many seconds; None schedules nothing."""
        if seconds is None:
            return

        def ring() -> None:
            self._handles.discard(handle)
            call()

        handle = asyncio.get_running_loop().call_later(seconds, ring)
        self._handles.add(handle)

    def cancel(self) -> None:
        """Cancel all scheduled calls."""
        while self._handles:
            self._handles.pop().cancel()


class FaultInjector:
    """Passes messages on to `write`, changed by the active faults."""

    def __init__(self, switch: Switch, write: Callable[[Message], None]) -> None:
        self._switch = switch
        self._write = write
        self._held: dict[str, Message] = {}
        self._alarms = Alarms()

    def pass_on(self, message: Message) -> None:
        """Write a message with the active faults applied."""
        faults = self._switch.now.realtime
        if faults.mute or (message.event == "phx_reply" and _is_lost(message, faults)):
            return
        if message.event != "postgres_changes":
            self._write(message)
        elif not faults.lose_changes:
            faulty = replace(message, payload=_with_faults(message.payload, faults))
            for copy in [faulty] * (1 + faults.repeat_changes):
                self._arrange(copy, faults)

    def loses_broadcasts(self) -> bool:
        """True if broadcasts are dropped."""
        faults = self._switch.now.realtime
        return faults.lose_broadcasts or faults.mute

    def cancel(self) -> None:
        """Discard delayed and held messages."""
        self._alarms.cancel()

    def _arrange(self, message: Message, faults: RealtimeFaults) -> None:
        if faults.reorder_changes and message.topic not in self._held:
            self._held[message.topic] = message
            self._alarms.add(HELD_SECONDS, lambda: self._release(message.topic, 0.0))
            return
        self._send(message, faults.delay_changes_seconds)
        self._release(message.topic, faults.delay_changes_seconds)

    def _release(self, topic: str, seconds: float) -> None:
        if (held := self._held.pop(topic, None)) is not None:
            self._send(held, seconds)

    def _send(self, message: Message, seconds: float) -> None:
        if seconds:
            self._alarms.add(seconds, lambda: self._write(message))
        else:
            self._write(message)


def _is_lost(reply: Message, faults: RealtimeFaults) -> bool:
    return faults.ignore_heartbeats if reply.topic == "phoenix" else faults.lose_replies


def _with_faults(payload: str, faults: RealtimeFaults) -> str:
    """Return the payload of a postgres_changes event with faults applied."""
    if faults.thin_changes or faults.malform_changes:
        event = json.loads(payload)
        if faults.thin_changes and event["data"]["type"] != "DELETE":
            event["data"] |= {"errors": ["Error 401: Unauthorized"], "columns": [], "record": {}}
            event["data"]["commit_timestamp"] = None
            if "old_record" in event["data"]:
                event["data"]["old_record"] = {}
        if faults.malform_changes:
            del event["data"]["type"]
        payload = dumps(event)
    return payload.ljust(OVERSIZE_BYTES) if faults.oversize_changes else payload
