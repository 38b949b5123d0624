"""Load checkpoints from disk and check them. Nothing is fetched, and a checkpoint's code runs only if the operator
allows it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
import transformers
from safetensors import SafetensorError
from transformers.utils import logging as library_logging

from sentinel_worker.detectors.architecture import check_pictures, parse_config
from sentinel_worker.detectors.files import (
    CONFIG,
    PREPROCESSOR,
    WEIGHTS,
    Located,
    check_contents,
    invalid,
    locate,
    missing,
    read_json,
    reading,
)
from sentinel_worker.detectors.labels import LabelMap, map_labels
from sentinel_worker.detectors.preprocess import Preprocessing
from sentinel_worker.detectors.registry import DetectorSpec, Task
from sentinel_worker.detectors.sound import SoundPreprocessing
from sentinel_worker.domain.errors import Fatal
from sentinel_worker.domain.machine_errors import raise_if_passing

_AUTO_CLASSES: Mapping[Task, str] = {
    "video": "AutoModelForVideoClassification",
    "image": "AutoModelForImageClassification",
    "audio": "AutoModelForAudioClassification",
}


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A model in evaluation mode, float32 on the CPU, with its preprocessing and labels."""

    model: torch.nn.Module
    preprocessing: Preprocessing | SoundPreprocessing
    labels: LabelMap
    label_names: dict[int, str]
    revision: str | None

    @property
    def pictures(self) -> Preprocessing:
        """The preprocessing of a video or image checkpoint."""
        assert isinstance(self.preprocessing, Preprocessing)
        return self.preprocessing

    @property
    def sound(self) -> SoundPreprocessing:
        """The preprocessing of an audio checkpoint."""
        assert isinstance(self.preprocessing, SoundPreprocessing)
        return self.preprocessing


def load_checkpoint(spec: DetectorSpec) -> Checkpoint:
    """Load and check the classifier in `spec.folder`, or in the local cache of the hub.

    Raises Fatal: 'checkpoint_unpinned', 'checkpoint_missing', 'checkpoint_invalid' (not what was pulled, another
    architecture, frame count or size, missing or unexpected weights), 'weights_not_safetensors',
    'remote_code_refused', 'label_polarity_unknown', 'preprocessing_unsupported', 'calibration_mismatch'.
    """
    located = locate(spec)
    check_contents(located, spec)
    content = read_json(located, CONFIG, spec)
    own_code = "auto_map" in content
    if own_code and not spec.remote_code:
        raise Fatal(
            "remote_code_refused",
            f"The checkpoint of detector '{spec.key}' needs to run its own code; "
            "set allow_remote_code in the detectors file to allow it.",
        )
    config = _remote_config(located, spec) if own_code else parse_config(content, spec)
    preprocessing = _preprocessing(located, spec, config, own_code=own_code)
    names = {int(index): name for index, name in (config.id2label or {}).items()}
    labels = map_labels(names, spec.fake_indices)
    _check_calibration(located, spec)
    model = _load_model(located, spec, config, content.get("auto_map"))
    return Checkpoint(model, preprocessing, labels, names, located.revision)


def _preprocessing(
    located: Located, spec: DetectorSpec, config: Any, *, own_code: bool
) -> Preprocessing | SoundPreprocessing:
    if spec.task == "audio":
        if own_code:  # the model takes raw samples
            return SoundPreprocessing(spec.sample_rate, do_normalize=False)
        return SoundPreprocessing.from_config(read_json(located, PREPROCESSOR, spec), spec.sample_rate)
    read = read_json(located, PREPROCESSOR, spec)
    preprocessing = Preprocessing.from_config(read, spec.resize_mode, config.model_type)
    check_pictures(spec, config, preprocessing)
    return preprocessing


def _check_calibration(located: Located, spec: DetectorSpec) -> None:
    if spec.calibrated_weights is None:
        return
    with reading(spec):
        found = located.weights_sha256()
    if spec.calibrated_weights != found:
        raise Fatal(
            "calibration_mismatch",
            f"The calibration of detector '{spec.key}' was fitted on other weights than the loaded ones; "
            "run `sentinel-worker evaluate` again.",
        )


def _remote_config(located: Located, spec: DetectorSpec) -> Any:
    load: Any = transformers.AutoConfig.from_pretrained
    try:
        return load(str(located.folder), trust_remote_code=True, local_files_only=True)
    except (OSError, ValueError, ImportError, AttributeError) as error:
        raise_if_passing(error)
        raise invalid(spec, "its own code cannot be loaded") from error


def _unloadable(error: Exception, spec: DetectorSpec) -> Fatal:
    match error:
        case SafetensorError():
            return invalid(spec, f"its {WEIGHTS} is damaged")
        case OSError():
            return missing(spec, WEIGHTS)
        case ImportError():
            return invalid(spec, "it needs a package that is not installed")
    return invalid(spec, "the shapes of its weights do not match its config.json")


def _load_model(
    located: Located, spec: DetectorSpec, config: Any, auto_map: Mapping[str, Any] | None
) -> torch.nn.Module:
    library_logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    name = _AUTO_CLASSES[spec.task]
    if auto_map is not None and name not in auto_map:
        name = "AutoModel"
    load: Any = getattr(transformers, name).from_pretrained
    try:
        model, report = load(
            str(located.folder),
            config=config,
            use_safetensors=True,
            trust_remote_code=auto_map is not None,
            local_files_only=True,
            dtype=torch.float32,
            output_loading_info=True,
        )
    except (SafetensorError, OSError, ImportError, RuntimeError) as error:
        raise_if_passing(error)
        raise _unloadable(error, spec) from error
    wrong = {name: sorted(map(str, report[name])) for name in ("missing_keys", "unexpected_keys", "mismatched_keys")}
    if any(wrong.values()):
        found = "; ".join(f"{name} {', '.join(keys[:4])}" for name, keys in wrong.items() if keys)
        raise invalid(spec, f"its weights do not fit the architecture ({found})")
    loaded: torch.nn.Module = model.eval()
    return loaded
