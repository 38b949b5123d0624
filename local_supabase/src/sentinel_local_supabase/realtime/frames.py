"""The two serializers of the Phoenix protocol that Supabase Realtime uses: vsn 1.0.0 and 2.0.0.

Version 1 writes an object per frame. Version 2 writes an array `[join_ref, ref, topic, event, payload]` and
has a binary form for broadcasts (kind 3 from the client, kind 4 to the client). Payloads to clients are
JSON texts, never Python objects, so that rows keep the exact numbers that PostgreSQL printed.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final, Protocol

from sentinel_local_supabase.json_input import NotJson, parse_json

PUSH_KIND: Final = 3
BROADCAST_KIND: Final = 4
BINARY_ENCODING: Final = 0
JSON_ENCODING: Final = 1
LONGEST_FIELD_BYTES: Final = 255
ARRAY_FIELDS: Final = 5


class BadFrame(ValueError):
    """A frame that neither serializer can read; the real server drops the connection."""


@dataclass(frozen=True, slots=True)
class Frame:
    """A message from a client. `body` is the user's payload of a broadcast in the binary form: JSON text, or bytes."""

    topic: str
    event: str
    payload: dict[str, Any]
    ref: str | None
    join_ref: str | None
    body: str | bytes | None = None


@dataclass(frozen=True, slots=True)
class Broadcast:
    """A broadcast to the members of a topic; `payload` is JSON text, or bytes for binary payloads.

    `id` is its row in realtime.messages, if it has one.

    `framed` ones are sent to version 2 in the binary form even if their payload is JSON: broadcasts received in that
    form, from the database, or one at a time over HTTP.
    """

    event: str
    payload: str | bytes
    meta: str | None = None
    framed: bool = False
    id: str | None = None


class Serializer(Protocol):
    """Turns client frames into `Frame` and messages into what `send` takes."""

    def decode(self, raw: str | bytes) -> Frame:
        """Parse a client's frame. Raises BadFrame."""

    def encode(self, topic: str, event: str, payload: str, ref: str | None, join_ref: str | None) -> str:
        """Return a text frame; `payload` is JSON text."""

    def encode_broadcast(self, topic: str, broadcast: Broadcast) -> str | bytes | None:
        """Return a broadcast frame, or None if this version cannot represent it."""


def dumps(value: object) -> str:
    """Return compact JSON that keeps non-ASCII characters, as the real server writes it."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


class VersionOne:
    """vsn 1.0.0, used by realtime-py and older browsers."""

    def decode(self, raw: str | bytes) -> Frame:
        frame = _json(raw)
        if not isinstance(frame, dict):
            raise BadFrame("not an object")
        return _frame(
            frame.get("join_ref"),
            frame.get("ref"),
            frame.get("topic"),
            frame.get("event"),
            frame.get("payload"),
        )

    def encode(self, topic: str, event: str, payload: str, ref: str | None, join_ref: str | None) -> str:
        return f'{{"ref":{dumps(ref)},"event":{dumps(event)},"payload":{payload},"topic":{dumps(topic)}}}'

    def encode_broadcast(self, topic: str, broadcast: Broadcast) -> str | None:
        if isinstance(broadcast.payload, bytes):
            return None
        return self.encode(topic, "broadcast", broadcast_json(broadcast, broadcast.payload), None, None)


class VersionTwo:
    """vsn 2.0.0, the default of supabase-js."""

    def decode(self, raw: str | bytes) -> Frame:
        if isinstance(raw, bytes):
            return _decode_push(raw)
        frame = _json(raw)
        if not isinstance(frame, list) or len(frame) != ARRAY_FIELDS:
            raise BadFrame("not an array of five")
        return _frame(*frame)

    def encode(self, topic: str, event: str, payload: str, ref: str | None, join_ref: str | None) -> str:
        return f"[{dumps(join_ref)},{dumps(ref)},{dumps(topic)},{dumps(event)},{payload}]"

    def encode_broadcast(self, topic: str, broadcast: Broadcast) -> str | bytes | None:
        if isinstance(broadcast.payload, bytes):
            encoding, body = BINARY_ENCODING, broadcast.payload
        elif broadcast.framed:
            encoding, body = JSON_ENCODING, broadcast.payload.encode()
        else:
            return self.encode(topic, "broadcast", broadcast_json(broadcast, broadcast.payload), None, None)
        fields = [topic.encode(), broadcast.event.encode(), (broadcast.meta or "").encode()]
        if any(len(field) > LONGEST_FIELD_BYTES for field in fields):
            return None
        sizes = bytes([BROADCAST_KIND, *(len(field) for field in fields), encoding])
        return sizes + b"".join(fields) + body


def serializer_for(vsn: str | None) -> Serializer:
    """Return the serializer for a connection's `vsn` parameter; version 1 if it is absent."""
    return VersionTwo() if (vsn or "").startswith("2.") else VersionOne()


def broadcast_json(broadcast: Broadcast, payload: str) -> str:
    """Return the payload of a `broadcast` event; `payload` is the broadcast's own, as JSON text."""
    meta = f'"meta":{broadcast.meta},' if broadcast.meta else ""
    return f'{{"event":{dumps(broadcast.event)},{meta}"payload":{payload},"type":"broadcast"}}'


def _json(raw: str | bytes) -> Any:
    try:
        return parse_json(raw)
    except NotJson as error:
        raise BadFrame("not JSON") from error


def _frame(join_ref: object, ref: object, topic: object, event: object, payload: object) -> Frame:
    # A topic or event that is not text is treated as unknown.
    return Frame(
        topic=_text(topic),
        event=_text(event),
        payload=payload if isinstance(payload, dict) else {},
        ref=None if ref is None else _text(ref),
        join_ref=None if join_ref is None else _text(join_ref),
    )


def _text(value: object) -> str:
    return value if isinstance(value, str) else dumps(value)


def _decode_push(raw: bytes) -> Frame:
    # kind, five lengths (join_ref, ref, topic, user event, metadata), encoding, the fields, the payload
    header = 7
    if len(raw) < header or raw[0] != PUSH_KIND or len(raw) < header + sum(raw[1:6]):
        raise BadFrame("not a broadcast push")
    fields = _fields(raw, header)
    try:
        join_ref, ref, topic, user_event, _metadata = (next(fields).decode() for _ in range(ARRAY_FIELDS))
    except UnicodeDecodeError as error:
        raise BadFrame("a field is not UTF-8") from error
    raw_body = next(fields)
    body: str | bytes = raw_body
    if raw[6] != BINARY_ENCODING:
        _json(raw_body)
        body = raw_body.decode()
    payload = {"type": "broadcast", "event": user_event}
    return Frame(topic, "broadcast", payload, ref or None, join_ref or None, body)


def _fields(raw: bytes, offset: int) -> Iterator[bytes]:
    for length in raw[1:6]:
        yield raw[offset : offset + length]
        offset += length
    yield raw[offset:]
