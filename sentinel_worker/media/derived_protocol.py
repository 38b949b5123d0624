"""Questions for derived media between the worker and a child (`protocol`), and the checks of their answers.

To `derive` the child answers with a `picture` (WebP) for each that is wanted, to `preview` with one `preview` (MP4).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, astuple
from typing import Any, Final

from sentinel_worker.domain.derived import Filmstrip, Picture, PreviewLimits, Still
from sentinel_worker.domain.media_facts import Face
from sentinel_worker.domain.windows import Window
from sentinel_worker.media.protocol import ProtocolError

DERIVED_NAME: Final = re.compile(r"[a-z0-9][a-z0-9_-]{0,60}\.(webp|mp4)")
MAX_PICTURE_BYTES: Final = 4 * 1024**2
"""Limit of one picture; the largest filmstrip is a quarter of it."""

_HEAD_BYTES: Final = 12
_RIFF, _WEBP, _BOX_TYPE = slice(0, 4), slice(8, 12), slice(4, 8)


def derive_question(wanted: Sequence[Picture]) -> dict[str, Any]:
    """Ask for pictures."""
    return {"ask": "derive", "pictures": [_described(picture) for picture in wanted]}


def read_derive_question(message: Mapping[str, Any]) -> Iterator[Picture]:
    """Yield the pictures of a `derive` question."""
    for entry in message["pictures"]:
        if "strip" in entry:
            yield Filmstrip(tuple(Window(*span) for span in entry["strip"]))
        else:
            window = Window(*entry["window"]) if entry["window"] is not None else None
            faces = tuple(Face(*face) for face in entry["faces"])
            yield Still(entry["at_seconds"], window, faces, entry["worst"])


def preview_question(limits: PreviewLimits) -> dict[str, Any]:
    """Ask for a preview."""
    return {"ask": "preview", "limits": asdict(limits)}


def read_preview_question(message: Mapping[str, Any]) -> PreviewLimits:
    """Return the limits of a `preview` question."""
    return PreviewLimits(**message["limits"])


def picture_bytes(answer: Mapping[str, Any]) -> int:
    """Return the length of the picture that `answer` announces."""
    return _bounded(answer, MAX_PICTURE_BYTES)


def preview_bytes(answer: Mapping[str, Any], limits: PreviewLimits) -> int:
    """Return the length of the preview that `answer` announces."""
    return _bounded(answer, limits.max_bytes)


def check_form(name: str, content: bytes | bytearray) -> None:
    """Refuse a derived file that begins like something else than its `name` says."""
    if not DERIVED_NAME.fullmatch(name):
        raise ProtocolError("not the name of a derived file")
    is_webp = content[_RIFF] == b"RIFF" and content[_WEBP] == b"WEBP"
    if not (is_webp if name.endswith(".webp") else content[_BOX_TYPE] == b"ftyp"):
        raise ProtocolError(f"something else than {name}")


def _described(picture: Picture) -> dict[str, Any]:
    if isinstance(picture, Filmstrip):
        return {"strip": [_span(window) for window in picture.windows]}
    return {
        "at_seconds": picture.at_seconds,
        "window": None if picture.window is None else _span(picture.window),
        "faces": [astuple(face) for face in picture.faces],
        "worst": picture.worst,
    }


def _span(window: Window) -> list[float]:
    return [window.start_seconds, window.end_seconds]


def _bounded(answer: Mapping[str, Any], limit: int) -> int:
    size: int = answer["payload_bytes"]
    if not _HEAD_BYTES < size <= limit:
        raise ProtocolError(f"a derived file of {size} bytes")
    return size
