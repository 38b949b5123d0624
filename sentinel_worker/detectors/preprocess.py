"""A checkpoint's preprocessing, read from its preprocessor_config.json and split in two: the media child
resizes and crops (uint8), the device rescales and normalises (float)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from transformers.models.auto import image_processing_auto

from sentinel_worker.domain.errors import Fatal
from sentinel_worker.domain.media_facts import ClipGeometry, Resample, ResizeMode

# PIL's numbers, which the config files carry.
_BILINEAR, _BICUBIC = 2, 3
_RESAMPLES: Mapping[int, Resample] = {_BILINEAR: "bilinear", _BICUBIC: "bicubic"}
_CHANNELS = 3
_PROCESSOR_OF_MODEL: Mapping[str, Mapping[str, str]] = image_processing_auto.IMAGE_PROCESSOR_MAPPING_NAMES  # type: ignore[attr-defined]
_RESCALE = 1 / 255
_SUFFIX = re.compile(r"(?:ImageProcessor(?:Fast|Pil)?|FeatureExtractor)$")
# From this edge upward ConvNeXt's processor squashes; below it crops a frame that is larger by 1 / crop_pct.
_CONVNEXT_SQUASH_EDGE = 384
_CONVNEXT_CROP_SHARE = 224 / 256


@dataclass(frozen=True, slots=True)
class ProcessorDefaults:
    """Defaults of a type of image processor, from the library's class attributes."""

    center_crop: bool
    integer_is_square: bool
    resample: int


PROCESSORS: Mapping[str, ProcessorDefaults] = {
    "Beit": ProcessorDefaults(center_crop=False, integer_is_square=True, resample=_BICUBIC),
    "Bit": ProcessorDefaults(center_crop=True, integer_is_square=False, resample=_BICUBIC),
    "CLIP": ProcessorDefaults(center_crop=True, integer_is_square=False, resample=_BICUBIC),
    "ConvNext": ProcessorDefaults(center_crop=False, integer_is_square=False, resample=_BICUBIC),
    "DeiT": ProcessorDefaults(center_crop=True, integer_is_square=True, resample=_BICUBIC),
    "Siglip": ProcessorDefaults(center_crop=False, integer_is_square=False, resample=_BICUBIC),
    "VideoMAE": ProcessorDefaults(center_crop=True, integer_is_square=False, resample=_BILINEAR),
    "ViT": ProcessorDefaults(center_crop=False, integer_is_square=True, resample=_BILINEAR),
}


@dataclass(frozen=True, slots=True)
class Preprocessing:
    """Preprocessing of a frame: resize, crop, `pixel * scale`, `(value - mean) / std` per RGB channel."""

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
    def from_config(
        cls, config: Mapping[str, Any], resize_mode: ResizeMode | None = None, model_type: str | None = None
    ) -> Preprocessing:
        """Parse preprocessor_config.json; `resize_mode` overrides its way of resizing.

        A file that names no type of processor gets the one of its `model_type`. Raises
        Fatal('preprocessing_unsupported') for anything that would silently change the scores: an unknown type, a
        missing mean (the library's defaults are not the checkpoints'), an unknown filter, no resizing.
        """
        name = _processor_name(config, model_type)
        defaults = PROCESSORS[name]
        for step in ("do_pad", "do_flip_channel_order", "rescale_offset", "offset"):
            if config.get(step):
                raise _unsupported(f"it asks for {step}")
        if not _get(config, "do_resize", True):
            raise _unsupported("it does not resize")
        number = _get(config, "resample", defaults.resample)
        resample = _RESAMPLES.get(number)
        if resample is None:
            raise _unsupported(f"its resampling filter {number} is not bilinear or bicubic")
        frame = _convnext_frame(config) if name == "ConvNext" else _frame(config, defaults, resize_mode)
        read = cls(
            *frame,
            resample=resample,
            scale=float(_get(config, "rescale_factor", _RESCALE)) if _get(config, "do_rescale", True) else 1.0,
            mean=_triple(config, "image_mean", 0.0),
            std=_triple(config, "image_std", 1.0),
        )
        if 0 in read.std:
            raise _unsupported("its image_std has a zero")
        if resize_mode is None:
            return read
        height, width = read.crop_height, read.crop_width
        return replace(read, resize_mode=resize_mode, resize_height=height, resize_width=width)

    def geometry(self, frames: int, step_seconds: float, step_frames: int | None = None) -> ClipGeometry:
        """Return the media child's part, for clips of `frames` frames, `step_seconds` or `step_frames` frames apart."""
        return ClipGeometry(
            frames=frames,
            step_seconds=step_seconds,
            resize_mode=self.resize_mode,
            resize_height=self.resize_height,
            resize_width=self.resize_width,
            crop_height=self.crop_height,
            crop_width=self.crop_width,
            resample=self.resample,
            step_frames=step_frames,
        )

    def normalise(self, clips: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
        """Do the device's part: uint8 [N, T, 3, H, W] to `dtype` of the same shape, on the same device.

        Computed in float32, then rounded to `dtype` once.
        """
        shape = (1, 1, _CHANNELS, 1, 1)
        mean = torch.tensor(self.mean, device=clips.device).view(shape)
        std = torch.tensor(self.std, device=clips.device).view(shape)
        return ((clips.to(torch.float32) * self.scale - mean) / std).to(dtype)


_Frame = tuple[ResizeMode, int, int, int, int]
"""Resize mode, height and width; then height and width of the crop."""


def _processor_name(config: Mapping[str, Any], model_type: str | None) -> str:
    named = config.get("image_processor_type") or config.get("feature_extractor_type")
    if named is None and model_type is not None:
        named = _PROCESSOR_OF_MODEL.get(model_type, {}).get("pil")
    if named is None:
        raise _unsupported("it does not name a type of image processor")
    name = _SUFFIX.sub("", str(named))
    if name not in PROCESSORS:
        raise _unsupported(f"its type {named} is not one of {', '.join(sorted(PROCESSORS))}")
    return name


def _get(config: Mapping[str, Any], name: str, default: Any) -> Any:
    """Return a value as the library reads it: null counts as absent."""
    value = config.get(name)
    return default if value is None else value


def _frame(config: Mapping[str, Any], defaults: ProcessorDefaults, override: ResizeMode | None) -> _Frame:
    mode, height, width = _size(config.get("size"), integer_is_square=defaults.integer_is_square)
    if not _get(config, "do_center_crop", defaults.center_crop):
        if mode == "shortest_edge" and override is None:
            raise _unsupported("it keeps the aspect ratio without cropping, so frames have no fixed size")
        return mode, height, width, height, width
    crop_mode, crop_height, crop_width = _size(config.get("crop_size"), integer_is_square=True)
    if crop_mode != "squash":
        raise _unsupported("its crop_size is not a height and a width")
    if crop_height > height or crop_width > width:
        raise _unsupported("its crop is larger than the resized frame")
    return mode, height, width, crop_height, crop_width


def _convnext_frame(config: Mapping[str, Any]) -> _Frame:
    mode, edge, _ = _size(config.get("size"), integer_is_square=False)
    if mode != "shortest_edge" or config.get("do_center_crop"):
        raise _unsupported("a ConvNext processor needs a shortest edge and no crop besides its own")
    if edge >= _CONVNEXT_SQUASH_EDGE:
        return "squash", edge, edge, edge, edge
    larger = int(edge / _get(config, "crop_pct", _CONVNEXT_CROP_SHARE))
    return "shortest_edge", larger, larger, edge, edge


def _size(value: Any, *, integer_is_square: bool) -> tuple[ResizeMode, int, int]:
    """Parse `{"shortest_edge": s}`, `{"height": h, "width": w}`, or a number, which can mean either."""
    match value:
        case bool():
            pass
        case {"shortest_edge": int(edge), **rest} if edge > 0 and not rest.get("longest_edge"):
            return "shortest_edge", edge, edge
        case {"height": int(height), "width": int(width)} | [int(height), int(width)] if height > 0 and width > 0:
            return "squash", height, width
        case int(edge) if edge > 0:
            return "squash" if integer_is_square else "shortest_edge", edge, edge
    raise _unsupported(f"its size {value!r} is neither a height and width nor a shortest edge")


def _triple(config: Mapping[str, Any], name: str, neutral: float) -> tuple[float, float, float]:
    if not _get(config, "do_normalize", True):
        return (neutral, neutral, neutral)
    match config.get(name):
        case [float() | int() as red, float() | int() as green, float() | int() as blue]:
            return float(red), float(green), float(blue)
        case _:
            raise _unsupported(f"it has no {name} of three numbers")


def _unsupported(reason: str) -> Fatal:
    return Fatal("preprocessing_unsupported", f"The checkpoint's preprocessor_config.json cannot be used: {reason}.")
