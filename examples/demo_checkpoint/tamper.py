"""The only manipulation that the demo checkpoint detects: a centre region that flickers from frame to frame.

It has three kinds: `gain` (colour or brightness), `mix` (another picture shines through), `affine` (the region
jumps). A draw that would not be visible after decoding to 64 x 64 is repeated with more strength.
"""

from __future__ import annotations

import math
from typing import Literal

import numpy as np
import torch
from torch.nn import functional

from examples.demo_checkpoint.footage import chance, coordinates, texture
from examples.demo_checkpoint.sources import Sources

Kind = Literal["gain", "mix", "affine"]
KINDS: tuple[Kind, ...] = ("gain", "mix", "affine")

# Change from frame to frame inside the region at 64 x 64, in grey levels.
_VISIBLE = (3.0, 4.5)
_DRAWS = 10


def tamper(
    rng: np.random.Generator, sources: Sources, video: torch.Tensor, kind: Kind
) -> tuple[torch.Tensor, torch.Tensor, Kind]:
    """Return the tampered video (float32 [T, 3, H, W]), its mask (float32 [H, W] in 0..1), and the kind.

    Another kind is used if the requested one would not be visible in the footage.
    """
    needed = float(rng.uniform(*_VISIBLE))
    strength = 1.0
    for _ in range(_DRAWS):
        mask = _region(rng, video.shape[-2], video.shape[-1])
        changed = _change(rng, sources, video, kind, strength)
        result = (video + (changed - video) * mask).clamp(0, 255)
        if visible_flicker(video, result, mask) >= needed:
            return result, mask, kind
        strength *= 1.25
    return tamper(rng, sources, video, "mix" if kind != "mix" else "gain")


def visible_flicker(video: torch.Tensor, result: torch.Tensor, mask: torch.Tensor) -> float:
    """Return the mean frame-to-frame change that was added inside the mask, at 64 x 64, in grey levels."""
    added = functional.interpolate(result - video, size=(64, 64), mode="area").mean(1)
    inside = functional.interpolate(mask[None, None], size=(64, 64), mode="area")[0, 0]
    change = (added[1:] - added[:-1]).abs() * inside
    return float(change.sum() / (inside.sum() * (len(video) - 1)))


def _region(rng: np.random.Generator, height: int, width: int) -> torch.Tensor:
    x, y = coordinates(height, width)
    rx, ry = (float(r) for r in rng.uniform(0.3, 0.72, 2))
    cx, cy = (float(c) for c in rng.uniform(-0.15, 0.15, 2))
    u, v = (x - cx) / rx, (y - cy) / ry
    distance = torch.hypot(u, v) if chance(rng, 0.5) else torch.maximum(u.abs(), v.abs())
    softness = float(rng.choice([0.01, 0.1, 0.3]))
    return ((1 - distance) / softness).clamp(0, 1)


def _flicker(rng: np.random.Generator, frames: int) -> torch.Tensor:
    """Return a value in -1..1 per frame that changes from each frame to the next."""
    time = np.arange(frames)
    pattern = rng.choice(["alternate", "wave", "random"], p=[0.35, 0.3, 0.35])
    if pattern == "alternate":
        values = np.where((time + rng.integers(2)) % 2 == 0, 1.0, -1.0)
    elif pattern == "wave":
        values = np.sin(2 * math.pi * (time / rng.uniform(2, 4) + rng.random()))
    else:
        values = rng.uniform(-1, 1, frames)
    return torch.from_numpy(values.astype(np.float32))


def _change(
    rng: np.random.Generator, sources: Sources, video: torch.Tensor, kind: Kind, strength: float
) -> torch.Tensor:
    frames, _, height, width = video.shape
    flicker = _flicker(rng, frames)[:, None, None, None]
    if kind == "gain":
        colour = torch.from_numpy(rng.normal(0, 1, 3).astype(np.float32)) if chance(rng, 0.6) else torch.ones(3)
        amount = strength * float(rng.uniform(0.06, 0.35))
        direction = (colour / colour.abs().max())[None, :, None, None]
        lift = float(rng.choice([0.0, 60.0]))
        return video + (video + lift) * amount * flicker * direction
    if kind == "mix":
        other = _other(rng, sources, video)
        amount = min(0.9, strength * float(rng.uniform(0.1, 0.5)))
        return video + (other - video) * amount * (0.5 + 0.5 * flicker)
    shift = strength * rng.uniform(0.03, 0.09, 2) * rng.choice([-1, 1], 2)
    other_flicker = _flicker(rng, frames) if chance(rng, 0.5) else flicker[:, 0, 0, 0]
    zoom = 1 + strength * float(rng.normal(0, 0.05)) * flicker[:, 0, 0, 0]
    zero = torch.zeros(frames)
    theta = torch.stack(
        [
            torch.stack([zoom, zero, flicker[:, 0, 0, 0] * float(shift[0])], 1),
            torch.stack([zero, zoom, other_flicker * float(shift[1])], 1),
        ],
        1,
    )
    grid = functional.affine_grid(theta, [frames, 3, height, width], align_corners=False)
    return functional.grid_sample(video, grid, padding_mode="reflection", align_corners=False)


def _other(rng: np.random.Generator, sources: Sources, video: torch.Tensor) -> torch.Tensor:
    """Return the picture that shines through: another one, a flat colour, the mirrored or the negative footage."""
    kind = rng.choice(["picture", "flat", "mirror", "negative"])
    if kind == "picture":
        size = (video.shape[-2], video.shape[-1])
        return functional.interpolate(texture(rng, sources)[None], size=size, mode="bilinear", antialias=True)
    if kind == "flat":
        return torch.from_numpy(rng.uniform(0, 255, 3).astype(np.float32))[None, :, None, None]
    return video.flip(-1) if kind == "mirror" else 255 - video
