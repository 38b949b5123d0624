"""Conversion of decoded sound: to floating point, to another sampling rate, and to one channel.

FFmpeg's resampler does it, in graphs without threads of their own. Runs in a decoding child.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import cache
from typing import Any, Final

import av
import numpy as np
import numpy.typing as npt
from av.audio.frame import AudioFrame
from av.audio.layout import AudioLayout
from av.filter import Graph

from sentinel_worker.domain.errors import Permanent
from sentinel_worker.media.sound.decoding import Stretch

Samples = npt.NDArray[np.float32]

MAX_CHANNELS: Final = 64
"""Channels that FFmpeg's resampler takes."""
# A tenth of the amplitude. Speech in one of two channels loses 6 dB in the mix, in a surround channel of 7.1 19 dB.
_CANCELLED_DECIBELS: Final = 20.0
_ALIKE_DECIBELS: Final = 1.0
# FFmpeg's resampler gives nothing of sound that is shorter than its filter, in samples of the lower rate.
_FILTER_SAMPLES: Final = 48
# FFmpeg takes these for files that do not name their channels.
_USUAL_LAYOUTS: Final = ("mono", "stereo", "2.1", "4.0", "5.0", "5.1", "6.1", "7.1")


class Converter:
    """Converts the frames of a stretch to float32 [samples, channels]."""

    def __init__(self, stretch: Stretch) -> None:
        if stretch.channels > MAX_CHANNELS:
            raise Permanent(
                "media_not_supported",
                f"The sound has {stretch.channels} channels; at most {MAX_CHANNELS} are supported.",
                params={"limit": MAX_CHANNELS},
            )
        self._channels = stretch.channels
        self._graph = _graph(stretch.rate, stretch.layout, stretch.sample_format)

    def samples(self, frame: AudioFrame) -> Samples:
        """Return the frame's samples; NaN and infinity, which a file may hold, become 0 and full scale."""
        frame.pts = None  # may be any number
        self._graph.push(frame)
        nothing = np.zeros((0, self._channels), dtype=np.float32)
        found: Samples = np.concatenate([nothing, *_pulled(self._graph, self._channels)])
        return np.nan_to_num(found, copy=False, posinf=1.0, neginf=-1.0)


class StereoConverter:
    """Converts the frames of a stretch to float32 [samples, 2] at another rate, without seams between the frames.

    The channels of surround sound are mixed to one, which both sides get.
    """

    def __init__(self, stretch: Stretch, wanted: int) -> None:
        self._converter = Converter(stretch)
        self._stretch = stretch
        self._graph = _graph(stretch.rate, "stereo", "flt", sample_rates=str(wanted))

    def samples(self, frame: AudioFrame) -> Samples:
        """Return what the resampler gives after the frame; it holds a few milliseconds back."""
        both = _in_stereo(self._converter.samples(frame), self._stretch.layout)
        nothing = np.zeros((0, 2), dtype=np.float32)
        if not len(both):
            return nothing
        mixed = AudioFrame.from_ndarray(np.ascontiguousarray(both).reshape(1, -1), "flt", "stereo")
        mixed.sample_rate = self._stretch.rate
        self._graph.push(mixed)
        found: Samples = np.concatenate([nothing, *_pulled(self._graph, 2)])
        return np.clip(found, -1, 1, out=found)


def _in_stereo(samples: Samples, layout: str) -> Samples:
    channels = samples.shape[1]
    if channels == 2:  # noqa: PLR2004 both sides
        return samples
    mono = samples if channels == 1 else (samples @ _weights(layout, channels))[:, None]
    return np.repeat(mono, 2, axis=1)


def resampled(samples: Samples, rate: int, wanted: int) -> Samples:
    """Resample float32 [samples, channels]; the first sample stays in its place."""
    if rate == wanted or not len(samples):
        return samples
    shortest = math.ceil(_FILTER_SAMPLES * max(1.0, rate / wanted))
    if len(samples) < shortest:
        padded = np.pad(samples, ((0, shortest - len(samples)), (0, 0)))
        return resampled(padded, rate, wanted)[: round(len(samples) * wanted / rate)]
    channels = samples.shape[1]
    layout = f"{channels} channels"
    frame = AudioFrame.from_ndarray(np.ascontiguousarray(samples).reshape(1, -1), "flt", layout)
    frame.sample_rate = rate
    graph = _graph(rate, layout, "flt", sample_rates=str(wanted))
    graph.push(frame)
    graph.push(None)
    return np.concatenate([samples[:0], *_pulled(graph, channels)])


def to_mono(samples: Samples, layout: str) -> tuple[Samples, int | None]:
    """Mix float32 [samples, channels], or pick a channel; also returns that channel's number, from 1.

    Channels may cancel each other out: if the mix is far quieter than the loudest channel, that channel says more.
    """
    if samples.shape[1] == 1:
        return samples[:, 0], None
    mix: Samples = samples @ _weights(layout, samples.shape[1])
    levels = [level_decibels(samples[:, channel]) for channel in range(samples.shape[1])]
    loudest = max(levels)
    if loudest - level_decibels(mix) <= _CANCELLED_DECIBELS:
        return mix, None
    # The first of those that are about as loud, so that windows of a track do not differ by chance.
    chosen = next(number for number, level in enumerate(levels) if level > loudest - _ALIKE_DECIBELS)
    return samples[:, chosen], chosen + 1


def level_decibels(samples: Samples) -> float:
    """Root mean square in decibels, 0 for a full square wave."""
    power = float(np.mean(np.square(samples, dtype=np.float64))) if len(samples) else 0.0
    return 10 * float(np.log10(max(power, 1e-20)))


@cache
def _weights(layout: str, channels: int) -> Samples:
    """Weight of each channel in the mix to mono: FFmpeg's, scaled so that no mix exceeds full scale.

    Without a layout that FFmpeg knows, all channels weigh the same.
    """
    equal = np.full(channels, 1 / channels, dtype=np.float32)
    if layout == f"{channels} channels":
        if channels > len(_USUAL_LAYOUTS):
            return equal
        layout = _USUAL_LAYOUTS[channels - 1]
    try:
        # In frame n of the unit matrix only channel n sounds.
        unit = AudioFrame.from_ndarray(np.eye(channels, dtype=np.float32).reshape(1, -1), "flt", AudioLayout(layout))
        unit.sample_rate = 48_000
        graph = _graph(48_000, layout, "flt", channel_layouts="mono")
        graph.push(unit)
        weights: Samples = np.concatenate([*_pulled(graph, 1)])[:, 0]
    except (av.FFmpegError, ValueError):
        return equal
    return weights / max(1.0, float(np.abs(weights).sum()))


def _graph(rate: int, layout: str, sample_format: str, **wanted: str) -> Graph:
    """Make a graph from frames of this kind to packed float32, with one thread: a child starts none.

    Packed, because PyAV reads past the end of planar frames with eight channels or more.
    """
    graph = Graph()
    graph.threads = 1
    source = graph.add(
        "abuffer", sample_rate=str(rate), sample_fmt=sample_format, channel_layout=layout, time_base=f"1/{rate}"
    )
    graph.link_nodes(source, graph.add("aformat", sample_fmts="flt", **wanted), graph.add("abuffersink")).configure()
    return graph


def _pulled(graph: Graph, channels: int) -> Iterator[npt.NDArray[Any]]:
    while True:
        try:
            frame = graph.pull()
        except (av.BlockingIOError, av.EOFError):
            return
        assert isinstance(frame, AudioFrame)
        yield frame.to_ndarray().reshape(-1, channels)
