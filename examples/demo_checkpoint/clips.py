"""Pairs of encoded clips: the same footage clean and tampered, through the same random encode."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Protocol, TypeVar

import numpy as np
import numpy.typing as npt
import torch

from examples.demo_checkpoint.footage import SIZES, Shape, make_footage
from examples.demo_checkpoint.sources import Sources
from examples.demo_checkpoint.tamper import KINDS, Kind, tamper

FRAMES = 24

Made = TypeVar("Made")


class MapPairs(Protocol):
    """A `map` over the numbers of the pairs."""

    def __call__(self, make: Callable[[int], Made], indices: Iterable[int], /) -> Iterator[Made]: ...


@dataclass(frozen=True, slots=True)
class Pair:
    """Two MP4 files and the tampered region (float32 [H, W] in 0..1)."""

    clean: Path
    tampered: Path
    kind: Kind
    mask: npt.NDArray[np.float32]


def make_pair(seed: int, index: int, sources: Sources, directory: Path, frames: int = FRAMES) -> Pair:
    """Make pair `index` of the set `seed`; the same arguments give the same bytes."""
    rng = np.random.default_rng([seed, index])
    width, height = SIZES[int(rng.integers(len(SIZES)))]
    video = make_footage(rng, sources, Shape(frames, width, height))
    changed, mask, kind = tamper(rng, sources, video, KINDS[index % len(KINDS)])
    rate, quality = int(rng.choice([24, 25, 30])), int(rng.integers(16, 31))
    paths = [directory / f"{index:05d}-{name}.mp4" for name in ("clean", "tampered")]
    for path, pixels in zip(paths, (video, changed), strict=True):
        encode(path, pixels, rate, quality)
    return Pair(paths[0], paths[1], kind, mask.numpy())


def encode(path: Path, video: torch.Tensor, frames_per_second: int, quality: int) -> None:
    """Write float RGB [T, 3, H, W] in 0..255 as H.264; one thread, because only that is bit-exact."""
    frames = video.round().clamp(0, 255).to(torch.uint8).movedim(1, -1).contiguous().numpy()
    size = f"{video.shape[-1]}x{video.shape[-2]}"
    raw = ["-f", "rawvideo", "-pix_fmt", "rgb24", "-s", size, "-r", str(frames_per_second), "-i", "-"]
    x264 = ["-c:v", "libx264", "-preset", "veryfast", "-crf", str(quality), "-threads", "1"]
    output = [*x264, "-pix_fmt", "yuv420p", str(path)]
    subprocess.run(["ffmpeg", "-v", "error", "-y", *raw, *output], input=frames.tobytes(), check=True)


def one_thread() -> None:
    """Initialise a generating process: torch on one thread, because siblings use the other cores."""
    torch.set_num_threads(1)


@contextmanager
def mapping(processes: int) -> Iterator[MapPairs]:
    """Yield a `map` over `processes` processes, or in this one for 1. torch gets one thread in each, and here."""
    threads = torch.get_num_threads()
    one_thread()  # more threads would only compete with the generating processes
    try:
        if processes == 1:
            yield map
            return
        with ProcessPoolExecutor(processes, mp_context=get_context("spawn"), initializer=one_thread) as pool:
            yield pool.map
    finally:
        torch.set_num_threads(threads)
