"""Protocol between the worker and a decoding child on their stream socket.

A message is a JSON object after its length, and may announce raw bytes that follow it:

```
uint32 header length | uint32 payload length | header (JSON, UTF-8) | payload (an array, C-contiguous)
```

The worker asks `probe`, `clips`, `sounds` or `derive`, and a child of the profile `preview` only `preview`
(`derived_protocol` has both questions for derived media). The child answers with `facts`, (`clip` or `skipped`) …
`end`, a `picture` for each that is wanted, a `preview`, or `error`. A clip is uint8 pictures [T, 3, H, W] or float32
sound [S], as its header says; `face` and `heard` in the header hold the fields of `Face` and `Heard`. The `end` of
sound may name `unheard_seconds`, which could not be in any window. The worker does not trust a child: it checks every
answer against the question.
"""

from __future__ import annotations

import json
import socket
import struct
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Final, Literal

from sentinel_worker.confine.layers import Layers, Mode
from sentinel_worker.domain.error_codes import Trait, with_trait
from sentinel_worker.domain.errors import CodedError, Fatal, Permanent, Transient, is_declared
from sentinel_worker.domain.json_numbers import LARGEST
from sentinel_worker.domain.media_facts import ClipGeometry, FaceSearch, MediaFacts, MediaLimits, SoundGeometry
from sentinel_worker.domain.windows import Window

LENGTHS: Final = struct.Struct("!II")
Profile = Literal["decoder", "preview"]
"""What a child is for: it answers the questions of its profile, and no others."""
QUESTIONS: Final[dict[Profile, tuple[str, ...]]] = {
    "decoder": ("probe", "clips", "sounds", "derive"),
    "preview": ("preview",),
}
MAX_HEADER_BYTES: Final = 1024**2
MAX_KEYFRAMES: Final = 4096

_MAX_SENTENCE: Final = 500
_MAX_PARAMS: Final = 16
_MAX_NAME: Final = 64
_CLASSES: Final[dict[str, type[CodedError]]] = {
    "permanent": Permanent,
    "transient": Transient,
    "fatal": Fatal,
}
VERDICTS_ON_MEDIA: Final = with_trait(Trait.OF_MEDIA)
"""Codes that a child may report about its file; others could postpone the request for ever without costing an
attempt."""
_KINDS: Final = ("video", "image", "audio")
_JSON_TYPES: Final[dict[str, tuple[type, ...]]] = {
    "Kind": (str,),
    "tuple[float, ...]": (list,),
    "str": (str,),
    "str | None": (str, type(None)),
    "bool": (bool,),
    "int": (int,),
    "float": (int, float),
}


class ProtocolError(Exception):
    """The other side sent something that was not asked for, or ended in the middle of a message."""


@dataclass(frozen=True, slots=True)
class ProbedFacts(MediaFacts):
    """Facts that include what only a scan of every packet shows.

    `truncated`: bytes are missing, by the file's structure or its header; the times cover the part that exists.
    `keyframe_seconds`: times at which decoding can begin without earlier frames, in seconds from the first frame,
    sorted, at most `MAX_KEYFRAMES` of them. `typical_rate`: frames a second by the median distance of two frames, where
    `frames_per_second` is the average; 0 if it is not known. `unread_seconds`: the part that plays and that no decoder
    is given, at most (tracks that begin in the middle of a broadcast).
    """

    frame_count: int = 0
    truncated: bool = False
    keyframe_seconds: tuple[float, ...] = ()
    typical_rate: float = 0.0
    unread_seconds: float = 0.0

    @property
    def planning_rate(self) -> float:
        """Frames a second by which windows are planned. A still picture, shown at any time, has a rate of 1."""
        return self.typical_rate or self.frames_per_second or 1.0


def encode(message: Mapping[str, Any], payload_bytes: int = 0) -> bytes:
    """Encode the lengths and the header of a message; its payload is sent after them."""
    header = json.dumps(message, separators=(",", ":")).encode()
    return LENGTHS.pack(len(header), payload_bytes) + header


def decode_lengths(raw: bytes | bytearray) -> tuple[int, int]:
    """Return the header and payload length of the message that starts with `raw`; refuses an oversized header."""
    header_bytes, payload_bytes = LENGTHS.unpack(raw)
    if header_bytes > MAX_HEADER_BYTES:
        raise ProtocolError(f"a header of {header_bytes} bytes")
    return header_bytes, payload_bytes


def decode_header(raw: bytes | bytearray) -> dict[str, Any]:
    """Parse the JSON object of a message."""
    try:
        message = json.loads(raw)
    except (ValueError, RecursionError) as error:
        raise ProtocolError("a header that is not JSON") from error
    if not isinstance(message, dict):
        raise ProtocolError("a header that is not an object")
    return message


def receive(connection: socket.socket) -> dict[str, Any] | None:
    """Return the next question on the child's blocking socket, or None if the worker closed it."""
    lengths = _receive_exactly(connection, LENGTHS.size)
    if lengths is None:
        return None
    header = _receive_exactly(connection, decode_lengths(lengths)[0])
    return None if header is None else decode_header(header)


def _receive_exactly(connection: socket.socket, count: int) -> bytes | None:
    parts = bytearray()
    while len(parts) < count:
        part = connection.recv(count - len(parts))
        if not part:
            return None
        parts += part
    return bytes(parts)


def clips_question(
    windows: Sequence[Window], geometry: ClipGeometry, faces: FaceSearch | None = None
) -> dict[str, Any]:
    """Ask for the clips of `windows`, or for clips of the faces in them."""
    question = {"ask": "clips", "windows": _spans(windows), "geometry": asdict(geometry)}
    return question if faces is None else question | {"faces": asdict(faces)}


def read_clips_question(message: Mapping[str, Any]) -> tuple[list[Window], ClipGeometry, FaceSearch | None]:
    """Return the windows, the geometry and the face search of a `clips` question."""
    faces = FaceSearch(**message["faces"]) if "faces" in message else None
    return _windows(message), ClipGeometry(**message["geometry"]), faces


def sounds_question(windows: Sequence[Window], geometry: SoundGeometry) -> dict[str, Any]:
    """Ask for the sound of `windows`."""
    return {"ask": "sounds", "windows": _spans(windows), "geometry": asdict(geometry)}


def read_sounds_question(message: Mapping[str, Any]) -> tuple[list[Window], SoundGeometry]:
    """Return the windows and geometry of a `sounds` question."""
    return _windows(message), SoundGeometry(**message["geometry"])


def _spans(windows: Sequence[Window]) -> list[list[float]]:
    return [[window.start_seconds, window.end_seconds] for window in windows]


def _windows(message: Mapping[str, Any]) -> list[Window]:
    return [Window(*span) for span in message["windows"]]


def fork_request(number: int, path: Path, directory: Path, limits: MediaLimits, mode: Mode, profile: Profile) -> bytes:
    """Message that tells the zygote to fork a child; the child's socket travels with it."""
    return json.dumps(
        {
            "fork": number,
            "path": str(path),
            "directory": str(directory),
            "limits": asdict(limits),
            "mode": mode,
            "profile": profile,
        }
    ).encode()


def error_answer(error: CodedError) -> dict[str, Any]:
    """Answer in which a child reports one of this package's errors."""
    kind = next(name for name, cls in _CLASSES.items() if isinstance(error, cls))
    described = {"code": error.code, "message": error.message, "params": error.params}
    return {"answer": "error", "class": kind, **described}


def read_error(message: Mapping[str, Any]) -> CodedError:
    """Return the error that a child reported, as one of this package's own."""
    code, sentence = message.get("code"), message.get("message")
    params, cls = message.get("params"), _CLASSES.get(str(message.get("class")))
    if cls is None or not isinstance(code, str) or not is_declared(code, cls) or not isinstance(sentence, str):
        return Transient("decoder_failed", "The decoder failed on this file for an unknown reason.")
    shown = "".join(character for character in sentence[:_MAX_SENTENCE] if character.isprintable())
    return cls(code, shown, params=_flat(params))


def _flat(params: Any) -> dict[str, Any] | None:
    """Keep a few numbers and short texts by name; drop anything else that a child sends, such as nested values."""
    if not isinstance(params, dict):
        return None
    plain = {name: value for name, value in params.items() if _is_plain(value)}
    few = list(plain.items())[:_MAX_PARAMS]
    return {name[:_MAX_NAME]: value[:_MAX_SENTENCE] if isinstance(value, str) else value for name, value in few}


def _is_plain(value: Any) -> bool:
    return value is None or isinstance(value, str) or (isinstance(value, int | float) and abs(value) <= LARGEST)


def read_error_of_media(message: Mapping[str, Any]) -> CodedError:
    """Like `read_error`, for a child that has seen media and so may lie: it judges only its file, not the worker or
    a server."""
    error = read_error(message)
    if not isinstance(error, Permanent) or error.code not in VERDICTS_ON_MEDIA:
        return Transient("decoder_failed", "The decoder failed on this file for an unknown reason.")
    return error


def read_layers(message: Mapping[str, Any]) -> Layers:
    """Return the layers of a `confined` answer, which comes before the child has seen media."""
    return Layers(tuple(message["layers"]), dict(message["missing"]))


def read_facts(message: Mapping[str, Any]) -> ProbedFacts:
    """Return the facts of a `facts` answer; each value has the type of its field, numbers are from 0 to `LARGEST`."""
    values = message.get("facts")
    if not isinstance(values, dict):
        raise ProtocolError("facts that are not an object")
    for field in fields(ProbedFacts):
        if not _is_usable(values.get(field.name), _JSON_TYPES[str(field.type)]):
            raise ProtocolError(f"facts without a usable {field.name}")
    facts = ProbedFacts(**{field.name: _typed(values[field.name], str(field.type)) for field in fields(ProbedFacts)})
    if facts.kind not in _KINDS or (facts.kind == "video" and facts.frames_per_second <= 0):
        raise ProtocolError("facts that contradict each other")
    return facts


def _is_usable(value: Any, expected: tuple[type, ...]) -> bool:
    if not isinstance(value, expected) or (isinstance(value, bool) and bool not in expected):
        return False
    if isinstance(value, list):
        numbers = all(_is_usable(item, (int, float)) for item in value)
        return numbers and len(value) <= MAX_KEYFRAMES and value == sorted(value)
    if isinstance(value, str):
        return len(value) <= _MAX_SENTENCE
    return value is None or (isinstance(value, int | float) and 0 <= value <= LARGEST)


def _typed(value: Any, wanted: str) -> Any:
    """Convert a JSON value to the type of its field: JSON may write a float without a point."""
    if isinstance(value, list):
        return tuple(map(float, value))
    return float(value) if wanted == "float" else value
