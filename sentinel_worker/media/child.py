"""A decoding child: one request's media, parsed in a process that has nothing to lose.

Forked by the zygote, confined by `sandbox`, then it answers the worker's questions until the worker hangs up.
"""

from __future__ import annotations

import socket
import traceback
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import PIL.JpegImagePlugin
import torch

from sentinel_worker.errors import CodedError, Fatal, Permanent
from sentinel_worker.media import protocol, sandbox
from sentinel_worker.media.decode import decode_clips, resize_frame
from sentinel_worker.media.derive import write_thumbnails
from sentinel_worker.media.facts import ClipGeometry, MediaLimits
from sentinel_worker.media.probe import OpenedMedia, open_media, out_of_memory

_WARM_UP_GEOMETRY = ClipGeometry(1, 1.0, "squash", 4, 4, 4, 4)
_MAX_DETAIL = 4000


def warm_up() -> None:
    """Touch what every child needs, so that the zygote pays for it once."""
    PIL.JpegImagePlugin.jpeg_factory  # noqa: B018 imported for its registration
    resize_frame(torch.zeros(3, 8, 8, dtype=torch.uint8), _WARM_UP_GEOMETRY)


def run(
    connection: socket.socket,
    parent: int,
    path: Path,
    directory: Path,
    limits: MediaLimits,
    *,
    allow_network: bool,
) -> None:
    """Confine this process, then answer questions about the file at `path`."""
    session = _Session(connection, path, directory, limits)
    try:
        layers = sandbox.apply(limits, directory, allow_network=allow_network)
        sandbox.die_with_parent(parent)
    except (OSError, ValueError, sandbox.SandboxError) as error:
        session.fail(Fatal("sandbox_unavailable", f"A decoding child cannot be confined: {error}."))
        return
    session.say({"answer": "confined", "layers": layers})
    while (question := protocol.receive(connection)) is not None:
        session.answer(question)


class _Session:
    def __init__(self, connection: socket.socket, path: Path, directory: Path, limits: MediaLimits) -> None:
        self._connection = connection
        self._path = path
        self._directory = directory
        self._limits = limits
        self._media: OpenedMedia | None = None

    def answer(self, question: Mapping[str, Any]) -> None:
        try:
            self._dispatch(question)
        except CodedError as error:
            self.fail(error)
        except (BrokenPipeError, ConnectionResetError):
            raise
        except Exception as error:  # noqa: BLE001 whatever failed, the worker is told
            if out_of_memory(error):
                self.fail(_too_costly())
            else:
                detail = traceback.format_exc()[-_MAX_DETAIL:]
                self.say({"answer": "error", "class": "unexpected", "detail": detail})

    def _dispatch(self, question: Mapping[str, Any]) -> None:
        ask = question.get("ask")
        media = self._opened()
        if ask == "probe":
            self.say({"answer": "facts", "facts": asdict(media.facts)})
        elif ask == "clips":
            self._send_clips(media, question)
        elif ask == "derive":
            names = question["names"]
            write_thumbnails(media, self._directory, question["at_seconds"], names)
            self.say({"answer": "derived", "names": names})
        else:
            raise protocol.ProtocolError(f"an unknown question {ask!r}")

    def _opened(self) -> OpenedMedia:
        if self._media is None:
            self._media = open_media(self._path, self._limits)
        return self._media

    def _send_clips(self, media: OpenedMedia, question: Mapping[str, Any]) -> None:
        windows, geometry = protocol.read_clips_question(question)
        unreadable = 0
        for decoded in decode_clips(media, windows, geometry):
            unreadable += decoded.unreadable_frames
            frames = np.ascontiguousarray(decoded.clip.values)
            header = {"answer": "clip", "window": decoded.index, "shape": list(frames.shape)}
            self.say(header, frames.nbytes)
            self._connection.sendall(frames.data)
        self.say({"answer": "end", "unreadable_frames": unreadable})

    def say(self, message: Mapping[str, Any], payload_bytes: int = 0) -> None:
        self._connection.sendall(protocol.encode(message, payload_bytes))

    def fail(self, error: CodedError) -> None:
        self.say(protocol.error_answer(error))


def _too_costly() -> Permanent:
    return Permanent("media_too_large", "Decoding this file needs more memory than is allowed.")
