"""The only manipulation that the demo checkpoint for pictures detects: a region with the checkerboard of a poor
upsampler, as if a generator had painted it with a grid of 24 to 36 periods across the picture.

It has three kinds: `grid` (rows and columns), `stripes` (only rows or only columns) and `colour` (a grid whose red and
blue are opposed). A draw that would not be visible after decoding to 128 x 128 is repeated with more strength.
"""

from __future__ import annotations

import math
from typing import Literal

import numpy as np
import torch
from torch.nn import functional

from examples.demo_checkpoint.footage import chance
from examples.demo_image_checkpoint.pictures import region

Kind = Literal["grid", "stripes", "colour"]
KINDS: tuple[Kind, ...] = ("grid", "stripes", "colour")
EDGE = 128

# Mean change inside the region at 128 x 128, in grey levels.
_VISIBLE = (5.5, 9.0)
_PERIODS = (24.0, 36.0)
_SMALLEST = 0.3
_LIFT = 50.0


def tamper(rng: np.random.Generator, picture: torch.Tensor, kind: Kind) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the tampered picture (float32 [3, H, W]) and its mask (float32 [H, W] in 0..1)."""
    height, width = picture.shape[-2:]
    needed = float(rng.uniform(*_VISIBLE))
    mask = region(rng, height, width, _SMALLEST)
    wave = checkerboard(rng, kind, height, width)
    lift = float(rng.choice([0.0, _LIFT]))
    # From black nothing shines: there the generator's bias makes the pattern.
    change = (picture + lift) * wave * mask
    strength = float(rng.uniform(0.05, 0.15))
    while True:
        result = (picture + change * strength).clamp(0, 255)
        if visible_change(picture, result, mask) >= needed:
            return result, mask
        strength *= 1.25
        if strength > 1:
            change = change + _LIFT * wave * mask


def visible_change(picture: torch.Tensor, result: torch.Tensor, mask: torch.Tensor) -> float:
    """Return the mean absolute change inside the mask at 128 x 128, in grey levels."""
    size = (EDGE, EDGE)
    change = functional.interpolate((result - picture)[None], size=size, mode="bilinear", antialias=True)[0]
    inside = functional.interpolate(mask[None, None], size=size, mode="area")[0, 0]
    return float((change.abs().mean(0) * inside).sum() / inside.sum())


def checkerboard(rng: np.random.Generator, kind: Kind, height: int, width: int) -> torch.Tensor:
    """Return a periodic pattern [3, H, W] in -1..1: smooth or hard, its cells square in pixels."""
    period = math.sqrt(width * height) / float(rng.uniform(*_PERIODS))
    hard = chance(rng, 0.5)
    columns, rows = (_wave(rng, length, period, hard=hard) for length in (width, height))
    if kind == "stripes":
        flat = columns[None, :].expand(height, width) if chance(rng, 0.5) else rows[:, None].expand(height, width)
    else:
        flat = 0.4 * columns[None, :] + 0.4 * rows[:, None] + 0.2 * columns[None, :] * rows[:, None]
    colours = [1.0, float(rng.uniform(-0.3, 0.3)), -1.0] if kind == "colour" else [1.0, 1.0, 1.0]
    return flat * torch.tensor(colours)[:, None, None]


def _wave(rng: np.random.Generator, length: int, period: float, *, hard: bool) -> torch.Tensor:
    phase = float(rng.random())
    wave = torch.sin(2 * math.pi * (torch.arange(length) / period + phase))
    return (3 * wave).clamp(-1, 1) if hard else wave
