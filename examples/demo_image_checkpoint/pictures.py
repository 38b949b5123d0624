"""Genuine pictures: a crop of a photograph with the difficulties of real ones: double exposures, grading, pasted
objects, tints, vignettes, blur, sharpening, noise, and coarse or fine patterns.

Pictures are float32 RGB [3, H, W] in 0..255. All randomness comes from the generator that is passed in.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from torch.nn import functional

from examples.demo_checkpoint.footage import chance, coordinates, noise_picture
from examples.demo_image_checkpoint.sources import PictureSources

SIZES = ((640, 480), (480, 640), (1024, 768), (720, 720), (1280, 720), (320, 240), (240, 320), (500, 333))
"""Widths and heights of the pictures."""

# Periods of a genuine pattern, as shares of the mean side: coarser and finer than the tampering's.
_COARSE, _FINE = (1 / 10, 1 / 4), (1 / 200, 1 / 110)


def make_picture(rng: np.random.Generator, sources: PictureSources, width: int, height: int) -> torch.Tensor:
    """Make an untampered picture with a random share of the difficulties."""
    picture = _view(rng, sources, width, height)
    if chance(rng, 0.2):
        picture = picture + (_view(rng, sources, width, height) - picture) * float(rng.uniform(0.2, 0.5))
    picture = _graded(rng, picture)
    for _ in range(int(rng.choice([0, 1, 2], p=[0.5, 0.3, 0.2]))):
        picture = _object(rng, sources, picture)
    if chance(rng, 0.15):
        picture = _tint(rng, picture)
    if chance(rng, 0.2):
        picture = _pattern(rng, picture)
    if chance(rng, 0.2):
        picture = _blur(picture, float(rng.uniform(0.3, 2.5)))
    elif chance(rng, 0.25):
        picture = picture + (picture - _blur(picture, float(rng.uniform(0.5, 2)))) * float(rng.uniform(0.3, 1.5))
    if chance(rng, 0.15):
        x, y = coordinates(height, width)
        picture = picture * (1 - float(rng.uniform(0.1, 0.6)) * (x**2 + y**2) / 2)
    if chance(rng, 0.35):
        grain = torch.from_numpy(rng.standard_normal((3, height, width), dtype=np.float32))
        picture = picture + grain * float(rng.uniform(1, 14))
    return picture.clamp(0, 255)


def region(rng: np.random.Generator, height: int, width: int, smallest: float = 0.12) -> torch.Tensor:
    """Return a random ellipse or rectangle [H, W] in 0..1, with a hard or soft edge."""
    x, y = coordinates(height, width)
    rx, ry = (float(r) for r in rng.uniform(smallest, 0.7, 2))
    cx, cy = (float(rng.uniform(-0.85, 0.85)) * (1 - r) for r in (rx, ry))
    u, v = (x - cx) / rx, (y - cy) / ry
    distance = torch.hypot(u, v) if chance(rng, 0.5) else torch.maximum(u.abs(), v.abs())
    softness = float(rng.choice([0.01, 0.1, 0.3]))
    return ((1 - distance) / softness).clamp(0, 1)


def _view(rng: np.random.Generator, sources: PictureSources, width: int, height: int) -> torch.Tensor:
    if chance(rng, 0.12):
        whole = noise_picture(rng)
    else:
        whole = torch.from_numpy(sources.draw(rng).astype(np.float32)).movedim(-1, 0)
    share = float(rng.uniform(0.3, 1))
    rows, columns = (max(16, int(side * share)) for side in whole.shape[-2:])
    top = int(rng.integers(0, whole.shape[-2] - rows + 1))
    left = int(rng.integers(0, whole.shape[-1] - columns + 1))
    crop = whole[:, top : top + rows, left : left + columns]
    if chance(rng, 0.5):
        crop = crop.flip(-1)
    return functional.interpolate(crop[None], size=(height, width), mode="bilinear", antialias=True)[0]


def _graded(rng: np.random.Generator, picture: torch.Tensor) -> torch.Tensor:
    """Change brightness, contrast and colours, so that a few photographs stand for many."""
    if chance(rng, 0.3):
        mixing = torch.from_numpy(rng.dirichlet(np.ones(3), 3).astype(np.float32))
        picture = torch.einsum("oc,chw->ohw", mixing, picture)
    if chance(rng, 0.1):
        picture = 255 - picture
    picture = 255 * (picture.clamp(0, 255) / 255) ** float(np.exp(rng.normal(0, 0.3)))
    low = float(rng.uniform(0, 60)) if chance(rng, 0.3) else 0.0
    high = float(rng.uniform(150, 255)) if chance(rng, 0.3) else 255.0
    return low + picture * (high - low) / 255


def _object(rng: np.random.Generator, sources: PictureSources, picture: torch.Tensor) -> torch.Tensor:
    height, width = picture.shape[-2:]
    alpha = region(rng, height, width) * float(rng.uniform(0.6, 1))
    return picture + (_view(rng, sources, width, height) - picture) * alpha


def _tint(rng: np.random.Generator, picture: torch.Tensor) -> torch.Tensor:
    colour = torch.from_numpy(rng.normal(0, 0.15, 3).astype(np.float32))[:, None, None]
    return picture * (1 + colour * region(rng, picture.shape[-2], picture.shape[-1]))


def _pattern(rng: np.random.Generator, picture: torch.Tensor) -> torch.Tensor:
    """Paint stripes or checks of a genuine size into a region, or over the whole picture."""
    height, width = picture.shape[-2:]
    side = math.sqrt(width * height)
    period = side * float(rng.uniform(*(_COARSE if chance(rng, 0.6) else _FINE)))
    angle = float(rng.uniform(0, math.pi))
    x, y = torch.arange(width)[None, :].float(), torch.arange(height)[:, None].float()
    along = torch.sin(2 * math.pi * (x * math.cos(angle) + y * math.sin(angle)) / period)
    across = torch.sin(2 * math.pi * (y * math.cos(angle) - x * math.sin(angle)) / period)
    wave = along if chance(rng, 0.5) else along * across
    if chance(rng, 0.5):
        wave = wave.sign()
    where = region(rng, height, width) if chance(rng, 0.6) else torch.ones(height, width)
    return picture * (1 + wave * where * float(rng.uniform(0.05, 0.3)))


def _blur(picture: torch.Tensor, sigma: float) -> torch.Tensor:
    radius = max(1, math.ceil(2.5 * sigma))
    offsets = torch.arange(-radius, radius + 1).float()
    kernel = torch.exp(-(offsets**2) / (2 * sigma**2))
    kernel = (kernel / kernel.sum()).expand(3, 1, -1)
    padded = functional.pad(picture[None], (radius, radius, radius, radius), mode="reflect")
    rows = functional.conv2d(padded, kernel[:, :, None, :], groups=3)
    return functional.conv2d(rows, kernel[:, :, :, None], groups=3)[0]
