"""Parse a checkpoint's config.json and check that its model fits the detector and its preprocessing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from huggingface_hub.errors import StrictDataclassError
from transformers import CONFIG_MAPPING
from transformers.models.auto.modeling_auto import (
    MODEL_FOR_AUDIO_CLASSIFICATION_MAPPING_NAMES,
    MODEL_FOR_IMAGE_CLASSIFICATION_MAPPING_NAMES,
)

from sentinel_worker.detectors.files import invalid
from sentinel_worker.detectors.preprocess import Preprocessing
from sentinel_worker.detectors.registry import DetectorSpec, Task

_CHANNELS = 3
# These take any size: they are convolutional, or interpolate their positions in every forward pass.
_ANY_SIZE = frozenset({"convnext", "convnextv2", "dinov2", "dinov2_with_registers"})
_MODEL_TYPES: Mapping[Task, frozenset[str]] = {
    "video": frozenset({"videomae"}),
    "image": frozenset(MODEL_FOR_IMAGE_CLASSIFICATION_MAPPING_NAMES),
    "audio": frozenset(MODEL_FOR_AUDIO_CLASSIFICATION_MAPPING_NAMES),
}


def parse_config(content: dict[str, Any], spec: DetectorSpec) -> Any:
    """Return a PreTrainedConfig with the library's defaults filled in: files omit values that equal them.

    Raises Fatal('checkpoint_invalid') for an architecture that does not fit the detector's task, or wrong types.
    """
    model_type = content.get("model_type")
    if model_type not in _MODEL_TYPES[spec.task]:
        only = " (only VideoMAE is supported)" if spec.task == "video" else ""
        raise invalid(spec, f"its model_type {model_type!r} is not a supported {spec.task} classifier{only}")
    try:
        config = CONFIG_MAPPING[model_type].from_dict(content)
    except (StrictDataclassError, AttributeError, TypeError, ValueError) as error:
        raise invalid(spec, "its config.json has values of the wrong type") from error
    if config.problem_type not in {None, "single_label_classification"}:
        raise invalid(spec, "its problem_type is not single_label_classification")
    return config


def check_pictures(spec: DetectorSpec, config: Any, preprocessing: Preprocessing) -> None:
    """Check frames, channels and size, which the library reports as unclear shape errors at the first clip, if at all.

    Raises Fatal('checkpoint_invalid').
    """
    if spec.task == "video":
        _check_frames(spec, config)
    vision = getattr(config, "vision_config", config)
    if getattr(vision, "num_channels", _CHANNELS) != _CHANNELS:
        raise invalid(spec, "its model does not take three colour channels")
    edge = getattr(vision, "image_size", None)
    if edge is None or config.model_type in _ANY_SIZE:
        return
    size = (edge, edge) if isinstance(edge, int) else tuple(edge)
    if size != (preprocessing.crop_height, preprocessing.crop_width):
        raise invalid(
            spec,
            f"its image_size is {edge}, but its preprocessing produces "
            f"{preprocessing.crop_height} x {preprocessing.crop_width} frames",
        )


def _check_frames(spec: DetectorSpec, config: Any) -> None:
    frames, tubelet = config.num_frames, config.tubelet_size
    if frames != spec.window_policy.frames:
        raise invalid(
            spec, f"it takes {frames} frames, but the detector is registered with {spec.window_policy.frames}"
        )
    if tubelet < 1 or frames % tubelet:
        raise invalid(spec, f"its {frames} frames are not divisible by its tubelet_size {tubelet}")
