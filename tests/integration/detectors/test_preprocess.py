"""Our preprocessing against transformers' own, and the configurations that are refused."""

from __future__ import annotations

import importlib
from typing import Any

import pytest
import torch

from sentinel_worker.detectors.preprocess import PROCESSORS, Preprocessing
from sentinel_worker.domain.errors import Fatal
from tests.integration.detectors.conftest import PREPROCESSOR

SQUASH = PREPROCESSOR | {"size": {"height": 64, "width": 64}}
SHORTEST = PREPROCESSOR | {
    "size": {"shortest_edge": 72},
    "do_center_crop": True,
    "crop_size": {"height": 64, "width": 64},
}


def test_the_same_as_transformers_within_rounding() -> None:
    from tests.integration.detectors import parity  # imports torchcodec and torch's compiler, which takes seconds

    rows = list(parity.measure())
    print(parity.table(rows))  # noqa: T201  # the table is the point of the test
    assert len(rows) == 5 * 7 + 2 * 4
    assert [row for row in rows if row.units > row.tolerance] == []
    assert max(row.probability for row in rows) < parity.PROBABILITY_TOLERANCE


def test_the_override_resizes_straight_to_the_crop() -> None:
    read = Preprocessing.from_config(SHORTEST, "squash")
    assert (read.resize_mode, read.resize_height, read.resize_width) == ("squash", 64, 64)
    assert (read.crop_height, read.crop_width) == (64, 64)


def test_steps_that_are_switched_off_are_left_out() -> None:
    read = Preprocessing.from_config(SQUASH | {"do_rescale": False, "do_normalize": False})
    clip = torch.arange(192, dtype=torch.uint8).view(1, 1, 3, 8, 8)
    assert torch.equal(read.normalise(clip, torch.float32), clip.float())


def test_bfloat16_is_rounded_once_at_the_end() -> None:
    read = Preprocessing.from_config(SQUASH)
    clip = torch.arange(256, dtype=torch.uint8).view(1, 1, 1, 16, 16).expand(1, 1, 3, 16, 16)
    exact = read.normalise(clip, torch.float32)
    assert torch.equal(read.normalise(clip, torch.bfloat16), exact.to(torch.bfloat16))


@pytest.mark.parametrize(
    "change",
    [
        {"image_processor_type": "VivitImageProcessor"},
        {"image_processor_type": None},
        {"do_resize": False},
        {"do_pad": True},
        {"size": True, "do_center_crop": False},
        {"size": {"longest_edge": 64}},
        {"size": {"shortest_edge": 64, "longest_edge": 128}, "do_center_crop": True},
        {"size": {"shortest_edge": 64}},
        {"size": 64},
        {"size": None},
        {"size": {"height": 0, "width": 64}},
        {"do_center_crop": True, "crop_size": None},
        {"do_center_crop": True, "crop_size": {"shortest_edge": 64}},
        {"do_center_crop": True, "crop_size": {"height": 96, "width": 96}},
        {"resample": 1},
        {"image_mean": None},
        {"image_std": [0.5]},
        {"image_std": [0.5, 0.0, 0.5]},
    ],
    ids=str,
)
def test_what_would_change_scores_silently_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(Fatal) as refused:
        Preprocessing.from_config(SQUASH | change)
    assert refused.value.code == "preprocessing_unsupported"


@pytest.mark.parametrize(
    ("config", "frame"),
    [
        ({"image_processor_type": "ViTImageProcessor", "size": 64}, ("squash", 64, 64)),
        ({"feature_extractor_type": "ViTFeatureExtractor", "size": 64}, ("squash", 64, 64)),
        ({"image_processor_type": "ViTImageProcessorFast", "size": [48, 64]}, ("squash", 48, 64)),
        ({"image_processor_type": "DeiTImageProcessor", "size": 72, "crop_size": 64}, ("squash", 72, 64)),
        ({"image_processor_type": "CLIPImageProcessor", "size": 72, "crop_size": 64}, ("shortest_edge", 72, 64)),
        ({"image_processor_type": "VideoMAEImageProcessor", "size": 64, "crop_size": 64}, ("shortest_edge", 64, 64)),
        ({"image_processor_type": "ConvNextImageProcessor", "size": {"shortest_edge": 56}}, ("shortest_edge", 64, 56)),
        ({"image_processor_type": "ConvNextImageProcessor", "size": 384}, ("squash", 384, 384)),
    ],
)
def test_where_the_file_is_silent_its_type_decides(config: dict[str, Any], frame: tuple[str, int, int]) -> None:
    read = Preprocessing.from_config({"image_mean": [0.5] * 3, "image_std": [0.5] * 3} | config)
    mode, resized, cropped = frame
    assert (read.resize_mode, read.resize_height, read.crop_width) == (mode, resized, cropped)


def test_a_file_without_a_type_has_that_of_its_model() -> None:
    silent = {"size": 64, "image_mean": [0.5] * 3, "image_std": [0.5] * 3}
    assert Preprocessing.from_config(silent, model_type="swin").resize_mode == "squash"
    with pytest.raises(Fatal, match="without cropping"):
        Preprocessing.from_config(silent, model_type="siglip")
    with pytest.raises(Fatal, match="EfficientNet"):
        Preprocessing.from_config(silent, model_type="efficientnet")


@pytest.mark.parametrize("name", PROCESSORS)
def test_the_table_of_types_is_the_librarys(name: str) -> None:
    folder = name.lower()
    module = importlib.import_module(f"transformers.models.{folder}.image_processing_pil_{folder}")
    theirs = getattr(module, f"{name}ImageProcessorPil")
    ours = PROCESSORS[name]
    assert ours.center_crop == bool(getattr(theirs, "do_center_crop", None))
    assert ours.integer_is_square == theirs.default_to_square
    assert ours.resample == theirs.resample
    assert (theirs.do_resize, theirs.do_rescale, theirs.do_normalize) == (True, True, True)
    assert theirs.rescale_factor == 1 / 255
