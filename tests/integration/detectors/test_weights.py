"""Loading: the accepted checkpoints, and the error for each refused one."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import (
    ConvNextConfig,
    ConvNextForImageClassification,
    SiglipConfig,
    SiglipForImageClassification,
    SwinConfig,
    SwinForImageClassification,
)

from sentinel_worker.detectors.files import Located
from sentinel_worker.detectors.labels import LabelMap
from sentinel_worker.detectors.loading import load_detector
from sentinel_worker.detectors.registry import DetectorSpec, find_detector
from sentinel_worker.detectors.weights import load_checkpoint
from sentinel_worker.domain.errors import Fatal
from tests.integration.detectors.conftest import MakeCheckpoint


def other_pictures() -> dict[str, Any]:
    """Small image classifiers other than ViT, by the name of their processor."""
    torch.manual_seed(1)
    named: dict[str, Any] = {"id2label": {0: "real", 1: "fake"}, "label2id": {"real": 0, "fake": 1}}
    vision: dict[str, Any] = {
        "image_size": 32,
        "patch_size": 8,
        "hidden_size": 16,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "intermediate_size": 16,
    }
    return {
        "Siglip": SiglipForImageClassification(SiglipConfig(vision_config=vision, text_config={}, **named)),
        "ViT": SwinForImageClassification(
            SwinConfig(
                image_size=32, patch_size=4, embed_dim=8, depths=[1, 1], num_heads=[1, 2], window_size=4, **named
            )
        ),
        "ConvNext": ConvNextForImageClassification(
            ConvNextConfig(hidden_sizes=[8, 8, 8, 8], depths=[1, 1, 1, 1], **named)
        ),
    }


def refusal(spec: DetectorSpec) -> Fatal:
    with pytest.raises(Fatal) as refused:
        load_checkpoint(spec)
    assert str(spec.folder) not in refused.value.message
    return refused.value


def weights_of(spec: DetectorSpec) -> Path:
    assert spec.folder is not None
    return spec.folder / "model.safetensors"


def test_a_checkpoint_is_loaded_whole(make_checkpoint: MakeCheckpoint) -> None:
    spec = make_checkpoint()
    checkpoint = load_checkpoint(spec)
    assert not checkpoint.model.training
    assert checkpoint.labels == LabelMap((1,), (0,), "names")
    assert checkpoint.label_names == {0: "real", 1: "fake"}
    stored = load_file(weights_of(spec))["classifier.weight"]
    assert torch.equal(checkpoint.model.get_parameter("classifier.weight"), stored)


def test_biases_under_their_old_names_are_converted(make_checkpoint: MakeCheckpoint) -> None:
    spec = make_checkpoint()
    stored = load_file(weights_of(spec))
    name = "videomae.encoder.layer.0.attention.attention.q_bias"
    stored[name] = torch.full_like(stored[name], 0.75)
    save_file(stored, weights_of(spec), metadata={"format": "pt"})
    bias = load_checkpoint(spec).model.get_parameter("videomae.encoder.layer.0.attention.attention.query.bias")
    assert torch.equal(bias, torch.full_like(bias, 0.75))


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ({"num_frames": 16}, "takes 16 frames, but the detector is registered with 4"),
        ({"tubelet_size": 3}, "not divisible by its tubelet_size 3"),
        ({"image_size": 32}, "image_size is 32"),
        ({"model_type": "vit"}, "model_type 'vit' is not a supported video classifier"),
        ({"model_type": None}, "model_type None is not a supported video classifier"),
        ({"problem_type": "multi_label_classification"}, "problem_type is not single_label_classification"),
        ({"num_channels": 1}, "three colour channels"),
        ({"num_frames": "4"}, "wrong type"),
        ({"id2label": ["real", "fake"]}, "wrong type"),
        ({"hidden_size": 32}, "shapes of its weights|do not fit"),
        ({"num_hidden_layers": 2}, "missing_keys"),
        ({"use_mean_pooling": False}, "do not fit"),
    ],
)
def test_a_config_that_does_not_fit_is_refused(
    make_checkpoint: MakeCheckpoint, config: dict[str, object], said: str
) -> None:
    refused = refusal(make_checkpoint(config=config))
    assert refused.code == "checkpoint_invalid"
    assert re.search(said, refused.message)


def test_missing_and_unexpected_weights_are_refused(make_checkpoint: MakeCheckpoint) -> None:
    spec = make_checkpoint()
    stored = load_file(weights_of(spec))
    save_file({k: v for k, v in stored.items() if k != "classifier.weight"}, weights_of(spec), {"format": "pt"})
    assert "missing_keys classifier.weight" in refusal(spec).message
    save_file(stored | {"head.weight": torch.zeros(2)}, weights_of(spec), {"format": "pt"})
    assert "unexpected_keys head.weight" in refusal(spec).message


def test_damaged_weights_are_refused(make_checkpoint: MakeCheckpoint) -> None:
    spec = make_checkpoint()
    weights_of(spec).write_bytes(weights_of(spec).read_bytes()[:-64])
    refused = refusal(spec)
    assert refused.code == "checkpoint_invalid"
    assert "damaged" in refused.message


class Trap:
    """Writes a file when it is unpickled."""

    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.trace,)


def test_pickled_weights_are_not_loaded(make_checkpoint: MakeCheckpoint, tmp_path: Path) -> None:
    spec, trace = make_checkpoint(), tmp_path / "ran"
    weights_of(spec).unlink()
    torch.save(Trap(trace), weights_of(spec).with_name("pytorch_model.bin"))
    refused = refusal(spec)
    assert refused.code == "weights_not_safetensors"
    assert "has pytorch_model.bin but no model.safetensors. Other formats can run code" in refused.message
    assert not trace.exists()


def test_a_pickle_under_the_name_of_safetensors_is_not_loaded(make_checkpoint: MakeCheckpoint, tmp_path: Path) -> None:
    spec, trace = make_checkpoint(), tmp_path / "ran"
    torch.save(Trap(trace), weights_of(spec))
    assert "model.safetensors is damaged" in refusal(spec).message
    assert not trace.exists()


@pytest.mark.parametrize("name", ["pytorch_model-00001-of-00001.bin", "../model.safetensors", "/model.safetensors", 7])
def test_an_index_that_names_anything_but_safetensors_beside_it_is_refused(
    make_checkpoint: MakeCheckpoint, tmp_path: Path, name: str | int
) -> None:
    spec, trace = make_checkpoint(), tmp_path / "ran"
    assert spec.folder is not None
    index = {"metadata": {"total_size": 1}, "weight_map": dict.fromkeys(load_file(weights_of(spec)), name)}
    weights_of(spec).unlink()
    (spec.folder / "model.safetensors.index.json").write_text(json.dumps(index))
    torch.save(Trap(trace), spec.folder / "pytorch_model-00001-of-00001.bin")
    refused = refusal(spec)
    assert refused.code == "checkpoint_invalid"
    assert "does not list safetensors files beside it" in refused.message
    assert not trace.exists()


def test_weights_in_a_folder_can_be_pinned(make_checkpoint: MakeCheckpoint) -> None:
    spec = make_checkpoint()
    pinned = replace(spec, weights_sha256=hashlib.sha256(weights_of(spec).read_bytes()).hexdigest())
    load_checkpoint(pinned)
    stored = load_file(weights_of(spec))
    stored["classifier.bias"] += 1
    save_file(stored, weights_of(spec), metadata={"format": "pt"})
    refused = refusal(pinned)
    assert refused.code == "checkpoint_invalid"
    assert "differs from weights_sha256 in the detectors file" in refused.message
    load_checkpoint(spec)


@pytest.mark.parametrize("name", ["config.json", "preprocessor_config.json", "model.safetensors"])
def test_each_missing_file_is_named(make_checkpoint: MakeCheckpoint, name: str) -> None:
    spec = make_checkpoint()
    assert spec.folder is not None
    (spec.folder / name).unlink()
    refused = refusal(spec)
    assert refused.code == "checkpoint_missing"
    assert name in refused.message


def test_a_broken_config_is_refused(make_checkpoint: MakeCheckpoint) -> None:
    spec = make_checkpoint()
    assert spec.folder is not None
    for content, said in (("{", "not JSON"), ("[]", "not a JSON object")):
        (spec.folder / "config.json").write_text(content)
        refused = refusal(spec)
        assert refused.code == "checkpoint_invalid"
        assert said in refused.message


def test_labels_that_say_nothing_need_an_override(make_checkpoint: MakeCheckpoint) -> None:
    spec = make_checkpoint(labels={0: "LABEL_0", 1: "LABEL_1"})
    assert refusal(spec).code == "label_polarity_unknown"
    told = make_checkpoint(labels={0: "LABEL_0", 1: "LABEL_1"}, fake_indices=(0,))
    assert load_checkpoint(told).labels == LabelMap((0,), (1,), "override")


def test_code_of_a_checkpoint_is_not_run(make_checkpoint: MakeCheckpoint, tmp_path: Path) -> None:
    spec = make_checkpoint(config={"auto_map": {"AutoModelForVideoClassification": "evil.Evil"}})
    assert spec.folder is not None
    trace = tmp_path / "ran"
    (spec.folder / "evil.py").write_text(f"open({str(trace)!r}, 'w')\nclass Evil: pass\n")
    refused = refusal(spec)
    assert refused.code == "remote_code_refused"
    assert "allow_remote_code" in refused.message
    assert not trace.exists()


def test_a_repository_is_only_looked_up_in_the_local_cache() -> None:
    refused = refusal(find_detector("video-large"))
    assert refused.code == "checkpoint_missing"
    assert "sentinel-worker models pull video-large" in refused.message


def test_a_repository_without_a_pinned_revision_has_to_be_pulled() -> None:
    refused = refusal(find_detector("video-base"))
    assert refused.code == "checkpoint_unpinned"
    assert "sentinel-worker models pull video-base" in refused.message


def test_a_folder_that_does_not_exist_is_refused(tmp_path: Path) -> None:
    assert refusal(replace(find_detector("demo"), folder=tmp_path / "nowhere")).code == "checkpoint_missing"


def test_an_unreadable_folder_is_refused(tmp_path: Path) -> None:
    refused = refusal(replace(find_detector("demo"), folder=tmp_path / ("x" * 300)))
    assert refused.code == "checkpoint_invalid"
    assert "File name too long" in refused.message


def test_a_calibration_of_other_weights_is_refused(make_checkpoint: MakeCheckpoint) -> None:
    spec = make_checkpoint()
    digest = hashlib.sha256(weights_of(spec).read_bytes()).hexdigest()
    assert load_checkpoint(replace(spec, calibrated_weights=digest)).labels.fake_indices == (1,)
    refused = refusal(replace(spec, calibrated_weights="0" * 64))
    assert refused.code == "calibration_mismatch"
    assert "evaluate" in refused.message


def test_shards_are_loaded_and_hashed_together(make_checkpoint: MakeCheckpoint) -> None:
    spec = make_checkpoint()
    assert spec.folder is not None
    whole = load_checkpoint(spec).model
    load: Any = whole
    weights_of(spec).unlink()
    load.save_pretrained(spec.folder, max_shard_size="4KB")
    files = Located(spec.folder).weights()
    assert len(files) > 1
    lines = "".join(f"{hashlib.sha256(file.read_bytes()).hexdigest()}  {file.name}\n" for file in files)
    digest = hashlib.sha256(lines.encode()).hexdigest()
    model = load_checkpoint(replace(spec, calibrated_weights=digest)).model
    assert all(torch.equal(one, other) for one, other in zip(model.parameters(), whole.parameters(), strict=True))
    files[0].unlink()
    assert refusal(spec).code == "checkpoint_missing"


def test_pictures_without_a_fitting_size_are_refused(make_checkpoint: MakeCheckpoint) -> None:
    vit = {"image_processor_type": "ViTImageProcessor"}
    assert load_checkpoint(make_checkpoint("image", preprocessor=vit)).pictures.crop_height == 16
    refused = refusal(make_checkpoint("image", preprocessor=vit | {"size": 32}))
    assert re.search(r"image_size is 16, but its preprocessing produces 32 x 32", refused.message)


@pytest.mark.parametrize(("name", "model"), sorted(other_pictures().items()))
def test_other_image_architectures_are_taken(make_checkpoint: MakeCheckpoint, name: str, model: Any) -> None:
    preprocessor = {"image_processor_type": f"{name}ImageProcessor", "size": {"shortest_edge": 32}, "crop_pct": 1.0}
    if name != "ConvNext":
        preprocessor["size"] = {"height": 32, "width": 32}
    spec = make_checkpoint("image", model=model, preprocessor=preprocessor)
    detector = load_detector(spec, "cpu")
    assert detector.clip_shape == (1, 3, 32, 32)
    assert detector.score(torch.zeros((2, 1, 3, 32, 32), dtype=torch.uint8)).shape == (2,)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"sampling_rate": 8000}, "takes 8000 samples a second, but the detector is registered with 16000"),
        ({"feature_extractor_type": "ASTFeatureExtractor"}, "ASTFeatureExtractor is not Wav2Vec2FeatureExtractor"),
        ({"feature_size": 2}, "mono sound"),
    ],
)
def test_sound_that_would_be_prepared_otherwise_is_refused(
    make_checkpoint: MakeCheckpoint, change: dict[str, Any], said: str
) -> None:
    refused = refusal(make_checkpoint("audio", preprocessor=change))
    assert refused.code == "preprocessing_unsupported"
    assert said in refused.message


def test_norms_under_their_old_names_are_converted(make_checkpoint: MakeCheckpoint) -> None:
    """Weight normalisation in torch before 2.0 has weight_g and weight_v."""
    spec = make_checkpoint("audio")
    new = load_checkpoint(spec).model
    stored = load_file(weights_of(spec))
    prefix = "wav2vec2.encoder.pos_conv_embed.conv."
    renamed = {
        key.replace("parametrizations.weight.original0", "weight_g").replace(
            "parametrizations.weight.original1", "weight_v"
        ): value
        for key, value in stored.items()
    }
    assert {f"{prefix}weight_g", f"{prefix}weight_v"} <= set(renamed)
    save_file(renamed, weights_of(spec), metadata={"format": "pt"})
    old = load_checkpoint(spec).model
    for name, value in new.state_dict().items():
        assert torch.equal(old.state_dict()[name], value), name
