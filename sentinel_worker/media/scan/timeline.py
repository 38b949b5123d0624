"""Times of a track's packets on the track's own clock, which starts at 0 and never runs back.

Containers may begin their timestamps anew (joined recordings, HLS discontinuities, cells of a DVD), leave them out, or
say nothing about durations. Players continue through all of that, so the analysis does too. Pure: no file is read.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Final

import numpy as np
import numpy.ma  # numpy imports it for a median, when a confined child cannot import any more
import numpy.typing as npt

MISSING: Final = np.iinfo(np.int64).min
"""Timestamp of a packet that has none."""
MAX_SECONDS: Final = 1e8
"""Times and lengths beyond this (three years) are damage."""

# Decoding time never runs back in one recording, but muxers round it; presentation times go back by the reordering.
_BACK_SECONDS: Final = 0.25
_BACK_SECONDS_BY_PRESENTATION: Final = 1.0
MAY_JUMP: Final = frozenset({"mpegts", "mpeg"})
"""Demuxers of streams that are joined and cut without new timestamps: a jump is a splice, not a pause."""
JUMP_SECONDS: Final = 10.0
"""Shortest jump ahead in these that is a splice, as for FFmpeg's command (`-dts_delta_threshold`)."""
_ENOUGH_FRAMES: Final = 3

Seconds = npt.NDArray[np.floating[Any]]
Stamps = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class Packets:
    """One stream's packets in file order.

    `presentation`, `decoding` and `duration` are in units of `unit_seconds`; an unknown timestamp is `MISSING`, an
    unknown duration 0. `key` marks the packets at which decoding can begin, `hidden` those that are decoded and not
    played (cut off by an edit list). `size` is in bytes.
    """

    presentation: Stamps
    decoding: Stamps
    duration: Stamps
    key: npt.NDArray[np.bool_]
    hidden: npt.NDArray[np.bool_]
    size: npt.NDArray[np.int32]
    unit_seconds: float

    def __len__(self) -> int:
        return len(self.presentation)


@dataclass(frozen=True, slots=True, eq=False)
class Timeline:
    """Times of a track's packets, in seconds from the first one that is played.

    `starts` and `ends` are in file order; those of hidden packets mean nothing. `begins` holds the first packet of each
    segment: a run of packets whose timestamps belong together. `begin_seconds` is the container's time of the first
    packet that is played. `has_stamps` is False if packets lacked timestamps, so that their starts are estimates.
    """

    starts: Seconds
    ends: Seconds
    begins: tuple[int, ...]
    begin_seconds: float
    duration_seconds: float
    has_stamps: bool


def timeline_of(packets: Packets, *, may_jump: bool) -> Timeline:
    """Lay the packets out on one clock. `may_jump` is True for formats whose timestamps may jump ahead (MPEG-TS, -PS).

    Every segment follows the one before it without a gap. A gap of timestamps inside a segment stays: a picture may be
    on screen for minutes. At least one packet has to be played.
    """
    starts, ends = np.zeros(len(packets)), np.zeros(len(packets))
    begins = _breaks(packets, may_jump=may_jump)
    begin_seconds: float | None = None
    offset = 0.0
    for begin, end in pairwise((*begins, len(packets))):
        part = slice(begin, end)
        played = ~packets.hidden[part]
        if not played.any():
            continue
        own_starts, own_ends = _segment(packets, part)
        first = float(own_starts[played].min())
        begin_seconds = first if begin_seconds is None else begin_seconds
        starts[part], ends[part] = own_starts - first + offset, own_ends - first + offset
        offset = float(ends[part][played].max())
    assert begin_seconds is not None
    has_stamps = bool((packets.presentation != MISSING).all())
    return Timeline(starts, ends, begins, begin_seconds, offset, has_stamps)


def rate_of(starts: Seconds, duration_seconds: float) -> float:
    """Mean number of frames per second, of pictures that appear at `starts` (sorted); 0 without a length.

    The last picture may be on screen for any time, so it does not count if there are enough others.
    """
    if len(starts) >= _ENOUGH_FRAMES and starts[-1] > starts[0]:
        return (len(starts) - 1) / float(starts[-1] - starts[0])
    return len(starts) / duration_seconds if duration_seconds > 0 else 0.0


def _breaks(packets: Packets, *, may_jump: bool) -> tuple[int, ...]:
    """First packets of the segments."""
    decoded = packets.decoding != MISSING
    clock = np.where(decoded, packets.decoding, packets.presentation)
    (known,) = np.nonzero(clock != MISSING)
    # As floating point: timestamps at the two ends of int64 are further apart than it counts.
    steps = np.diff(clock[known].astype(np.float64)) * packets.unit_seconds
    by_decoding = decoded[known[1:]] & decoded[known[:-1]]
    broken = steps < np.where(by_decoding, -_BACK_SECONDS, -_BACK_SECONDS_BY_PRESENTATION)
    if may_jump:
        broken |= steps > JUMP_SECONDS
    return (0, *(int(packet) for packet in known[1:][broken]))


def _segment(packets: Packets, part: slice) -> tuple[Seconds, Seconds]:
    """Start and end of each packet by the container's clock."""
    stamps = packets.presentation[part]
    if (stamps == MISSING).all():
        stamps = packets.decoding[part]
    lasting = packets.duration[part] * packets.unit_seconds
    (known,) = np.nonzero(stamps != MISSING)
    if not len(known):
        starts = np.concatenate(([0.0], np.cumsum(lasting)[:-1]))
    elif len(known) == len(stamps):
        starts = stamps * packets.unit_seconds
    else:
        starts = _interpolated(known, stamps[known] * packets.unit_seconds, lasting)
    return starts, starts + _lengths(starts, lasting)


def _interpolated(known: npt.NDArray[np.intp], at: Seconds, lasting: Seconds) -> Seconds:
    """Starts of all packets, those without a timestamp evenly between their neighbours that have one.

    Before the first and after the last known timestamp, packets follow each other by their durations, or else by the
    mean distance.
    """
    count = len(lasting)
    starts = np.interp(np.arange(count), known, at)
    mean_distance = float(at[-1] - at[0]) / max(int(known[-1] - known[0]), 1)
    step = float(np.median(lasting[lasting > 0])) if lasting.any() else mean_distance
    after = np.arange(1, count - known[-1])
    starts[known[-1] + 1 :] = at[-1] + step * after
    before = np.arange(known[0], 0, -1)
    starts[: known[0]] = at[0] - step * before
    return starts


def _lengths(starts: Seconds, lasting: Seconds) -> Seconds:
    """Length of each packet: until the next start. The last one has its own, or else the usual length.

    A container states durations in decoding order, so a packet's own says nothing about its picture if the two orders
    differ.
    """
    order = np.argsort(starts, kind="stable")
    steps = np.diff(starts[order])
    positive = steps[steps > 0]
    usual = float(np.median(positive)) if len(positive) else 0.0
    last, in_order = order[-1], bool((order == np.arange(len(order))).all())
    own = float(lasting[last])
    lengths = np.empty(len(starts))
    lengths[order] = np.concatenate((steps, [own if own > 0 and (in_order or not usual) else usual]))
    return lengths
