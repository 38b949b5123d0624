"""Loading: what is accepted, and which sentence says what was refused."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from sentinel_worker.detectors.labels import LabelMap
from sentinel_worker.detectors.registry import DetectorSpec, find_detector
from sentinel_worker.detectors.weights import load_checkpoint
from sentinel_worker.errors import Fatal
from tests.integration.detectors.conftest import MakeCheckpoint


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
        ({"num_frames": 16}, "takes 16 frames, the detector is registered with 4"),
        ({"tubelet_size": 3}, "tubelets of 3"),
        ({"image_size": 32}, "image_size is 32"),
        ({"model_type": "vit"}, "model_type is 'vit'"),
        ({"num_channels": 1}, "three colour channels"),
        ({"num_frames": "4"}, "wrong type"),
        ({"id2label": ["real", "fake"]}, "wrong type"),
        ({"hidden_size": 32}, "other shapes|do not fit"),
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


def test_pickled_weights_are_not_loaded(make_checkpoint: MakeCheckpoint) -> None:
    spec = make_checkpoint()
    torch.save(load_file(weights_of(spec)), weights_of(spec).with_name("pytorch_model.bin"))
    weights_of(spec).unlink()
    refused = refusal(spec)
    assert refused.code == "checkpoint_missing"
    assert "model.safetensors" in refused.message


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
    load_checkpoint(spec)
    assert not trace.exists()


def test_a_repository_is_only_looked_up_in_the_local_cache() -> None:
    spec = find_detector("video-large")
    assert refusal(spec).code == "checkpoint_missing"


def test_a_repository_without_a_pinned_revision_is_refused() -> None:
    assert refusal(find_detector("video-base")).code == "checkpoint_unpinned"


def test_a_folder_that_does_not_exist_is_refused(tmp_path: Path) -> None:
    assert refusal(find_detector("demo", tmp_path / "nowhere")).code == "checkpoint_missing"


def test_an_operators_folder_brings_its_own_number_of_frames(make_checkpoint: MakeCheckpoint) -> None:
    folder = make_checkpoint().folder
    assert folder is not None
    spec = find_detector("our-own", folder)
    assert spec.window_policy.frames == 4
    assert load_checkpoint(spec).labels.fake_indices == (1,)
    config = json.loads((folder / "config.json").read_text())
    del config["num_frames"]
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(Fatal, match="num_frames"):
        find_detector("our-own", folder)
