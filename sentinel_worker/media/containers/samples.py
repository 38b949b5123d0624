"""Samples that the index of an MP4 or QuickTime file promises beyond the end of the file."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import BinaryIO, Final

import numpy as np
import numpy.typing as npt

from sentinel_worker.media.containers.boxes import MAX_BOXES, read, read_number, track_number, walk

_MEDIA: Final = frozenset({b"vide", b"soun"})
_TABLES: Final = frozenset({b"stsz", b"stz2", b"stsc", b"stco", b"co64"})
_MAX_TABLE_BYTES: Final = 256 * 1024**2


@dataclass(slots=True)
class _Track:
    """A track's number and handler, and the start and end of each of its tables; of two of a kind, the last."""

    number: int = 0
    handler: bytes = b""
    tables: dict[bytes, tuple[int, int]] = field(default_factory=dict)


def missing_shares(path: Path) -> dict[int, float]:
    """Share of the samples of each video and sound track, by its number, that lie beyond the end of the file, 0 to 1.

    An index that comes first survives a cut, and FFmpeg believes it. Fragments are not counted: their index is cut
    with them.
    """
    found: dict[int, float] = {}
    with path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        for track in _tracks(file, size):
            share = _missing_share(file, track.tables, size) if track.handler in _MEDIA else None
            if share is not None:
                found[track.number] = share
    return found


def _tracks(file: BinaryIO, size: int) -> list[_Track]:
    tracks: list[_Track] = []
    for kind, body, stop in islice(walk(file, 0, size), MAX_BOXES):
        if kind == b"trak":
            tracks.append(_Track())
        if not tracks:
            continue
        track = tracks[-1]
        if kind == b"tkhd":
            track.number = track_number(file, body)
        elif kind == b"hdlr" and not track.handler:
            track.handler = read(file, body + 8, 4)
        elif kind in _TABLES:
            track.tables[kind] = (body, min(stop, size))
    return tracks


def _missing_share(file: BinaryIO, tables: dict[bytes, tuple[int, int]], size: int) -> float | None:
    """Share of one track; None if one of its three tables is missing or empty."""
    sizes, offsets = tables.get(b"stsz"), tables.get(b"stco") or tables.get(b"co64")
    if sizes is None or offsets is None or b"stsc" not in tables:
        return None
    places = numbers(file, offsets, 8, ">u8" if b"co64" in tables else ">u4")
    runs = numbers(file, tables[b"stsc"], 8, ">u4")
    runs = runs[: len(runs) // 3 * 3].reshape(-1, 3)
    if not len(places) or not len(runs):
        return None
    run = np.searchsorted(np.maximum.accumulate(runs[:, 0]), np.arange(1, len(places) + 1), side="right") - 1
    counts = runs[run.clip(0), 1]
    equal = read_number(file, sizes[0] + 4)
    if equal:
        kept = ((size - places) // equal).clip(0, counts)
        return 1 - float(kept.sum()) / max(float(counts.sum()), 1.0)
    lengths = numbers(file, sizes, 12, ">u4")
    upto = np.cumsum(counts)
    lengths = lengths[: int(upto[-1])]
    if not len(lengths):
        return None
    chunk = np.searchsorted(upto, np.arange(len(lengths)), side="right")
    ends = np.cumsum(lengths)
    first = (upto - counts)[chunk]
    in_chunk = ends - (ends - lengths)[first]
    return float(np.mean(places[chunk] + in_chunk > size))


def numbers(file: BinaryIO, body: tuple[int, int], skip: int, kind: str) -> npt.NDArray[np.int64]:
    """Numbers of the numpy type `kind` in a table, from `skip` bytes after the start of its body on."""
    start, stop = body[0] + skip, min(body[1], body[0] + _MAX_TABLE_BYTES)
    content = read(file, start, max(stop - start, 0))
    width = np.dtype(kind).itemsize
    return np.frombuffer(content[: len(content) // width * width], kind).astype(np.int64)
