"""Voices that read sentences: flite's, which Debian's FFmpeg contains. Each split has its own voice and sentences."""

from __future__ import annotations

import functools
import subprocess
from typing import Any

import numpy as np
import numpy.typing as npt

from examples.demo_checkpoint.sources import Split

RATE = 16_000
Samples = npt.NDArray[np.floating[Any]]
"""A mono sound in -1..1, with 16,000 samples a second."""

VOICES: dict[Split, tuple[str, ...]] = {"train": ("kal16", "awb", "rms"), "validation": ("kal",), "test": ("slt",)}
SENTENCES: dict[Split, tuple[str, ...]] = {
    "train": (
        "The harbour was quiet when the last ferry left, and only the gulls went on complaining about the weather.",
        "Please read the third paragraph again, slowly, and tell me which of the numbers you do not believe.",
        "We moved the meeting to Thursday, because half of the people could not find the room on Monday.",
        "My grandfather kept bees behind the railway station, and he sold the honey in old jam jars.",
        "If you turn left at the bakery you will see a narrow bridge, a small park, and a very large dog.",
        "Nobody had told the new conductor that the second trumpet was always late, so he waited, and waited.",
        "Seven hundred and forty two letters arrived this morning, most of them without a stamp.",
        "It rained for eleven days, and on the twelfth the river came into the kitchen to see who was at home.",
    ),
    "validation": (
        "The old clock above the library runs four minutes fast, and everybody in town has learned to subtract.",
        "Could you bring two chairs, a long table, and something to keep the papers from flying away?",
        "A good map shows less than there is, but it shows all that you need to come home.",
    ),
    "test": (
        "Good evening. Tonight we talk about bridges, about those who build them, and about those who pay.",
        "She opened the window, counted the boats, and wrote the number into a book with a green cover.",
        "Why should a train that leaves on time be news, and a train that does not leave at all be none?",
        "Take the second key, not the first. The first one opens the cellar, and there is nothing to drink in it.",
    ),
}


def voice(rng: np.random.Generator, split: Split, count: int) -> Samples:
    """Return `count` samples of a voice that reads sentences, at a random pitch and pace."""
    name = VOICES[split][int(rng.integers(len(VOICES[split])))]
    read: list[Samples] = []
    pace = float(rng.uniform(0.85, 1.2))
    needed = int(count * pace) + RATE
    start = int(rng.integers(len(SENTENCES[split])))
    while sum(map(len, read)) < needed:
        read += [_read(name, SENTENCES[split][start % len(SENTENCES[split])]), _pause(rng)]
        start += 1
    line = np.concatenate(read)
    first = int(rng.integers(0, RATE // 2))
    places = first + np.arange(count) * pace
    paced: Samples = np.interp(places, np.arange(len(line)), line)
    return paced


@functools.cache
def _read(name: str, sentence: str) -> Samples:
    # Quotes and commas mean something to FFmpeg's filters: the text goes through without them.
    plain = sentence.replace(",", "").replace("?", ".")
    source = ["-f", "lavfi", "-i", f"flite=voice={name}:text='{plain}'"]
    command = ["ffmpeg", "-v", "error", *source, "-ar", str(RATE), "-ac", "1", "-f", "f32le", "-"]
    raw = subprocess.run(command, check=True, capture_output=True).stdout
    return at_peak(np.frombuffer(raw, np.float32))


def at_peak(line: Samples, level: float = 1.0) -> Samples:
    """Return the sound with its peak at `level`."""
    scaled: Samples = line * (level / max(1e-4, float(np.abs(line).max())))
    return scaled


def _pause(rng: np.random.Generator) -> Samples:
    return np.zeros(int(RATE * rng.uniform(0.05, 0.5)), np.float32)
