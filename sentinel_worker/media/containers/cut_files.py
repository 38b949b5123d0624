"""Files that end before what their own structure promises: RIFF and its like, and ISO media."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import BinaryIO, Final, Literal

from sentinel_worker.media.containers.boxes import last_box_is_cut

_MAX_CHUNKS: Final = 100_000
# Programs that cannot seek back to the start of their output write these lengths.
_UNKNOWN_LENGTH: Final = 0xFFFFFFFF
_UNKNOWN_LENGTHS: Final = frozenset({0, _UNKNOWN_LENGTH, 0xFFFFFFFFFFFFFFFF})
# Some programs count the header as sound.
_SLACK_BYTES: Final = 64
_WAVE_64: Final = bytes.fromhex("726966662e91cf11a5d628db04c10000")
_DATA_64: Final = bytes.fromhex("64617461f3acd3118cd100c04f8edb8a")


@dataclass(frozen=True, slots=True)
class _Layout:
    """Chunks of a format: where the first is, how a length is written and counted, and the name of the sound's."""

    first: int
    order: Literal["little", "big"]
    sound: bytes
    name_bytes: int = 4
    length_bytes: int = 4
    aligned: int = 2
    counts_itself: bool = False


_RIFF: Final = _Layout(12, "little", b"data")
_LAYOUTS: Final = {
    b"RIFF": _RIFF,
    b"RF64": _RIFF,
    b"BW64": _RIFF,
    b"FORM": _Layout(12, "big", b"SSND"),
    b"caff": _Layout(8, "big", b"data", length_bytes=8, aligned=1),
    b"riff": _Layout(40, "little", _DATA_64, name_bytes=16, length_bytes=8, aligned=8, counts_itself=True),
}


def ends_early(path: Path, begin_bytes: int = 0) -> bool:
    """True if the file has fewer bytes than its structure promises from `begin_bytes` on.

    In sound files the chunk with the samples decides, not the length of the whole. False for other files.
    """
    with path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        file.seek(begin_bytes)
        head = file.read(24)
        if head[:4] == b".snd":
            start, length = (int.from_bytes(head[at : at + 4], "big") for at in (4, 8))
            return length not in _UNKNOWN_LENGTHS and begin_bytes + start + length > size + _SLACK_BYTES
        if head[:4] == b"RIFF" and head[8:12] != b"WAVE":
            promised = int.from_bytes(head[4:8], "little")
            return promised != _UNKNOWN_LENGTH and begin_bytes + promised + 8 > size
        layout = _LAYOUTS.get(head[:4])
        if layout is not None:
            return _sound_is_cut(file, begin_bytes, size, layout)
    return last_box_is_cut(path)


def _sound_is_cut(file: BinaryIO, begin: int, size: int, layout: _Layout) -> bool:
    """True if the sound's chunk overhangs the end of the file by more than a header, or does not come at all."""
    real_length = 0  # of the sound in a 64 bit file
    for name, start, length in islice(_chunks(file, begin + layout.first, size, layout), _MAX_CHUNKS):
        if name == b"ds64":
            file.seek(start + 8)
            real_length = int.from_bytes(file.read(8), "little")
        if name == layout.sound:
            promised = real_length if length in _UNKNOWN_LENGTHS else length
            return start + promised > size + _SLACK_BYTES
        if start + length > size:
            return True
    return False


def _chunks(file: BinaryIO, at: int, size: int, layout: _Layout) -> Iterator[tuple[bytes, int, int]]:
    """Yield each chunk's name, the start of its body and its promised length."""
    header = layout.name_bytes + layout.length_bytes
    while at + header <= size:
        file.seek(at)
        head = file.read(header)
        length = int.from_bytes(head[layout.name_bytes :], layout.order)
        if layout.counts_itself:
            length = max(length - header, 0)
        yield head[: layout.name_bytes], at + header, length
        at += header + length + -length % layout.aligned
