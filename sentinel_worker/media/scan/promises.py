"""Lengths that files promise, against the part of them that is there."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from av.container import InputContainer

from sentinel_worker.media.containers.cut_files import ends_early
from sentinel_worker.media.containers.sniff import tag_length
from sentinel_worker.media.containers.whole_files import is_whole
from sentinel_worker.media.scan.media_file import MediaFile
from sentinel_worker.media.scan.timeline import Packets, timeline_of

# A header may round, and tracks may end a little apart; a cut file misses more than this.
_CUT_SECONDS, _CUT_SHARE = 1.0, 0.02
_PROMISING: Final = frozenset(
    {"mov", "matroska", "flv", "asf", "flac", "mp3", "avi", "ape", "tta", "wv", "mpc", "mpc8"}
)
"""Demuxers whose length is written by the encoder; the others guess it from the bit rate or measure it."""
_OF_CHUNKS: Final = frozenset({"wav", "w64", "aiff", "caf", "au"})
"""Demuxers that take the length from the size of the file; the chunk of samples says what was promised."""
_FIRST_FRAME_BYTES: Final = 4096
_LENGTH_MARKS: Final = (b"Xing", b"Info", b"VBRI")


def is_cut(file: MediaFile, opened: InputContainer, table: Mapping[int, Packets]) -> bool:
    """True if the file ends before the length that it promises.

    Bytes decide where the structure counts them: a length in time may be false.
    """
    if file.demuxer in _OF_CHUNKS:
        return ends_early(file.path, file.begin_bytes)
    whole = is_whole(file.path, file.demuxer)
    if whole is not None:
        return not whole
    promised = _promised_seconds(file, opened)
    if promised is None:
        return False
    tracks = [timeline_of(packets, may_jump=False) for packets in table.values() if not packets.hidden.all()]
    # A length may count from 0 though a live recording begins hours later.
    begin = min((track.begin_seconds for track in tracks), default=0.0)
    promised -= begin if 0 < begin < promised else 0.0
    longest = max((track.duration_seconds for track in tracks), default=0.0)
    return promised - longest > max(_CUT_SECONDS, _CUT_SHARE * promised)


def _promised_seconds(file: MediaFile, opened: InputContainer) -> float | None:
    """Length of the longest stream in seconds by the header; None if it promises none."""
    if file.demuxer not in _PROMISING or (file.demuxer == "mp3" and not _counts_frames(file)):
        return None
    promised = [
        float(stream.duration * stream.time_base)
        for stream in opened.streams
        if stream.type in ("video", "audio") and stream.duration and stream.time_base
    ]
    return max(promised, default=opened.duration / 1e6 if opened.duration else None)


def _counts_frames(file: MediaFile) -> bool:
    """True if an MP3 file says how many frames it has; without that, its length is guessed from the bit rate."""
    with file.path.open("rb") as content:
        content.seek(file.begin_bytes)
        content.seek(tag_length(content.read(_FIRST_FRAME_BYTES)) + file.begin_bytes)
        first = content.read(_FIRST_FRAME_BYTES)
    return any(mark in first for mark in _LENGTH_MARKS)
