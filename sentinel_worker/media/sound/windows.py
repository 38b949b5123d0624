"""Windows of sound, cut out of the running stream of a track's frames.

A window holds the samples that one resampler for the whole track would give. It has a resampler of its own, which
begins on a full second of the track, where both are in step, and early enough to have the same past.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import takewhile
from typing import Final

import numpy as np
from av.audio.frame import AudioFrame

from sentinel_worker.domain.media_facts import SoundGeometry
from sentinel_worker.domain.windows import Window
from sentinel_worker.media.sound.decoding import Stretch
from sentinel_worker.media.sound.mixing import Converter, Samples, resampled, to_mono

# The filter of FFmpeg's resampler reaches 16 samples of the lower rate to both sides.
_MARGIN_SECONDS: Final = 0.1
# Packets hold up to 50 ms that no decoder gives out (its delay, padding), so a track may end before its packets do.
_LEAD_SECONDS: Final = 0.1


@dataclass(frozen=True, slots=True, eq=False)
class CutWindow:
    """Mono sound of a window, float32 [samples], with zeros for what could not be decoded.

    A window that overhangs the track by less than a tenth of a second begins as much earlier; one that overhangs it
    further is shorter than was asked for. `heard` counts the samples that were decoded. `channel` is the number, from
    1, of the only channel that was taken. `is_damaged` is True if more than half of the window could not be decoded.
    """

    index: int
    samples: Samples
    heard: int
    channel: int | None
    is_damaged: bool


def cut_windows(
    frames: Iterable[tuple[Stretch, AudioFrame]], windows: Sequence[Window], geometry: SoundGeometry
) -> Iterator[CutWindow]:
    """Yield the windows by their starts, and take no frame after the last one is complete.

    Memory holds the sound of the windows that have begun and are not complete.
    """
    by_start = sorted(enumerate(windows), key=lambda pair: pair[1].start_seconds)
    waiting = deque(_OpenWindow(index, window, geometry) for index, window in by_start)
    stretch, converter, offset = None, None, 0
    for continued, frame in frames:
        if continued is not stretch:
            stretch, converter, offset = continued, None, 0
            for window in waiting:
                window.enter(stretch)
        takers = _takers(waiting, offset, offset + frame.samples)
        if takers:
            converter = converter or Converter(stretch)
            samples = converter.samples(frame)
            for window in takers:
                window.take(offset, samples)
        offset += frame.samples
        while waiting and waiting[0].is_complete:
            yield waiting.popleft().cut()
        if not waiting:
            return
    for window in waiting:
        yield window.cut()


def _takers(waiting: Iterable[_OpenWindow], begin: int, end: int) -> list[_OpenWindow]:
    """Return the windows that need a sample of the stretch in [begin, end)."""
    begun = takewhile(lambda window: window.low < end, waiting)
    return [window for window in begun if begin < window.high]


class _OpenWindow:
    """A window that collects its sound from the frames that pass, and a little of the sound before it.

    `low` and `high` bound the samples that it needs of the current stretch, counted from the stretch's first.
    """

    def __init__(self, index: int, window: Window, geometry: SoundGeometry) -> None:
        self._index = index
        self._rate = geometry.sample_rate
        begin = round(window.start_seconds * self._rate)
        self._lead = min(begin, round(_LEAD_SECONDS * self._rate))
        self._first = begin - self._lead
        self._named = min(geometry.samples, max(1, round(window.duration_seconds * self._rate)))
        self._is_heard = np.zeros(self._lead + geometry.samples, dtype=np.bool_)
        self._parts: list[tuple[int, Samples, str]] = []
        self._collected: list[Samples] = []
        self._stretch: Stretch | None = None
        self._base = 0
        self.low = self.high = 0
        self.is_complete = False

    def enter(self, stretch: Stretch) -> None:
        """Go on with a new stretch."""
        self._leave()
        if self.is_complete:
            return
        self._stretch = stretch
        # Counted at the wanted rate from the first sample of the track, like `_first` and `_base`.
        begin = round(stretch.start_seconds * self._rate)
        end = self._first + len(self._is_heard)
        if end <= begin:
            self.low = self.high = 0
            self.is_complete = True
            return
        second = max(0, math.floor((self._first - begin) / self._rate - _MARGIN_SECONDS))
        self._base = begin + second * self._rate
        self.low = second * stretch.rate
        self.high = math.ceil(((end - begin) / self._rate + _MARGIN_SECONDS) * stretch.rate)

    def take(self, offset: int, samples: Samples) -> None:
        """Keep what the window needs of a frame, float32 [samples, channels], at `offset` in the stretch."""
        self._collected.append(samples[max(0, self.low - offset) : self.high - offset])
        if offset + len(samples) >= self.high:
            self._leave()
            self.is_complete = True

    def cut(self) -> CutWindow:
        """Return the window as far as it was collected."""
        self._leave()
        known = np.flatnonzero(self._is_heard)
        end = len(self._is_heard) if self.is_complete or not len(known) else int(known[-1]) + 1
        overhang = len(self._is_heard) - end
        begin = self._lead - overhang if overhang <= self._lead else self._lead
        is_heard = self._is_heard[begin : begin + len(self._is_heard) - self._lead]
        missing = int(np.count_nonzero(~is_heard[: self._named]))
        heard = int(np.count_nonzero(is_heard))
        samples, channel = self._mixed(begin, max(begin, min(end, begin + len(is_heard))))
        is_damaged = missing > max(1, self._named / 2)  # rounding may cost a sample
        return CutWindow(self._index, samples, heard, channel, is_damaged)

    def _leave(self) -> None:
        """Resample what was collected of the current stretch."""
        if not self._collected or self._stretch is None:
            return
        samples = resampled(np.concatenate(self._collected), self._stretch.rate, self._rate)
        self._collected.clear()
        skipped = max(0, self._first - self._base)
        place = max(0, self._base - self._first)
        part = samples[skipped : skipped + len(self._is_heard) - place]
        self._parts.append((place, part, self._stretch.layout))
        self._is_heard[place : place + len(part)] = True

    def _mixed(self, begin: int, end: int) -> tuple[Samples, int | None]:
        """Return a part of the sound as one channel; stretches of different layouts are mixed one by one."""
        parts = self._parts
        if len({layout for _, _, layout in parts}) > 1:
            parts = [(place, to_mono(samples, layout)[0][:, None], "mono") for place, samples, layout in parts]
        if not parts:
            return np.zeros(end - begin, dtype=np.float32), None
        whole = np.zeros((len(self._is_heard), parts[0][1].shape[1]), dtype=np.float32)
        for place, samples, _ in parts:
            whole[place : place + len(samples)] = samples
        return to_mono(whole[begin:end], parts[0][2])
