"""A checkpoint's preprocessing, read from its preprocessor_config.json and split in two: the media child
resizes and crops (uint8), the device rescales and normalises (float)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch

from sentinel_worker.errors import Fatal
from sentinel_worker.media.facts import ClipGeometry, Resample, ResizeMode

# PIL's numbers, which the config files carry.
_RESAMPLES: Mapping[int, Resample] = {2: "bilinear", 3: "bicubic"}
_CHANNELS = 3


@dataclass(frozen=True, slots=True)
class Preprocessing:
    """What happens to a frame: resize, crop, `pixel * scale`, `(value - mean) / std` per RGB channel."""

    resize_mode: ResizeMode
    resize_height: int
    resize_width: int
    crop_height: int
    crop_width: int
    resample: Resample
    scale: float
    mean: tuple[float, float, float]
    std: tuple[float, float, float]

    @classmethod
    def from_config(cls, config: Mapping[str, Any], resize_mode: ResizeMode | None = None) -> Preprocessing:
        """Read preprocessor_config.json; `resize_mode` overrides its way of resizing.

        Raises Fatal('preprocessing_unsupported') for what would silently change the scores: a missing mean
        (the library's defaults are not the checkpoints'), an unknown filter, no resizing.
        """
        if not config.get("do_resize", True):
            raise _unsupported("it does not resize")
        mode, height, width = _size(config.get("size"))
        crop_height, crop_width = height, width
        if config.get("do_center_crop", True):
            crop_mode, crop_height, crop_width = _size(config.get("crop_size"))
            if crop_mode != "squash":
                raise _unsupported("its crop_size is not a height and a width")
            if crop_height > height or crop_width > width:
                raise _unsupported("its crop is larger than the resized frame")
        elif mode == "shortest_edge" and resize_mode is None:
            raise _unsupported("it keeps the aspect ratio without cropping, so frames have no fixed size")
        resample = _RESAMPLES.get(config.get("resample", 2))
        if resample is None:
            raise _unsupported(f"its resampling filter {config.get('resample')} is not bilinear or bicubic")
        read = cls(
            resize_mode=mode,
            resize_height=height,
            resize_width=width,
            crop_height=crop_height,
            crop_width=crop_width,
            resample=resample,
            scale=float(config.get("rescale_factor", 1 / 255)) if config.get("do_rescale", True) else 1.0,
            mean=_triple(config, "image_mean", 0.0),
            std=_triple(config, "image_std", 1.0),
        )
        if 0 in read.std:
            raise _unsupported("its image_std has a zero")
        if resize_mode is None:
            return read
        return replace(read, resize_mode=resize_mode, resize_height=crop_height, resize_width=crop_width)

    def geometry(self, frames: int, step_seconds: float) -> ClipGeometry:
        """The media child's part, for clips of `frames` frames that lie `step_seconds` apart."""
        return ClipGeometry(
            frames=frames,
            step_seconds=step_seconds,
            resize_mode=self.resize_mode,
            resize_height=self.resize_height,
            resize_width=self.resize_width,
            crop_height=self.crop_height,
            crop_width=self.crop_width,
            resample=self.resample,
        )

    def normalise(self, clips: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
        """The device's part: uint8 [N, T, 3, H, W] to `dtype` of the same shape, on the same device.

        Computed in float32, then rounded to `dtype` once.
        """
        shape = (1, 1, _CHANNELS, 1, 1)
        mean = torch.tensor(self.mean, device=clips.device).view(shape)
        std = torch.tensor(self.std, device=clips.device).view(shape)
        return ((clips.to(torch.float32) * self.scale - mean) / std).to(dtype)


def _size(value: Any) -> tuple[ResizeMode, int, int]:
    """`{"shortest_edge": s}` or `{"height": h, "width": w}`."""
    match value:
        case {"shortest_edge": int(edge), **rest} if edge > 0 and not rest.get("longest_edge"):
            return "shortest_edge", edge, edge
        case {"height": int(height), "width": int(width)} if height > 0 and width > 0:
            return "squash", height, width
        case _:
            raise _unsupported(f"its size {value!r} is neither a height and width nor a shortest edge")


def _triple(config: Mapping[str, Any], name: str, neutral: float) -> tuple[float, float, float]:
    if not config.get("do_normalize", True):
        return (neutral, neutral, neutral)
    match config.get(name):
        case [float() | int() as red, float() | int() as green, float() | int() as blue]:
            return float(red), float(green), float(blue)
        case _:
            raise _unsupported(f"it has no {name} of three numbers")


def _unsupported(reason: str) -> Fatal:
    return Fatal("preprocessing_unsupported", f"The checkpoint's preprocessor_config.json cannot be used: {reason}.")
