"""Pairs of sound files: the same sound clean and tampered, saved in the same random way."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av.audio.stream import AudioStream

from examples.demo_audio_checkpoint.sounds import Scene, make_sound
from examples.demo_audio_checkpoint.tamper import KINDS, Kind, tamper
from examples.demo_audio_checkpoint.voices import RATE, Samples
from examples.demo_checkpoint.sources import Split

SECONDS = (4.0, 9.0)


@dataclass(frozen=True, slots=True)
class Saving:
    """A codec, the ending of its files, the rates that it takes, and the kilobits a second that are drawn from."""

    codec: str
    ending: str
    rates: tuple[int, ...]
    kilobits: tuple[int, ...] = ()


SAVINGS = (
    Saving("pcm_s16le", "wav", (16_000, 22_050, 44_100, 48_000)),
    Saving("flac", "flac", (16_000, 44_100)),
    Saving("libmp3lame", "mp3", (16_000, 22_050, 44_100), (48, 64, 96, 128)),
    Saving("aac", "m4a", (16_000, 44_100, 48_000), (48, 64, 96, 128)),
    Saving("libopus", "opus", (16_000, 48_000), (24, 32, 48, 64)),
)


@dataclass(frozen=True, slots=True)
class SoundPair:
    """Two files, their scene, the kind of tampering, and its stretch (0 or 1 for each sample at 16 kHz)."""

    clean: Path
    tampered: Path
    scene: Scene
    kind: Kind
    stretch: Samples


def make_pair(seed: int, index: int, split: Split, directory: Path) -> SoundPair:
    """Make pair `index` of the set `seed`; the same arguments give the same bytes."""
    rng = np.random.default_rng([seed, index])
    line, scene = make_sound(rng, split, int(RATE * float(rng.uniform(*SECONDS))))
    kind = KINDS[index % len(KINDS)]
    changed, stretch = tamper(rng, line, kind, lambda: make_sound(rng, split, len(line))[0])
    saving = SAVINGS[int(rng.integers(len(SAVINGS)))]
    rate = saving.rates[int(rng.integers(len(saving.rates)))]
    bits = 1000 * saving.kilobits[int(rng.integers(len(saving.kilobits)))] if saving.kilobits else None
    paths = [directory / f"{index:05d}-{name}.{saving.ending}" for name in ("clean", "tampered")]
    for path, samples in zip(paths, (line, changed), strict=True):
        encode(path, samples, saving.codec, rate, bits)
    return SoundPair(paths[0], paths[1], scene, kind, stretch)


def encode(path: Path, samples: Samples, codec: str, rate: int, bits_per_second: int | None) -> None:
    """Write mono samples of 16 kHz, at another `rate`."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=rate, layout="mono")
        assert isinstance(stream, AudioStream)
        if bits_per_second is not None:
            stream.bit_rate = bits_per_second
        resampler = av.AudioResampler(stream.format, "mono", rate, frame_size=stream.frame_size or None)
        frame = av.AudioFrame.from_ndarray(samples[None].astype(np.float32), "fltp", "mono")
        frame.sample_rate, frame.pts, frame.time_base = RATE, 0, Fraction(1, RATE)
        for part in [*resampler.resample(frame), *resampler.resample(None)]:
            container.mux(stream.encode(part))
        container.mux(stream.encode(None))


def decode(path: Path) -> Samples:
    """Return a file's samples, mono, 16 kHz."""
    with av.open(str(path)) as container:
        resampler = av.AudioResampler("fltp", "mono", RATE)
        frames = [part for frame in container.decode(audio=0) for part in resampler.resample(frame)]
        frames += resampler.resample(None)
    joined: Samples = np.concatenate([frame.to_ndarray()[0] for frame in frames]).astype(np.float32)
    return joined
