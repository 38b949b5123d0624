"""Pairs of picture files: the same photograph clean and tampered, saved in the same random way."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image

from examples.demo_image_checkpoint.pictures import SIZES, make_picture
from examples.demo_image_checkpoint.sources import PictureSources
from examples.demo_image_checkpoint.tamper import KINDS, Kind, tamper

Saved = Literal["jpg", "png", "webp"]

_QUALITIES = (35, 96)
_FORMATS: tuple[Saved, ...] = ("jpg", "png", "webp")
_SHARES = (0.8, 0.1, 0.1)


@dataclass(frozen=True, slots=True)
class PicturePair:
    """Two files, the kind of tampering, its region (float32 [H, W] in 0..1), and the quality (100 for PNG)."""

    clean: Path
    tampered: Path
    kind: Kind
    mask: npt.NDArray[np.float32]
    quality: int

    @property
    def size(self) -> tuple[int, int]:
        """Width and height."""
        height, width = self.mask.shape
        return width, height


def make_pair(seed: int, index: int, sources: PictureSources, directory: Path) -> PicturePair:
    """Make pair `index` of the set `seed`; the same arguments give the same bytes."""
    rng = np.random.default_rng([seed, index])
    width, height = SIZES[int(rng.integers(len(SIZES)))]
    picture = make_picture(rng, sources, width, height)
    kind = KINDS[index % len(KINDS)]
    changed, mask = tamper(rng, picture, kind)
    saved = _FORMATS[int(rng.choice(len(_FORMATS), p=_SHARES))]
    quality = 100 if saved == "png" else int(rng.integers(*_QUALITIES))
    paths = [directory / f"{index:05d}-{name}.{saved}" for name in ("clean", "tampered")]
    for path, pixels in zip(paths, (picture, changed), strict=True):
        save(path, pixels, quality)
    return PicturePair(paths[0], paths[1], kind, mask.numpy(), quality)


def save(path: Path, picture: torch.Tensor, quality: int) -> None:
    """Write float RGB [3, H, W] in 0..255 in the format of the file's ending."""
    pixels = picture.round().clamp(0, 255).to(torch.uint8).movedim(0, -1).contiguous().numpy()
    Image.fromarray(pixels).save(path, quality=quality, method=0)  # `method` is WebP's, for speed
