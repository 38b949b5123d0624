"""Genuine sounds: voices, music, noise, tones, small events and films, with the difficulties of real recordings: rooms,
tremolo, clicks, gaps, clipping, fades, telephones, noise.

All randomness comes from the generator that is passed in.
"""

from __future__ import annotations

import functools
import math
import subprocess
from collections.abc import Callable, Mapping
from typing import Literal

import numpy as np

from examples.demo_audio_checkpoint.music import events, music, noise, tones
from examples.demo_audio_checkpoint.spectrum import echoed, low_pass
from examples.demo_audio_checkpoint.voices import RATE, Samples, at_peak, voice
from examples.demo_checkpoint.footage import chance
from examples.demo_checkpoint.sources import Split
from examples.samples import film_path

Scene = Literal["voice", "music", "noise", "tones", "events", "film", "mixed"]

_SCENES: tuple[Scene, ...] = ("voice", "music", "noise", "tones", "events", "mixed")
_SHARES = (0.32, 0.28, 0.06, 0.04, 0.1, 0.2)
_BEHIND: tuple[Scene, ...] = ("noise", "events", "voice", "voice")
_FILM = "bigbuckbunny.mp4"


def make_sound(rng: np.random.Generator, split: Split, count: int) -> tuple[Samples, Scene]:
    """Make `count` untampered samples with a random share of the difficulties, and say what they are."""
    scene = _SCENES[int(rng.choice(len(_SCENES), p=_SHARES))]
    if split == "test" and chance(rng, 0.15):
        scene = "film"
    line = _scene(rng, split, scene, count)
    if chance(rng, 0.35):
        line = _room(rng, line)
    if chance(rng, 0.1):
        time = np.arange(count) / RATE
        line = line * (1 - float(rng.uniform(0.1, 0.6)) * (0.5 + 0.5 * np.sin(2 * math.pi * rng.uniform(1, 7) * time)))
    if chance(rng, 0.15):
        line = _clicks_and_gaps(rng, line)
    if chance(rng, 0.15):
        low, high = float(rng.uniform(80, 400)), float(rng.uniform(2800, 6500))
        line = low_pass(line - low_pass(line, low), high)
    line = at_peak(line)
    if chance(rng, 0.1):
        line = np.clip(line * float(rng.uniform(1.2, 4)), -1, 1)
    if chance(rng, 0.2):
        knots = rng.uniform(-30, 0, int(rng.integers(2, 5)))
        line = line * 10 ** (np.interp(np.linspace(0, len(knots) - 1, count), np.arange(len(knots)), knots) / 20)
    if chance(rng, 0.5):
        line = line + noise(rng, count) * 10 ** (-float(rng.uniform(15, 50)) / 20)
    level = 10 ** (-float(rng.uniform(1, 18)) / 20)
    return at_peak(line, level), scene


def _scene(rng: np.random.Generator, split: Split, scene: Scene, count: int) -> Samples:
    make: Mapping[Scene, Callable[[], Samples]] = {
        "voice": lambda: voice(rng, split, count),
        "music": lambda: music(rng, split, count),
        "noise": lambda: noise(rng, count),
        "tones": lambda: tones(rng, count),
        "events": lambda: events(rng, count),
        "film": lambda: _film(rng, count),
    }
    if scene != "mixed":
        return make[scene]()
    before = make["music" if chance(rng, 0.5) else "voice"]()
    behind = make[_BEHIND[int(rng.integers(len(_BEHIND)))]]()
    return before + behind * 10 ** (-float(rng.uniform(0, 15)) / 20)


def _film(rng: np.random.Generator, count: int) -> Samples:
    track = _film_sound()
    start = int(rng.integers(0, max(1, len(track) - count)))
    return np.resize(track[start:], count)


@functools.cache
def _film_sound() -> Samples:
    source = ["-i", str(film_path(_FILM)), "-vn", "-ac", "1", "-ar", str(RATE)]
    command = ["ffmpeg", "-v", "error", *source, "-f", "f32le", "-"]
    samples: Samples = np.frombuffer(subprocess.run(command, check=True, capture_output=True).stdout, np.float32)
    return samples


def _room(rng: np.random.Generator, line: Samples) -> Samples:
    """Add the echo of a room: noise that dies away."""
    seconds = float(rng.uniform(0.1, 0.7))
    echo = rng.standard_normal(int(RATE * seconds)) * np.exp(-6.9 * np.arange(int(RATE * seconds)) / RATE / seconds)
    wet = echoed(line, echo)
    share = float(rng.uniform(0.1, 0.6)) * float(np.std(line)) / max(1e-6, float(np.std(wet)))
    return line + wet * share


def _clicks_and_gaps(rng: np.random.Generator, line: Samples) -> Samples:
    """Add a few clicks, or a few single gaps, as a scratched record or a bad connection has them."""
    line = line.copy()
    peak = float(np.abs(line).max())
    for _ in range(int(rng.integers(1, 8))):
        start = int(rng.integers(0, len(line) - RATE // 4))
        if chance(rng, 0.5):
            line[start : start + int(rng.integers(1, 40))] = peak * float(rng.uniform(-1, 1))
        else:
            line[start : start + int(RATE * rng.uniform(0.02, 0.2))] *= float(rng.uniform(0, 0.3))
    return line
