"""Our preprocessing against transformers' own, and what is refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from transformers.models.videomae.image_processing_pil_videomae import VideoMAEImageProcessorPil

from sentinel_worker.detectors.preprocess import Preprocessing
from sentinel_worker.errors import Fatal
from sentinel_worker.local.samples import film_path
from sentinel_worker.media.decode import resize_frame
from sentinel_worker.media.facts import MediaLimits
from sentinel_worker.media.probe import open_media
from sentinel_worker.media.tracks import OpenedVideo
from tests.integration.detectors.conftest import PREPROCESSOR

SQUASH = PREPROCESSOR | {"size": {"height": 64, "width": 64}}
SHORTEST = PREPROCESSOR | {
    "size": {"shortest_edge": 72},
    "do_center_crop": True,
    "crop_size": {"height": 64, "width": 64},
}
LEVEL = 1.01  # one grey level, and the rounding of float32


@pytest.fixture(scope="module", params=["carphone_pristine.mp4", "bikes.mp4"])
def frames(request: pytest.FixtureRequest) -> torch.Tensor:
    """Three frames of a film, uint8 [3, 3, H, W]."""
    media = open_media(film_path(request.param), MediaLimits())
    assert isinstance(media, OpenedVideo)
    return torch.stack([media.decoder.get_frame_at(index).data for index in (0, 40, 90)])


@pytest.mark.parametrize(
    "config",
    [
        SQUASH,
        SHORTEST,
        SQUASH | {"resample": 3},
        SHORTEST | {"resample": 3},
        SHORTEST | {"size": {"shortest_edge": 64}},
    ],
    ids=["squash", "crop", "squash-bicubic", "crop-bicubic", "edge-equals-crop"],
)
def test_at_most_one_grey_level_apart_from_transformers(frames: torch.Tensor, config: dict[str, Any]) -> None:
    preprocessing = Preprocessing.from_config(config)
    geometry = preprocessing.geometry(len(frames), 0.04)
    clip = torch.stack([resize_frame(frame, geometry) for frame in frames])
    ours = preprocessing.normalise(clip[None], torch.float32)[0]
    pictures = [Image.fromarray(frame.permute(1, 2, 0).numpy()) for frame in frames]
    process: Any = VideoMAEImageProcessorPil(**config)
    theirs = process([pictures], return_tensors="np")["pixel_values"][0]
    std = np.array(config["image_std"]).reshape(1, 3, 1, 1)
    apart = np.abs(ours.numpy() - np.asarray(theirs)) * std * 255
    assert apart.max() <= LEVEL
    assert apart.mean() < 0.3


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
        {"do_resize": False},
        {"size": {"longest_edge": 64}},
        {"size": {"shortest_edge": 64, "longest_edge": 128}, "do_center_crop": True},
        {"size": {"shortest_edge": 64}},
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
