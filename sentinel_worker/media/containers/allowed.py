"""Containers that may be analyzed: one row for each, with the demuxer of FFmpeg that opens it and no other.

`sniff` names a file's container, and this table says what follows from the name. A container that is not here is
refused.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

Kind = Literal["film", "sound", "picture"]
"""A film may hold only sound, and a picture may move."""


@dataclass(frozen=True, slots=True)
class Container:
    """A container's kind, and FFmpeg's names for it.

    `demuxer` is the input format that PyAV is made to use, so that a file's content never chooses another.
    `also_probed` are other demuxers that FFmpeg may choose for such a file when it probes by itself, as it does under
    torchcodec.
    """

    kind: Kind
    demuxer: str
    also_probed: tuple[str, ...] = ()

    @property
    def probed(self) -> tuple[str, ...]:
        """Names of the demuxers that FFmpeg's own probe may choose for the container."""
        return (self.demuxer, *self.also_probed)


CONTAINERS: Final[dict[str, Container]] = {
    "mp4": Container("film", "mov"),
    "mov": Container("film", "mov"),
    "m4v": Container("film", "mov"),
    "m4a": Container("film", "mov"),
    "3gp": Container("film", "mov"),
    "matroska": Container("film", "matroska"),
    "webm": Container("film", "matroska"),
    "avi": Container("film", "avi"),
    "mpeg-ts": Container("film", "mpegts"),
    "mpeg-ps": Container("film", "mpeg"),
    "mpeg-video": Container("film", "mpegvideo"),
    "flv": Container("film", "flv"),
    "asf": Container("film", "asf"),
    "ogg": Container("film", "ogg"),
    "gif": Container("picture", "gif"),
    "apng": Container("picture", "apng", ("png_pipe",)),
    "wav": Container("sound", "wav"),
    "w64": Container("sound", "w64"),
    "flac": Container("sound", "flac"),
    "mp3": Container("sound", "mp3"),
    "aac": Container("sound", "aac"),
    "ac3": Container("sound", "ac3"),
    "eac3": Container("sound", "eac3"),
    "amr": Container("sound", "amr"),
    "aiff": Container("sound", "aiff"),
    "caf": Container("sound", "caf"),
    "au": Container("sound", "au"),
    "wavpack": Container("sound", "wv"),
    "ape": Container("sound", "ape"),
    "tta": Container("sound", "tta"),
    "mpc7": Container("sound", "mpc"),
    "mpc8": Container("sound", "mpc8"),
    "jpeg": Container("picture", "jpeg_pipe"),
    "png": Container("picture", "png_pipe"),
    "bmp": Container("picture", "bmp_pipe"),
    "tiff": Container("picture", "tiff_pipe"),
    "webp": Container("picture", "webp_pipe"),
    "avif": Container("picture", "mov"),
    "heic": Container("picture", "mov"),
    "jp2": Container("picture", "j2k_pipe"),
    "ico": Container("picture", "ico"),
}


@dataclass(frozen=True, slots=True)
class Sniffed:
    """Name of a file's container in `CONTAINERS`, and the place of a sound's first byte behind tags and junk.

    A demuxer that is told to skip `begin_bytes` (FFmpeg's option `skip_initial_bytes`) sees only the container.
    Demuxers of films search for their first packet themselves; for them it is 0.
    """

    container: str
    begin_bytes: int = 0
