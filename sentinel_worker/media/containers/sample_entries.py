"""Sample entries of an MP4 or QuickTime file's tracks: how their samples are coded, and which entries samples use."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import BinaryIO, Final

import numpy as np

from sentinel_worker.media.containers.boxes import MAX_BOXES, level, read_number, track_number, walk
from sentinel_worker.media.containers.samples import numbers

_OWN_ENTRY: Final = 0x02
"""Flag of a fragment whose samples do not use the track's default entry."""
_MAX_ENTRIES: Final = 1000


@dataclass(slots=True)
class TrackEntries:
    """Kinds of the sample entries of the track with this number.

    `used` are the numbers, from 1, of the entries that samples in the index name, `used_in_fragments` of those that
    fragments name.
    """

    number: int = 0
    kinds: list[bytes] = field(default_factory=list)
    used: set[int] = field(default_factory=set)
    used_in_fragments: set[int] = field(default_factory=set)

    @property
    def used_kinds(self) -> set[bytes]:
        """Kinds that samples use; the first if no sample names one."""
        if not self.used and not self.used_in_fragments:
            return set(self.kinds[:1])
        numbered = enumerate(self.kinds, start=1)
        return {kind for number, kind in numbered if number in self.used or number in self.used_in_fragments}


def sample_entries(path: Path) -> list[TrackEntries]:
    """Find the entries of each track."""
    tracks: list[TrackEntries] = []
    defaults: dict[int, int] = {}
    fragments: defaultdict[int, set[int]] = defaultdict(set)
    with path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        for kind, body, stop, is_entry in islice(_boxes(file, size), MAX_BOXES):
            if kind == b"trak" and not is_entry:
                tracks.append(TrackEntries())
            elif kind == b"trex":
                defaults[read_number(file, body + 4)] = read_number(file, body + 8)
            elif kind == b"tfhd":
                track = read_number(file, body + 4)
                fragments[track].add(_own_entry(file, body) or defaults.get(track, 1))
            elif tracks:
                _add(tracks[-1], file, kind, (body, stop), is_entry=is_entry)
    for each in tracks:
        each.used_in_fragments = fragments[each.number]
    return tracks


def _add(track: TrackEntries, file: BinaryIO, kind: bytes, body: tuple[int, int], *, is_entry: bool) -> None:
    if is_entry:
        track.kinds.append(kind)
    elif kind == b"tkhd":
        track.number = track_number(file, body[0])
    elif kind == b"stsc":
        named = numbers(file, body, 8, ">u4")[2::3]
        track.used.update(np.unique(named[named <= _MAX_ENTRIES]).tolist())


def _boxes(file: BinaryIO, size: int) -> Iterator[tuple[bytes, int, int, bool]]:
    """Yield every box, and after an `stsd` box the entries in it; the last value is True for these."""
    for kind, body, stop in walk(file, 0, size):
        yield kind, body, min(stop, size), False
        if kind == b"stsd":
            for entry, inside, end in level(file, body + 8, min(stop, size)):
                yield entry, inside, end, True


def _own_entry(file: BinaryIO, body: int) -> int:
    """Number of the entry that a fragment names in its `tfhd` box; 0 if it uses the default."""
    flags = read_number(file, body)
    return read_number(file, body + (16 if flags & 1 else 8)) if flags & _OWN_ENTRY else 0
