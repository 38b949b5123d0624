"""Training arrays: pairs generated in parallel, encoded, decoded again, resized to the model's input."""

from __future__ import annotations

import tempfile
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch.nn import functional
from torchcodec.decoders import VideoDecoder  # type: ignore[attr-defined]  # exported without __all__

from examples.demo_checkpoint.clips import make_pair, one_thread
from examples.demo_checkpoint.sources import OPENCV_DOC, Sources, Split

EDGE = 64
PATCH = 8


@dataclass(frozen=True, slots=True)
class Pairs:
    """Training pairs: `clips` uint8 [N, 2, T, 3, 64, 64], clean before tampered; `masks` float16 [N, 8, 8], the
    tampered share of each patch."""

    clips: npt.NDArray[np.uint8]
    masks: npt.NDArray[np.float16]

    def save(self, path: Path) -> None:
        np.savez(path, clips=self.clips, masks=self.masks)

    @classmethod
    def load(cls, path: Path) -> Pairs:
        with np.load(path) as stored:
            return cls(stored["clips"], stored["masks"])


def generate(split: Split, seed: int, count: int, processes: int, opencv_doc: Path = OPENCV_DOC) -> Pairs:
    """Generate `count` pairs of a split; the result does not depend on `processes`."""
    with (
        tempfile.TemporaryDirectory() as folder,
        ProcessPoolExecutor(processes, mp_context=get_context("spawn"), initializer=one_thread) as pool,
    ):
        make = partial(_arrays, split, seed, opencv_doc, Path(folder))
        made = list(pool.map(make, range(count), chunksize=8))
    return Pairs(np.stack([clips for clips, _ in made]), np.stack([mask for _, mask in made]))


def _arrays(
    split: Split, seed: int, opencv_doc: Path, folder: Path, index: int
) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.float16]]:
    pair = make_pair(seed, index, Sources(split, opencv_doc), folder)
    clips = np.stack([_decode(pair.clean), _decode(pair.tampered)])
    mask = functional.interpolate(torch.from_numpy(pair.mask)[None, None], size=EDGE // PATCH, mode="area")[0, 0]
    pair.clean.unlink()
    pair.tampered.unlink()
    return clips, mask.numpy().astype(np.float16)


def _decode(path: Path) -> npt.NDArray[np.uint8]:
    """Decode every frame, resized as the worker does: uint8, bilinear, antialiased, aspect ratio ignored."""
    frames = VideoDecoder(str(path), num_ffmpeg_threads=1)[:]
    return functional.interpolate(frames, size=(EDGE, EDGE), mode="bilinear", antialias=True).numpy()
