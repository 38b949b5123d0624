"""A decoding child: one request's media, parsed in a process that has nothing to lose.

The zygote forks it and `sandbox` confines it. Then it answers the worker's questions until the worker closes the
socket.
"""

from __future__ import annotations

import socket
import traceback
from collections.abc import Container, Iterable, Mapping
from dataclasses import asdict, astuple
from pathlib import Path
from typing import Any

import numpy as np
import torch

from sentinel_worker.confine import sandbox
from sentinel_worker.confine.layers import Limits, Mode, Walls
from sentinel_worker.domain.errors import CodedError, Fatal, Permanent
from sentinel_worker.domain.machine_errors import out_of_memory
from sentinel_worker.domain.media_facts import Clip, ClipGeometry, MediaLimits
from sentinel_worker.media import derived_protocol, pictures_for_people, protocol, stills
from sentinel_worker.media.centerface import SIDE_MULTIPLE, face_model
from sentinel_worker.media.containers import demuxer
from sentinel_worker.media.decode import DecodedClip, SkippedWindow, decode_clips, resize_frame
from sentinel_worker.media.face_clips import decode_faces
from sentinel_worker.media.opened_media import OpenedMedia
from sentinel_worker.media.pictures.formats import register_plugins
from sentinel_worker.media.previews.previews import make_preview
from sentinel_worker.media.probe import open_media
from sentinel_worker.media.scan import packets
from sentinel_worker.media.sound.clips import Unheard, decode_sounds

_WARM_UP_GEOMETRY = ClipGeometry(1, 1.0, "squash", 4, 4, 4, 4)
_MAX_DETAIL = 4000


def warm_up() -> None:
    """Load what every child needs, so that only the zygote pays for it."""
    register_plugins()
    demuxer.load_library()
    packets.load_pyav()
    face_model().find(np.zeros((3, SIDE_MULTIPLE, SIDE_MULTIPLE), dtype=np.uint8), 0.5)
    resize_frame(torch.zeros(3, 8, 8, dtype=torch.uint8), _WARM_UP_GEOMETRY)
    stills.warm_up()
    pictures_for_people.warm_up()


def run(
    connection: socket.socket,
    parent: int,
    path: Path,
    directory: Path,
    limits: MediaLimits,
    mode: Mode,
    profile: protocol.Profile,
) -> None:
    """Confine this process, then answer the questions of `profile` about the file at `path`."""
    session = _Session(connection, path, limits, protocol.QUESTIONS[profile])
    try:
        layers = sandbox.apply(_walls(directory, limits), mode=mode, parent=parent)
    except (OSError, ValueError, sandbox.SandboxError) as error:
        session.fail(Fatal("sandbox_unavailable", f"A decoding child cannot be confined: {error}."))
        return
    session.say({"answer": "confined", "layers": layers.in_force, "missing": layers.missing})
    while (question := protocol.receive(connection)) is not None:
        session.answer(question)


def _walls(directory: Path, limits: MediaLimits) -> Walls:
    """Walls of a child that reads only its own folder and writes nothing: its output goes through the socket.

    The kernel counts mapped memory, and the libraries of a CUDA build of torch map 3.5 GiB. The limit for the file is
    added to what is mapped already.
    """
    memory_bytes = sandbox.mapped_bytes() + limits.max_memory_bytes
    return Walls(directory, Limits(memory_bytes, limits.max_cpu_seconds), readable=(directory,))


class _Session:
    def __init__(
        self, connection: socket.socket, path: Path, limits: MediaLimits, questions: Container[object]
    ) -> None:
        self._connection = connection
        self._path = path
        self._limits = limits
        self._questions = questions
        self._media: tuple[OpenedMedia, stills.Stills] | None = None

    def answer(self, question: Mapping[str, Any]) -> None:
        try:
            self._dispatch(question)
        except CodedError as error:
            self.fail(error)
        except (BrokenPipeError, ConnectionResetError):
            raise
        except Exception as error:  # noqa: BLE001 any failure is reported to the worker
            if out_of_memory(error):
                self.fail(_too_costly())
            else:
                detail = traceback.format_exc()[-_MAX_DETAIL:]
                self.say({"answer": "error", "class": "unexpected", "detail": detail})

    def _dispatch(self, question: Mapping[str, Any]) -> None:
        ask = question.get("ask")
        if ask not in self._questions:
            raise protocol.ProtocolError(f"an unknown question {ask!r}")
        media, kept = self._opened()
        if ask == "probe":
            self.say({"answer": "facts", "facts": asdict(media.facts)})
        elif ask == "clips":
            windows, geometry, faces = protocol.read_clips_question(question)
            if faces is None:
                self._send(decode_clips(media, windows, geometry, kept))
            else:
                self._send(decode_faces(media, windows, geometry, faces, kept))
        elif ask == "sounds":
            self._send(decode_sounds(media, *protocol.read_sounds_question(question)))
        elif ask == "derive":
            for wanted in derived_protocol.read_derive_question(question):
                self._send_file("picture", pictures_for_people.webp(media, kept, wanted))
        elif ask == "preview":
            self._send_file("preview", make_preview(media, derived_protocol.read_preview_question(question)))

    def _opened(self) -> tuple[OpenedMedia, stills.Stills]:
        if self._media is None:
            media = open_media(self._path, self._limits)
            self._media = media, stills.Stills(media)
        return self._media

    def _send(self, answers: Iterable[DecodedClip | SkippedWindow | Unheard]) -> None:
        unreadable, unheard = 0, {}
        for answer in answers:
            if isinstance(answer, SkippedWindow):
                self.say({"answer": "skipped", "window": answer.index, "reason": answer.reason})
                continue
            if isinstance(answer, Unheard):
                unheard = {"unheard_seconds": answer.seconds}
                continue
            unreadable += answer.unreadable_frames
            self._send_clip(answer.index, answer.clip)
        self.say({"answer": "end", "unreadable_frames": unreadable, **unheard})

    def _send_clip(self, index: int, clip: Clip) -> None:
        values = np.ascontiguousarray(clip.values)
        header = {"answer": "clip", "window": index, "shape": list(values.shape), "dtype": values.dtype.name}
        if clip.face is not None:
            header["face"] = astuple(clip.face)
        if clip.heard is not None:
            header["heard"] = astuple(clip.heard)
        self.say(header, values.nbytes)
        self._connection.sendall(values.data)

    def _send_file(self, answer: str, content: bytes | memoryview) -> None:
        self.say({"answer": answer}, len(content))
        self._connection.sendall(content)

    def say(self, message: Mapping[str, Any], payload_bytes: int = 0) -> None:
        self._connection.sendall(protocol.encode(message, payload_bytes))

    def fail(self, error: CodedError) -> None:
        self.say(protocol.error_answer(error))


def _too_costly() -> Permanent:
    return Permanent("media_too_large", "Decoding this file needs more memory than is allowed.")
