"""Training arrays: pairs of files generated in parallel and decoded again."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt

from examples.demo_audio_checkpoint.files import decode, make_pair
from examples.demo_audio_checkpoint.model import WINDOW
from examples.demo_audio_checkpoint.voices import Samples
from examples.demo_checkpoint.clips import mapping
from examples.demo_checkpoint.sources import Split


@dataclass(frozen=True, slots=True)
class SoundPairs:
    """Training pairs, each float16 [3, S]: the clean sound, the tampered one, and its stretch (0 or 1)."""

    sounds: list[npt.NDArray[np.float16]]


def generate(split: Split, seed: int, count: int, processes: int) -> SoundPairs:
    """Generate `count` pairs of a split; the result does not depend on `processes`."""
    with tempfile.TemporaryDirectory() as folder, mapping(processes) as map_pairs:
        return SoundPairs(list(map_pairs(partial(_arrays, split, seed, Path(folder)), range(count))))


def _arrays(split: Split, seed: int, folder: Path, index: int) -> npt.NDArray[np.float16]:
    pair = make_pair(seed, index, split, folder)
    lines: list[Samples] = [decode(pair.clean), decode(pair.tampered), pair.stretch]
    pair.clean.unlink()
    pair.tampered.unlink()
    length = max(WINDOW, min(map(len, lines)))
    return np.stack([np.pad(line, (0, max(0, length - len(line))))[:length] for line in lines]).astype(np.float16)
