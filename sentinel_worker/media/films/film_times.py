"""When the frames of a film are on screen, and from which packets they are decoded. Pure: no file is read."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final, Self

import numpy as np
import numpy.typing as npt

from sentinel_worker.media.scan.timeline import Packets, Seconds, Timeline, rate_of, timeline_of

# Fields are half a frame apart, frames a whole one; timestamps are rounded.
_SAME_FRAME: Final = 0.75
ROUNDING_SECONDS: Final = 1e-4
"""Times that differ by less are the same: timestamps are exact, but they went through seconds as floating point."""

Numbers = npt.NDArray[np.intp]


@dataclass(frozen=True, slots=True, eq=False)
class FilmTimes:
    """The frames of a film in the order in which they are shown.

    Frame `i` is on screen in `[starts[i], starts[i + 1])`, the last one until `duration_seconds`, and comes from packet
    `numbers[i]`. `keys` are the packets from which decoding can begin, in file order. `packet_starts` has the start of
    every packet, also of those that are not shown. `begin_seconds` is the container's time of the first frame.
    """

    starts: Seconds
    numbers: Numbers
    keys: Numbers
    packet_starts: Seconds
    duration_seconds: float
    begin_seconds: float
    segments: int
    has_stamps: bool

    @classmethod
    def of(cls, packets: Packets, *, may_jump: bool) -> Self | None:
        """Work the times out; None if no packet is shown.

        Packets before the first key frame of the file are hidden, as players drop them; empty ones repeat the picture
        before them.
        """
        (keys,) = np.nonzero(packets.key)
        if not len(keys):
            keys = np.array([0], dtype=np.intp)
        hidden = packets.hidden | (packets.size == 0)
        hidden[: keys[0]] = True
        shown = replace(packets, hidden=hidden)
        if hidden.all():
            return None
        return cls._of(shown, timeline_of(shown, may_jump=may_jump), keys)

    @classmethod
    def _of(cls, packets: Packets, timeline: Timeline, keys: Numbers) -> Self:
        (played,) = np.nonzero(~packets.hidden)
        numbers = played[np.argsort(timeline.starts[played], kind="stable")]
        return cls(
            timeline.starts[numbers],
            numbers,
            keys,
            timeline.starts,
            timeline.duration_seconds,
            timeline.begin_seconds,
            len(timeline.begins),
            timeline.has_stamps,
        )

    @property
    def frames_per_second(self) -> float:
        """Mean rate (`timeline.rate_of`)."""
        return rate_of(self.starts, self.duration_seconds)

    @property
    def key_seconds(self) -> Seconds:
        """Times at which decoding can begin, sorted."""
        return np.unique(np.maximum(self.packet_starts[self.keys], 0.0))

    def index_at(self, seconds: float) -> int:
        """Index of the frame on screen at `seconds`; outside the film, that of its first or last frame."""
        return max(int(np.searchsorted(self.starts, seconds, side="right")) - 1, 0)

    def end_of(self, index: int) -> float:
        """Time at which frame `index` leaves the screen."""
        return float(self.starts[index + 1]) if index + 1 < len(self.starts) else self.duration_seconds

    def key_before(self, number: int) -> int:
        """The packet from which packet `number` can be decoded: the last key before it that is not shown later."""
        return int(self.keys_before(number)[-1])

    def keys_before(self, number: int) -> Numbers:
        """The packets from which packet `number` can be decoded, in file order; there is always one."""
        before = self.keys[: np.searchsorted(self.keys, number, side="right")]
        earlier = before[self.packet_starts[before] <= self.packet_starts[number]]
        return earlier if len(earlier) else self.keys[:1]

    def thinned(self, frame_seconds: float) -> Self:
        """The same film with frames at least `frame_seconds` apart: two field packets make one frame."""
        kept, last = [], -np.inf
        for place, start in enumerate(self.starts):
            if start - last >= _SAME_FRAME * frame_seconds:
                kept.append(place)
                last = float(start)
        return replace(self, starts=self.starts[kept], numbers=self.numbers[kept])
