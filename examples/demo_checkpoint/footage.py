"""Footage of 24 frames: a camera over a still, a piece of a reel, or moving noise, with the difficulties of genuine
video: shake, cuts, exposure flicker, moving objects, static overlays, noise, repeated frames.

Frames are float32 RGB [T, 3, H, W] in 0..255. All randomness comes from the generator that is passed in.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch.nn import functional

from examples.demo_checkpoint.sources import Pixels, Sources

SIZES = (
    (176, 144),
    (256, 256),
    (320, 240),
    (320, 180),
    (426, 240),
    (480, 204),
    (180, 320),
    (240, 320),
)


@dataclass(frozen=True, slots=True)
class Shape:
    """Size of the footage, in frames and pixels."""

    frames: int
    width: int
    height: int


def make_footage(rng: np.random.Generator, sources: Sources, shape: Shape) -> torch.Tensor:
    """Make untampered footage with a random share of the difficulties."""
    video = _scene(rng, sources, shape)
    if chance(rng, 0.15):
        cut = int(rng.integers(2, shape.frames - 2))
        video = torch.cat([video[:cut], _scene(rng, sources, shape)[cut:]])
    for _ in range(int(rng.choice([0, 1, 2], p=[0.4, 0.4, 0.2]))):
        video = _moving_object(rng, sources, video)
    if chance(rng, 0.15):
        video = _static_overlay(rng, video)
    if chance(rng, 0.2):
        video = _exposure_flicker(rng, video)
    if chance(rng, 0.35):
        noise = torch.from_numpy(rng.standard_normal(tuple(video.shape), dtype=np.float32))
        video = video + noise * float(rng.uniform(1, 9))
    if chance(rng, 0.1):
        video = _repeated_frames(rng, video)
    return video.clamp(0, 255)


def texture(rng: np.random.Generator, sources: Sources) -> torch.Tensor:
    """Return one picture [3, H, W] of the split, or noise of several octaves."""
    if chance(rng, 0.2):
        return noise_picture(rng)
    name = sources.stills[int(rng.integers(len(sources.stills)))]
    return _tensor(sources.still(name))


def chance(rng: np.random.Generator, probability: float) -> bool:
    """Return True with the given probability; uses one draw."""
    return bool(rng.random() < probability)


def _scene(rng: np.random.Generator, sources: Sources, shape: Shape) -> torch.Tensor:
    kind = rng.choice(["still", "reel"], p=[0.6, 0.4])
    if kind == "still":
        return _camera(rng, texture(rng, sources), shape)
    weights = np.array([1.0 if name.startswith("lavfi:") else 3.0 for name in sources.reels])
    name = sources.reels[int(rng.choice(len(weights), p=weights / weights.sum()))]
    return _piece(rng, sources.reel(name), shape)


def _tensor(picture: Pixels) -> torch.Tensor:
    return torch.from_numpy(picture.astype(np.float32)).movedim(-1, -3)


def noise_picture(rng: np.random.Generator, edge: int = 384) -> torch.Tensor:
    """Return noise of several octaves as a picture [3, edge, edge]."""
    picture = torch.zeros(3, edge, edge)
    for octave in range(2, 8):
        cells = torch.from_numpy(rng.standard_normal((1, 3, 2**octave, 2**octave)).astype(np.float32))
        picture += functional.interpolate(cells, size=edge, mode="bicubic")[0] * float(rng.uniform(0.3, 1))
    grey = float(rng.random())
    picture = grey * picture.mean(0, keepdim=True) + (1 - grey) * picture
    return (picture * float(rng.uniform(12, 40)) + float(rng.uniform(70, 180))).clamp(0, 255)


def _camera(rng: np.random.Generator, picture: torch.Tensor, shape: Shape) -> torch.Tensor:
    """Move a camera over a still: it pans, zooms, rolls and perhaps shakes."""
    frames = shape.frames
    view = float(rng.uniform(0.35, 0.9))
    scale = min(1.5, max(shape.width / (view * picture.shape[-1]), shape.height / (view * picture.shape[-2])))
    picture = functional.interpolate(picture[None], scale_factor=scale, mode="bilinear", antialias=True)
    time = np.linspace(0, 1, frames)
    zoom = view * np.exp(float(rng.normal(0, 0.15)) * time)
    roll = float(rng.normal(0, 0.08)) + float(rng.normal(0, 0.08)) * time
    path = [_drift(rng, time, 1 - view) for _ in range(2)]
    if chance(rng, 0.35):
        shake = float(rng.uniform(0.002, 0.02))
        path = [line + rng.normal(0, shake, frames) for line in path]
    cos, sin = zoom * np.cos(roll), zoom * np.sin(roll)
    theta = np.stack([np.stack([cos, -sin, path[0]], 1), np.stack([sin, cos, path[1]], 1)], 1)
    grid = functional.affine_grid(
        torch.from_numpy(theta.astype(np.float32)),
        [frames, 3, shape.height, shape.width],
        align_corners=False,
    )
    return functional.grid_sample(
        picture.expand(frames, -1, -1, -1), grid, padding_mode="reflection", align_corners=False
    )


def _drift(rng: np.random.Generator, time: np.ndarray, room: float) -> np.ndarray:
    """Draw a smooth path: start, speed and a slow swing, in units of half the picture."""
    speed = float(rng.choice([0, rng.normal(0, 0.15), rng.normal(0, 0.6)]))
    swing = float(rng.normal(0, 0.05)) * np.sin(2 * math.pi * (time * rng.uniform(0.3, 2) + rng.random()))
    line: np.ndarray = float(rng.uniform(-room, room)) + speed * (time - 0.5) + swing
    return line


def _piece(rng: np.random.Generator, reel: Pixels, shape: Shape) -> torch.Tensor:
    """Take a random piece of a reel, perhaps at double speed, cropped and resized."""
    step = 2 if chance(rng, 0.2) and len(reel) >= 2 * shape.frames else 1
    start = int(rng.integers(0, max(1, len(reel) - step * shape.frames + 1)))
    picked = np.minimum(start + step * np.arange(shape.frames), len(reel) - 1)
    part = float(rng.uniform(0.55, 1))
    height, width = int(reel.shape[1] * part), int(reel.shape[2] * part)
    top = int(rng.integers(0, reel.shape[1] - height + 1))
    left = int(rng.integers(0, reel.shape[2] - width + 1))
    piece = _tensor(reel[picked, top : top + height, left : left + width])
    if chance(rng, 0.5):
        piece = piece.flip(-1)
    return functional.interpolate(piece, size=(shape.height, shape.width), mode="bilinear", antialias=True)


def coordinates(height: int, width: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Return x [1, W] and y [H, 1] in -1..1."""
    return torch.linspace(-1, 1, width)[None, :], torch.linspace(-1, 1, height)[:, None]


def _moving_object(rng: np.random.Generator, sources: Sources, video: torch.Tensor) -> torch.Tensor:
    """Add a textured ellipse or rectangle that moves smoothly, often through the centre or swinging there."""
    frames, _, height, width = video.shape
    radius = rng.uniform(0.12, 0.5, 2)
    time = np.arange(frames)
    if chance(rng, 0.5):
        path = [rng.uniform(-0.8, 0.8) + rng.normal(0, 0.04) * (time - frames / 2) for _ in range(2)]
    else:
        path = [
            rng.normal(0, 0.2) + rng.normal(0, 0.08) * np.sin(2 * math.pi * (time / rng.uniform(7, 40) + rng.random()))
            for _ in range(2)
        ]
    growth = np.exp(rng.normal(0, 0.01) * time)
    x, y = coordinates(height, width)
    along = [torch.from_numpy(line.astype(np.float32))[:, None, None] for line in path]
    size = [torch.from_numpy((r * growth).astype(np.float32))[:, None, None] for r in radius]
    u = ((x[None] - along[0]) / size[0]).expand(frames, height, width)
    v = ((y[None] - along[1]) / size[1]).expand(frames, height, width)
    distance = torch.hypot(u, v) if chance(rng, 0.6) else torch.maximum(u.abs(), v.abs())
    softness = float(rng.choice([0.02, 0.1, 0.25]))
    alpha = ((1 - distance) / softness).clamp(0, 1)[:, None] * float(rng.uniform(0.6, 1))
    skin = functional.interpolate(texture(rng, sources)[None], size=(96, 96), mode="bilinear", antialias=True)
    painted = functional.grid_sample(
        skin.expand(frames, -1, -1, -1), torch.stack([u, v], -1), padding_mode="border", align_corners=False
    )
    return video * (1 - alpha) + painted * alpha


def _static_overlay(rng: np.random.Generator, video: torch.Tensor) -> torch.Tensor:
    """Add a tinted or slowly fading region that looks like tampering but does not flicker."""
    x, y = coordinates(video.shape[-2], video.shape[-1])
    rx, ry = rng.uniform(0.2, 0.75, 2)
    u, v = (x - float(rng.normal(0, 0.1))) / rx, (y - float(rng.normal(0, 0.1))) / ry
    distance = torch.hypot(u, v) if chance(rng, 0.5) else torch.maximum(u.abs(), v.abs())
    alpha = ((1 - distance) / float(rng.choice([0.02, 0.2]))).clamp(0, 1)
    fade = 1 + float(rng.choice([0, 0.5])) * np.sin(np.linspace(0, rng.uniform(0.5, 3), len(video)))
    tint = torch.from_numpy(rng.normal(0, 0.15, 3).astype(np.float32))
    amount = torch.from_numpy(fade.astype(np.float32))[:, None, None, None] * tint[None, :, None, None]
    return video * (1 + amount * alpha)


def _exposure_flicker(rng: np.random.Generator, video: torch.Tensor) -> torch.Tensor:
    """Make the whole picture flicker: lamps, flashes, automatic exposure."""
    gains = 1 + rng.normal(0, rng.uniform(0.02, 0.15), (len(video), 1))
    if chance(rng, 0.4):
        gains = gains + rng.normal(0, 0.05, (len(video), 3))
    gains = np.broadcast_to(gains, (len(video), 3)).astype(np.float32)
    return video * torch.from_numpy(np.ascontiguousarray(gains))[:, :, None, None]


def _repeated_frames(rng: np.random.Generator, video: torch.Tensor) -> torch.Tensor:
    """Show every second, third or fourth frame twice, as after a change of the frame rate."""
    every = int(rng.integers(2, 5))
    index = torch.arange(len(video))
    return video[index - (index % every == every - 1).long()]
