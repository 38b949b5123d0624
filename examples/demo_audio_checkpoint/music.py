"""Music, noise, tones and small events, computed. Each split has its own instruments."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from examples.demo_audio_checkpoint.voices import RATE, Samples, at_peak
from examples.demo_checkpoint.sources import Split

Instrument = Callable[[np.random.Generator, float, int], Samples]


def music(rng: np.random.Generator, split: Split, count: int) -> Samples:
    """Return `count` samples of a random melody with chords, and perhaps drums."""
    line = np.zeros(count)
    beat = 60 / float(rng.uniform(60, 170))
    scale = np.array([0, 2, 4, 5, 7, 9, 11]) if rng.random() < 0.5 else np.array([0, 2, 3, 5, 7, 8, 10])
    root = float(rng.uniform(40, 60))
    for part in range(int(rng.integers(1, 4))):
        instrument = INSTRUMENTS[split][int(rng.integers(len(INSTRUMENTS[split])))]
        length = beat * float(rng.choice([0.5, 1, 2])) if part else beat * float(rng.choice([1, 2, 4]))
        for start in np.arange(0, count / RATE, length):
            if rng.random() < 0.2:
                continue
            pitch = root + 12 * int(rng.integers(0, 3)) + int(scale[int(rng.integers(len(scale)))])
            note = instrument(rng, 440 * 2 ** ((pitch - 69) / 12), int(length * RATE * float(rng.uniform(0.7, 1.3))))
            _add(line, note * float(rng.uniform(0.4, 1)), int(start * RATE))
    if rng.random() < 0.5:
        for start in np.arange(0, count / RATE, beat / float(rng.choice([1, 2]))):
            if rng.random() < 0.8:
                _add(line, _DRUMS[split](rng) * float(rng.uniform(0.3, 1)), int(start * RATE))
    return at_peak(line)


def noise(rng: np.random.Generator, count: int) -> Samples:
    """Return noise of a random colour that swells and fades slowly, as wind, surf or traffic does."""
    spectrum = np.fft.rfft(rng.standard_normal(count))
    frequencies = np.maximum(np.fft.rfftfreq(count, 1 / RATE), 20)
    spectrum *= (frequencies / 1000) ** -float(rng.uniform(0, 1.2))
    centre, width = float(rng.uniform(200, 5000)), float(rng.uniform(0.3, 2))
    spectrum *= 0.1 + np.exp(-((np.log(frequencies / centre) / width) ** 2))
    knots = rng.normal(0, float(rng.uniform(0, 6)), max(2, int(count / RATE * 2)))
    swell = 10 ** (np.interp(np.linspace(0, len(knots) - 1, count), np.arange(len(knots)), knots) / 20)
    line = np.fft.irfft(spectrum, count) * swell
    return at_peak(line)


def events(rng: np.random.Generator, count: int) -> Samples:
    """Return short sounds at random times, as birds, water, footsteps and dishes make them, over a little noise."""
    line = noise(rng, count) * float(10 ** rng.uniform(-2.5, -0.7))
    decay = float(np.exp(rng.uniform(math.log(0.004), math.log(0.15))))
    tonal = float(rng.random())
    height = float(np.exp(rng.uniform(math.log(200), math.log(4000))))
    for _ in range(rng.poisson(count / RATE * float(np.exp(rng.uniform(0, math.log(25)))))):
        size = int(RATE * decay * 6)
        time = np.arange(size) / RATE
        slide = float(rng.normal(0, 0.5)) / decay
        pitch = min(7000.0, height * float(np.exp(rng.normal(0, 0.4))))
        sound = np.sin(2 * math.pi * pitch * (time + slide * time**2 / 2)) if rng.random() < tonal else None
        sound = rng.standard_normal(size) if sound is None else sound
        grain = sound * _envelope(size, float(rng.uniform(0.001, 2 * decay)), decay)
        _add(line, grain * float(10 ** rng.uniform(-1, 0)), int(rng.integers(0, count)))
    return at_peak(line)


def tones(rng: np.random.Generator, count: int) -> Samples:
    """Return one to four steady or sliding tones: hum, whistles, sirens."""
    time = np.arange(count) / RATE
    line = np.zeros(count)
    for _ in range(int(rng.integers(1, 5))):
        start = float(np.exp(rng.uniform(math.log(50), math.log(3000))))
        slide = float(rng.choice([0, rng.normal(0, 0.3)]))
        sway = float(rng.choice([0, rng.uniform(0, 0.02)])) * np.sin(2 * math.pi * float(rng.uniform(0.3, 6)) * time)
        phase = np.cumsum(start * np.exp(slide * time / max(time[-1], 1e-3)) * (1 + sway)) / RATE
        line += float(rng.uniform(0.2, 1)) * np.sin(2 * math.pi * phase)
    return at_peak(line)


def _add(line: Samples, note: Samples, start: int) -> None:
    note = note[: max(0, len(line) - start)]
    line[start : start + len(note)] += note


def _envelope(count: int, attack: float, decay: float) -> Samples:
    """Return an envelope that rises in `attack` seconds, falls with the time constant `decay`, and ends softly."""
    time = np.arange(count) / RATE
    shape = np.minimum(1, time / attack) * np.exp(-time / decay)
    end = min(count, int(0.02 * RATE))
    shape[count - end :] *= np.linspace(1, 0, end)
    return shape


def _harmonics(frequency: float, count: int, levels: list[float], vibrato: float = 0.0, rate: float = 5.0) -> Samples:
    time = np.arange(count) / RATE
    phase = 2 * math.pi * frequency * (time + vibrato * np.sin(2 * math.pi * rate * time))
    line = np.zeros(count)
    for number, level in enumerate(levels, 1):
        if number * frequency < 0.47 * RATE:
            line += level * np.sin(number * phase)
    return line


def _saw(rng: np.random.Generator, frequency: float, count: int) -> Samples:
    levels = [1 / n for n in range(1, 25)]
    return _harmonics(frequency, count, levels) * _envelope(count, 0.01, float(rng.uniform(0.3, 3)))


def _organ(rng: np.random.Generator, frequency: float, count: int) -> Samples:
    levels = [float(level) for level in rng.uniform(0, 1, 8)]
    return _harmonics(frequency, count, levels) * _envelope(count, 0.03, 30.0)


def _pluck(rng: np.random.Generator, frequency: float, count: int) -> Samples:
    line = np.zeros(count)
    for number in range(1, 16):
        if number * frequency < 0.47 * RATE:
            partial = _harmonics(number * frequency, count, [1 / number])
            line += partial * _envelope(count, 0.002, float(rng.uniform(0.3, 0.8)) / number**0.7)
    return line


def _square(rng: np.random.Generator, frequency: float, count: int) -> Samples:
    levels = [n % 2 / n for n in range(1, 20)]
    return _harmonics(frequency, count, levels) * _envelope(count, 0.005, float(rng.uniform(0.2, 2)))


def _choir(rng: np.random.Generator, frequency: float, count: int) -> Samples:
    """Several singers, not quite together: their sound beats."""
    levels = [float(level) / n for n, level in enumerate(rng.uniform(0.3, 1, 14), 1)]
    apart = float(rng.uniform(0.001, 0.012))
    line = np.zeros(count)
    for _ in range(int(rng.integers(2, 6))):
        own = frequency * (1 + float(rng.normal(0, apart)))
        line += _harmonics(own, count, levels, float(rng.uniform(0, 1e-4)), float(rng.uniform(3, 7)))
    return line * _envelope(count, float(rng.uniform(0.03, 0.2)), 10.0) / 2


def _bell(rng: np.random.Generator, frequency: float, count: int) -> Samples:
    time = np.arange(count) / RATE
    depth = float(rng.uniform(1, 4)) * np.exp(-time / 0.4)
    ratio = float(rng.choice([1.4, 2.0, 3.5]))
    line = np.sin(2 * math.pi * frequency * time + depth * np.sin(2 * math.pi * ratio * frequency * time))
    return line * _envelope(count, 0.003, float(rng.uniform(0.3, 1.5)))


def _strings(rng: np.random.Generator, frequency: float, count: int) -> Samples:
    players = [
        _harmonics(
            frequency * (1 + float(rng.normal(0, 0.003))),
            count,
            [n**-1.3 for n in range(1, 18)],
            4e-5,
            rng.uniform(4, 7),
        )
        for _ in range(3)
    ]
    together: Samples = np.sum(players, 0)
    return together * _envelope(count, 0.08, 8.0) / 2


def _knock(rng: np.random.Generator) -> Samples:
    count = int(0.15 * RATE)
    time = np.arange(count) / RATE
    thump = np.sin(2 * math.pi * (50 * time + 4 * (1 - np.exp(-time * 30))))
    hiss = rng.standard_normal(count)
    share = float(rng.random())
    knock: Samples = share * thump + (1 - share) * hiss
    return knock * _envelope(count, 0.001, 0.04)


def _shaker(rng: np.random.Generator) -> Samples:
    count = int(0.12 * RATE)
    return np.diff(rng.standard_normal(count + 1)) * _envelope(count, 0.02, 0.03) / 2


INSTRUMENTS: dict[Split, tuple[Instrument, ...]] = {
    "train": (_saw, _organ, _pluck, _choir),
    "validation": (_square,),
    "test": (_bell, _strings),
}
_DRUMS: dict[Split, Callable[[np.random.Generator], Samples]] = {
    "train": _knock,
    "validation": _knock,
    "test": _shaker,
}
