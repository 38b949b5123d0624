"""Checkpoints on disk become checked models. Nothing is fetched here, and no code of a checkpoint is run."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from huggingface_hub.errors import StrictDataclassError
from safetensors import SafetensorError
from transformers import VideoMAEConfig, VideoMAEForVideoClassification
from transformers.utils import logging as library_logging
from transformers.utils.hub import cached_file

from sentinel_worker.detectors.labels import LabelMap, map_labels
from sentinel_worker.detectors.preprocess import Preprocessing
from sentinel_worker.detectors.registry import DetectorSpec
from sentinel_worker.errors import Fatal

_CHANNELS = 3


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A model in evaluation mode, float32 on the CPU, with what its files say about its use."""

    model: VideoMAEForVideoClassification
    preprocessing: Preprocessing
    labels: LabelMap
    label_names: dict[int, str]


def load_checkpoint(spec: DetectorSpec) -> Checkpoint:
    """Load and check a VideoMAE classifier from `spec.folder`, or from the local cache of the hub.

    Raises Fatal: 'checkpoint_unpinned', 'checkpoint_missing', 'checkpoint_invalid' (other architecture,
    frames or size, missing or unexpected weights), 'label_polarity_unknown', 'preprocessing_unsupported'.
    """
    source, revision = _source(spec)
    config = _parse_config(_read_json(source, revision, "config.json", spec), spec)
    preprocessing = Preprocessing.from_config(
        _read_json(source, revision, "preprocessor_config.json", spec), spec.resize_mode
    )
    _check_config(spec, config, preprocessing)
    names = {int(index): name for index, name in (config.id2label or {}).items()}
    labels = map_labels(names, spec.fake_indices)
    model = _load_model(source, revision, spec)
    return Checkpoint(model, preprocessing, labels, names)


def _source(spec: DetectorSpec) -> tuple[str, str | None]:
    if spec.folder is not None:
        if not spec.folder.is_dir():
            raise Fatal("checkpoint_missing", f"The folder of detector '{spec.key}' does not exist.")
        return str(spec.folder), None
    if spec.repository is None or spec.revision is None:
        raise Fatal(
            "checkpoint_unpinned",
            f"Detector '{spec.key}' has no pinned revision; point it at a folder with its checkpoint.",
        )
    return spec.repository, spec.revision


def _read_json(source: str, revision: str | None, name: str, spec: DetectorSpec) -> dict[str, Any]:
    try:
        path = cached_file(source, name, revision=revision, local_files_only=True)
    except OSError as error:
        raise _missing(spec, name) from error
    if path is None:
        raise _missing(spec, name)
    try:
        content = json.loads(Path(path).read_text(encoding="utf-8"))
    except ValueError as error:
        raise _invalid(spec, f"its {name} is not JSON") from error
    if not isinstance(content, dict):
        raise _invalid(spec, f"its {name} is not a JSON object")
    return content


def _parse_config(content: dict[str, Any], spec: DetectorSpec) -> VideoMAEConfig:
    """Fill in the library's defaults: files leave out values, and labels, that equal them."""
    if content.get("model_type") != "videomae":
        raise _invalid(spec, f"its model_type is {content.get('model_type')!r}, not 'videomae'")
    try:
        config: VideoMAEConfig = VideoMAEConfig.from_dict(content)
    except (StrictDataclassError, AttributeError, TypeError, ValueError) as error:
        raise _invalid(spec, "its config.json has values of the wrong type") from error
    return config


def _check_config(spec: DetectorSpec, config: VideoMAEConfig, preprocessing: Preprocessing) -> None:
    """Compare what the library would only notice as an unclear shape error at the first clip, or never."""
    frames, tubelet = config.num_frames, config.tubelet_size
    if frames != spec.window_policy.frames:
        raise _invalid(spec, f"it takes {frames} frames, the detector is registered with {spec.window_policy.frames}")
    if tubelet < 1 or frames % tubelet:
        raise _invalid(spec, f"its {frames} frames do not divide into tubelets of {tubelet}")
    if config.num_channels != _CHANNELS:
        raise _invalid(spec, "it does not take three colour channels")
    edge = config.image_size
    size = (edge, edge) if isinstance(edge, int) else tuple(edge)
    if size != (preprocessing.crop_height, preprocessing.crop_width):
        raise _invalid(
            spec,
            f"its image_size is {edge}, but its preprocessing makes "
            f"{preprocessing.crop_height} x {preprocessing.crop_width} frames",
        )


def _load_model(source: str, revision: str | None, spec: DetectorSpec) -> VideoMAEForVideoClassification:
    library_logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    load: Any = VideoMAEForVideoClassification.from_pretrained  # its overloads know no loading report
    try:
        model, report = load(
            source,
            revision=revision or "main",
            use_safetensors=True,
            trust_remote_code=False,
            local_files_only=True,
            dtype=torch.float32,
            output_loading_info=True,
        )
    except SafetensorError as error:
        raise _invalid(spec, "its model.safetensors is damaged") from error
    except OSError as error:
        raise _missing(spec, "model.safetensors") from error
    except RuntimeError as error:
        raise _invalid(spec, "its weights have other shapes than its config.json says") from error
    wrong = {name: sorted(map(str, report[name])) for name in ("missing_keys", "unexpected_keys", "mismatched_keys")}
    if any(wrong.values()):
        found = "; ".join(f"{name} {', '.join(keys[:4])}" for name, keys in wrong.items() if keys)
        raise _invalid(spec, f"its weights do not fit the architecture ({found})")
    loaded: VideoMAEForVideoClassification = model.eval()
    return loaded


def _missing(spec: DetectorSpec, name: str) -> Fatal:
    where = "its folder" if spec.folder is not None else f"the local cache ({spec.repository} at {spec.revision})"
    return Fatal("checkpoint_missing", f"Detector '{spec.key}' has no {name} in {where}.")


def _invalid(spec: DetectorSpec, reason: str) -> Fatal:
    return Fatal("checkpoint_invalid", f"The checkpoint of detector '{spec.key}' cannot be used: {reason}.")
