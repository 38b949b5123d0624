"""Files that end before what their own structure promises: RIFF and its like, and ISO media."""

from __future__ import annotations

import os
from itertools import islice
from pathlib import Path
from typing import BinaryIO, Final

from sentinel_worker.media.containers.boxes import last_box_is_cut
from sentinel_worker.media.containers.chunks import MAX_CHUNKS, RIFF, Layout, chunks

# Programs that cannot seek back to the start of their output write these lengths.
_UNKNOWN_LENGTH: Final = 0xFFFFFFFF
_UNKNOWN_LENGTHS: Final = frozenset({0, _UNKNOWN_LENGTH, 0xFFFFFFFFFFFFFFFF})
# Some programs count the header as sound.
_SLACK_BYTES: Final = 64
_WAVE_64: Final = bytes.fromhex("726966662e91cf11a5d628db04c10000")
_DATA_64: Final = bytes.fromhex("64617461f3acd3118cd100c04f8edb8a")
_LAYOUTS: Final = {
    b"RIFF": RIFF,
    b"RF64": RIFF,
    b"BW64": RIFF,
    b"FORM": Layout(12, "big", b"SSND"),
    b"caff": Layout(8, "big", b"data", length_bytes=8, aligned=1),
    b"riff": Layout(40, "little", _DATA_64, name_bytes=16, length_bytes=8, aligned=8, counts_itself=True),
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


def _sound_is_cut(file: BinaryIO, begin: int, size: int, layout: Layout) -> bool:
    """True if the sound's chunk overhangs the end of the file by more than a header, or does not come at all."""
    real_length = 0  # of the sound in a 64 bit file
    for name, start, length in islice(chunks(file, begin + layout.first, size, layout), MAX_CHUNKS):
        if name == b"ds64":
            file.seek(start + 8)
            real_length = int.from_bytes(file.read(8), "little")
        if name == layout.sound:
            promised = real_length if length in _UNKNOWN_LENGTHS else length
            return start + promised > size + _SLACK_BYTES
        if start + length > size:
            return True
    return False
