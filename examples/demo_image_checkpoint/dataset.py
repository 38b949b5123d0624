"""Training arrays: pairs of files generated in parallel, decoded again, resized to the model's input."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from torch.nn import functional

from examples.demo_checkpoint.clips import mapping
from examples.demo_checkpoint.sources import Split
from examples.demo_image_checkpoint.files import make_pair
from examples.demo_image_checkpoint.sources import PictureSources
from examples.demo_image_checkpoint.tamper import EDGE

PATCH = 8


@dataclass(frozen=True, slots=True)
class PicturePairs:
    """Training pairs: `pictures` uint8 [N, 2, 3, 128, 128], clean before tampered; `masks` float16 [N, 16, 16], the
    tampered share of each patch."""

    pictures: npt.NDArray[np.uint8]
    masks: npt.NDArray[np.float16]


def generate(split: Split, seed: int, count: int, processes: int) -> PicturePairs:
    """Generate `count` pairs of a split; the result does not depend on `processes`."""
    with tempfile.TemporaryDirectory() as folder, mapping(processes) as map_pairs:
        made = list(map_pairs(partial(_arrays, split, seed, Path(folder)), range(count)))
    return PicturePairs(np.stack([pictures for pictures, _ in made]), np.stack([mask for _, mask in made]))


def _arrays(split: Split, seed: int, folder: Path, index: int) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.float16]]:
    pair = make_pair(seed, index, PictureSources(split), folder)
    pictures = np.stack([_decode(pair.clean), _decode(pair.tampered)])
    mask = functional.interpolate(torch.from_numpy(pair.mask)[None, None], size=EDGE // PATCH, mode="area")[0, 0]
    pair.clean.unlink()
    pair.tampered.unlink()
    return pictures, mask.numpy().astype(np.float16)


def _decode(path: Path) -> npt.NDArray[np.uint8]:
    """Decode and resize as the worker does: uint8, bilinear, antialiased, aspect ratio ignored."""
    with Image.open(path) as picture:
        pixels = torch.from_numpy(np.array(picture.convert("RGB"))).movedim(-1, 0)[None]
    return functional.interpolate(pixels, size=(EDGE, EDGE), mode="bilinear", antialias=True)[0].numpy()
