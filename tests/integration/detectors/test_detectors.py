"""The detector: log-odds of fake, whatever the order and number of the checkpoint's labels."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import nn

from sentinel_worker.detectors.video import VideoDetector
from sentinel_worker.errors import Fatal, Transient
from tests.integration.detectors.conftest import FRAMES, MakeCheckpoint, random_clips


def test_log_odds_are_those_of_the_softmax(make_checkpoint: MakeCheckpoint) -> None:
    detector = VideoDetector.load(make_checkpoint(), "cpu")
    clips = random_clips(5)
    logits = detector.score(clips)
    assert logits.dtype == torch.float32
    assert logits.shape == (5,)
    pixels = detector.checkpoint.preprocessing.normalise(clips, torch.float32)
    with torch.inference_mode():
        fake = detector.checkpoint.model(pixel_values=pixels).logits.softmax(1)[:, 1]
    assert torch.allclose(logits.sigmoid(), fake, atol=1e-6)
    assert logits.std() > 0


def test_swapped_labels_swap_the_sign(make_checkpoint: MakeCheckpoint) -> None:
    clips = random_clips(3)
    one = VideoDetector.load(make_checkpoint(labels={0: "real", 1: "fake"}), "cpu").score(clips)
    other = VideoDetector.load(make_checkpoint(labels={0: "fake", 1: "real"}), "cpu").score(clips)
    assert torch.allclose(one, -other, atol=1e-5)


def test_the_fakes_of_three_classes_are_added_up(make_checkpoint: MakeCheckpoint) -> None:
    labels = {0: "Artificial", 1: "Deepfake", 2: "Real"}
    detector = VideoDetector.load(make_checkpoint(labels=labels), "cpu")
    clips = random_clips(3)
    pixels = detector.checkpoint.preprocessing.normalise(clips, torch.float32)
    with torch.inference_mode():
        share = detector.checkpoint.model(pixel_values=pixels).logits.softmax(1)
    assert torch.allclose(detector.score(clips).sigmoid(), share[:, 0] + share[:, 1], atol=1e-6)


def test_bfloat16_moves_the_probability_little(make_checkpoint: MakeCheckpoint) -> None:
    spec, clips = make_checkpoint(), random_clips(4)
    exact = VideoDetector.load(spec, "cpu").score(clips).sigmoid()
    half = VideoDetector.load(spec, "cpu", cpu_bfloat16=True)
    assert half.checkpoint.model.videomae.embeddings.position_embeddings.dtype == torch.bfloat16
    assert torch.allclose(half.score(clips).sigmoid(), exact, atol=0.03)


def test_clips_of_another_shape_are_refused(make_checkpoint: MakeCheckpoint) -> None:
    detector = VideoDetector.load(make_checkpoint(), "cpu")
    with pytest.raises(ValueError, match="uint8"):
        detector.score(random_clips(2).float())
    with pytest.raises(ValueError, match="uint8"):
        detector.score(random_clips(2)[:, :2])
    assert detector.score(random_clips(0)).shape == (0,)


def test_the_geometry_carries_the_trained_step(make_checkpoint: MakeCheckpoint) -> None:
    geometry = VideoDetector.load(make_checkpoint(), "cpu").geometry(25)
    assert geometry.frames == FRAMES
    assert geometry.step_seconds == pytest.approx(1 / 25)
    assert (geometry.crop_height, geometry.crop_width) == (16, 16)


def test_the_description_names_labels_and_their_source(make_checkpoint: MakeCheckpoint) -> None:
    described = VideoDetector.load(make_checkpoint(), "cpu").describe()
    assert described["labels"] == {"0": "real", "1": "fake"}
    assert described["fake_indices"] == [1]
    assert described["fake_indices_source"] == "names"


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without a GPU")
def test_cuda_without_a_gpu_is_refused(make_checkpoint: MakeCheckpoint) -> None:
    with pytest.raises(Fatal) as refused:
        VideoDetector.load(make_checkpoint(), "cuda")
    assert refused.value.code == "no_gpu"


class SmallMemory(nn.Module):
    """A model on a device that holds `clips` clips at once, as torch reports it."""

    def __init__(self, model: nn.Module, clips: int) -> None:
        super().__init__()
        self.model, self.clips, self.batches = model, clips, list[int]()

    def forward(self, pixel_values: torch.Tensor) -> Any:
        if len(pixel_values) > self.clips:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        self.batches.append(len(pixel_values))
        return self.model(pixel_values=pixel_values)


def small_memory(detector: VideoDetector, clips: int) -> SmallMemory:
    model = SmallMemory(detector.checkpoint.model, clips)
    unchecked: Any = model
    detector.checkpoint = replace(detector.checkpoint, model=unchecked)
    return model


def test_a_batch_that_does_not_fit_is_halved_and_stays_small(make_checkpoint: MakeCheckpoint) -> None:
    detector = VideoDetector.load(make_checkpoint(), "cpu")
    clips = random_clips(7)
    expected = detector.score(clips)
    model = small_memory(detector, 2)
    assert torch.allclose(detector.score(clips), expected, atol=1e-5)
    assert model.batches == [1] * 7
    model.batches.clear()
    detector.score(clips[:2])
    assert model.batches == [1, 1]


def test_one_clip_that_does_not_fit_is_worth_another_attempt(make_checkpoint: MakeCheckpoint) -> None:
    detector = VideoDetector.load(make_checkpoint(), "cpu")
    small_memory(detector, 0)
    with pytest.raises(Transient) as refused:
        detector.score(random_clips(3))
    assert refused.value.code == "gpu_out_of_memory"
