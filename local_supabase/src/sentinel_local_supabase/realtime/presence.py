"""Presence: the channels present on each topic, and the diffs sent to its members.

As in Phoenix, a channel is present under one key; several channels under one key are its `metas`. Each meta is the
client's payload with a `phx_ref` that changes at every update (`phx_ref_prev` is the previous one).
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass, field
from typing import Any

from sentinel_local_supabase.realtime.frames import dumps

Topic = tuple[str, bool]
Meta = dict[str, Any]
Listener = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class _Entry:
    key: str
    payload: Meta
    meta: Meta


@dataclass(slots=True)
class _Room:
    present: dict[Hashable, _Entry] = field(default_factory=dict)
    listeners: list[Listener] = field(default_factory=list)

    def tell(self, joins: Iterable[_Entry], leaves: Iterable[_Entry]) -> None:
        diff = dumps({"joins": _grouped(joins), "leaves": _grouped(leaves)})
        for listener in tuple(self.listeners):
            listener(diff)


class Presences:
    """Presences of all topics; a topic is a name and a private flag. Diffs and states are JSON texts."""

    def __init__(self) -> None:
        self._rooms: dict[Topic, _Room] = {}

    def listen(self, topic: Topic, listener: Listener) -> None:
        """Pass every diff of the topic to `listener`, which must not block."""
        self._rooms.setdefault(topic, _Room()).listeners.append(listener)

    def unlisten(self, topic: Topic, listener: Listener) -> None:
        """Undo `listen`; unknown listeners are ignored."""
        room = self._rooms.get(topic, _Room())
        if listener in room.listeners:
            room.listeners.remove(listener)
        self._sweep(topic)

    def state(self, topic: Topic) -> str:
        """Return everybody who is present."""
        return dumps(_grouped(self._rooms.get(topic, _Room()).present.values()))

    def track(self, topic: Topic, who: Hashable, key: str, payload: Meta) -> None:
        """Make `who` present under `key`, or update its payload; an unchanged payload has no effect."""
        room = self._rooms.setdefault(topic, _Room())
        former = room.present.get(who)
        if former is not None and former.payload == payload:
            return
        meta = payload | {"phx_ref": secrets.token_urlsafe(12)}
        if former is not None:
            meta["phx_ref_prev"] = former.meta["phx_ref"]
        room.present[who] = entry = _Entry(key, payload, meta)
        room.tell([entry], [former] if former else [])

    def untrack(self, topic: Topic, who: Hashable) -> None:
        """Undo `track`; does nothing if `who` is not present."""
        room = self._rooms.get(topic, _Room())
        if (former := room.present.pop(who, None)) is not None:
            room.tell([], [former])
        self._sweep(topic)

    def _sweep(self, topic: Topic) -> None:
        room = self._rooms.get(topic)
        if room is not None and not (room.present or room.listeners):
            del self._rooms[topic]


def _grouped(entries: Iterable[_Entry]) -> dict[str, dict[str, list[Meta]]]:
    grouped: dict[str, dict[str, list[Meta]]] = {}
    for entry in entries:
        grouped.setdefault(entry.key, {"metas": []})["metas"].append(entry.meta)
    return grouped
