"""Decoding of a sound track's windows into mono samples, one window after the other.

Runs in a decoding child. The decoder starts at the first sample and never goes back, so the windows are taken by their
starts; sound between two windows is decoded and dropped frame by frame.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
from torchcodec.decoders import AudioDecoder  # type: ignore[attr-defined]  # exported without __all__

from sentinel_worker.domain.errors import Permanent
from sentinel_worker.domain.media_facts import Clip, SoundGeometry
from sentinel_worker.domain.windows import Window
from sentinel_worker.media.decode import DecodedClip, SkippedWindow
from sentinel_worker.media.opened_media import OpenedMedia
from sentinel_worker.media.protocol import ProtocolError
from sentinel_worker.media.refused_files import out_of_memory


def decode_sounds(
    media: OpenedMedia, windows: Sequence[Window], geometry: SoundGeometry
) -> Iterator[DecodedClip | SkippedWindow]:
    """Yield the samples of every window, by their starts.

    Silence is skipped; a damaged window gives nothing. Raises `Permanent('media_unreadable')` if all are damaged.
    """
    if media.sound is None:
        raise ProtocolError("a file without sound was asked for sound")
    decoder = _open(media.path, media.sound.stream, geometry.sample_rate)
    usable = False
    for index in sorted(range(len(windows)), key=lambda index: windows[index].start_seconds):
        start_seconds = media.sound.begin_seconds + windows[index].start_seconds
        samples = _samples(decoder, start_seconds, geometry)
        if samples is None:
            continue
        usable = True
        if _level_dbfs(samples) < geometry.silence_dbfs:
            yield SkippedWindow(index, "silence")
        else:
            yield DecodedClip(index, Clip(windows[index], np.resize(samples, geometry.samples)), 0)
    if windows and not usable:
        raise _damaged()


def _open(path: Path, stream: int, sample_rate: int) -> AudioDecoder:
    try:
        return AudioDecoder(str(path), stream_index=stream, sample_rate=sample_rate, num_channels=1)
    except (RuntimeError, ValueError) as error:
        if out_of_memory(error):
            raise
        raise _damaged() from error


def _damaged() -> Permanent:
    return Permanent("media_unreadable", "The file's sound is damaged and cannot be decoded.")


def _samples(decoder: AudioDecoder, start_seconds: float, geometry: SoundGeometry) -> npt.NDArray[np.float32] | None:
    """Return at least one and at most `geometry.samples` samples, or None if none exist or they are damaged."""
    stop_seconds = start_seconds + geometry.samples / geometry.sample_rate
    try:
        decoded = decoder.get_samples_played_in_range(start_seconds, stop_seconds).data
    except (RuntimeError, ValueError) as error:
        if out_of_memory(error):
            raise
        return None
    if decoded.numel() == 0:
        return None
    # Floating point files may hold anything.
    samples: npt.NDArray[np.float32] = np.nan_to_num(decoded[0, : geometry.samples].numpy())
    return samples.clip(-1.0, 1.0)


def _level_dbfs(samples: npt.NDArray[np.float32]) -> float:
    """Root mean square in decibels, 0 for a full square wave."""
    power = float(np.mean(np.square(samples, dtype=np.float64)))
    return 10 * float(np.log10(max(power, 1e-20)))
