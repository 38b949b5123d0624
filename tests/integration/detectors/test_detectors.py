"""Detectors of every task: log-odds of fake, for any order and number of the checkpoint's labels."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file
from torch import nn
from transformers.models.videomae.image_processing_pil_videomae import VideoMAEImageProcessorPil

from sentinel_worker.detectors.base import LoadedDetector
from sentinel_worker.detectors.loading import load_detector
from sentinel_worker.detectors.registry import Task
from sentinel_worker.domain.errors import Fatal, Transient
from sentinel_worker.domain.media_facts import ClipGeometry, SoundGeometry
from tests.integration.detectors.conftest import (
    EXTRACTOR,
    FRAMES,
    HUNGRY_EDGE,
    PREPROCESSOR,
    SAMPLES,
    MakeCheckpoint,
    hungry_model,
    random_clips,
    random_sounds,
)
from tests.memory import memory_left


def test_log_odds_are_those_of_the_softmax(make_checkpoint: MakeCheckpoint) -> None:
    detector = load_detector(make_checkpoint(), "cpu")
    clips = random_clips(5)
    logits = detector.score(clips)
    assert logits.dtype == torch.float32
    assert logits.shape == (5,)
    pixels = detector.checkpoint.pictures.normalise(clips, torch.float32)
    with torch.inference_mode():
        fake = detector.checkpoint.model(pixel_values=pixels).logits.softmax(1)[:, 1]
    assert torch.allclose(logits.sigmoid(), fake, atol=1e-6)
    assert logits.std() > 0


def test_swapped_labels_swap_the_sign(make_checkpoint: MakeCheckpoint) -> None:
    clips = random_clips(3)
    one = load_detector(make_checkpoint(labels={0: "real", 1: "fake"}), "cpu").score(clips)
    other = load_detector(make_checkpoint(labels={0: "fake", 1: "real"}), "cpu").score(clips)
    assert torch.allclose(one, -other, atol=1e-5)


def test_the_fakes_of_three_classes_are_added_up(make_checkpoint: MakeCheckpoint) -> None:
    labels = {0: "Artificial", 1: "Deepfake", 2: "Real"}
    detector = load_detector(make_checkpoint(labels=labels), "cpu")
    clips = random_clips(3)
    pixels = detector.checkpoint.pictures.normalise(clips, torch.float32)
    with torch.inference_mode():
        share = detector.checkpoint.model(pixel_values=pixels).logits.softmax(1)
    assert torch.allclose(detector.score(clips).sigmoid(), share[:, 0] + share[:, 1], atol=1e-6)


def test_bfloat16_moves_the_probability_little(make_checkpoint: MakeCheckpoint) -> None:
    spec, clips = make_checkpoint(), random_clips(4)
    exact = load_detector(spec, "cpu").score(clips).sigmoid()
    half = load_detector(spec, "cpu", cpu_bfloat16=True)
    model: Any = half.checkpoint.model
    assert model.videomae.embeddings.position_embeddings.dtype == torch.bfloat16
    assert torch.allclose(half.score(clips).sigmoid(), exact, atol=0.03)


def test_a_sound_is_not_a_picture(make_checkpoint: MakeCheckpoint) -> None:
    with pytest.raises(ValueError, match="float32"):
        load_detector(make_checkpoint("audio"), "cpu").score(random_clips(1))


def test_clips_of_another_shape_are_refused(make_checkpoint: MakeCheckpoint) -> None:
    detector = load_detector(make_checkpoint(), "cpu")
    with pytest.raises(ValueError, match="uint8"):
        detector.score(random_clips(2).float())
    with pytest.raises(ValueError, match="uint8"):
        detector.score(random_clips(2)[:, :2])
    assert detector.score(random_clips(0)).shape == (0,)


@pytest.mark.parametrize("task", ["video", "image", "audio"])
def test_a_detector_scores_like_plain_transformers(make_checkpoint: MakeCheckpoint, task: Task) -> None:
    spec = make_checkpoint(task)
    detector = load_detector(spec, "cpu")
    clips = random_sounds(3) if task == "audio" else random_clips(3)[:, : detector.clip_shape[0]]
    plain: Any = getattr(transformers, _PLAIN[task]).from_pretrained(spec.folder).eval()
    with torch.inference_mode():
        logits = plain(**theirs(task, clips)).logits
    assert torch.allclose(detector.score(clips), logits[:, 1] - logits[:, 0], atol=1e-4)
    assert logits.std() > 0


_PLAIN: dict[Task, str] = {
    "video": "VideoMAEForVideoClassification",
    "image": "ViTForImageClassification",
    "audio": "Wav2Vec2ForSequenceClassification",
}


def theirs(task: Task, clips: torch.Tensor) -> Any:
    """Prepare clips with the library's own processors."""
    if task == "audio":
        extractor: Any = transformers.Wav2Vec2FeatureExtractor
        return extractor(**EXTRACTOR)(list(clips.numpy()), sampling_rate=16_000, padding=True, return_tensors="pt")
    process: Any = VideoMAEImageProcessorPil(**PREPROCESSOR)
    pixels = process([list(clip) for clip in clips.permute(0, 1, 3, 4, 2).numpy()], return_tensors="pt")
    return pixels if task == "video" else {"pixel_values": pixels["pixel_values"][:, 0]}


def test_the_geometry_of_pictures_carries_the_trained_step(make_checkpoint: MakeCheckpoint) -> None:
    geometry = load_detector(make_checkpoint(), "cpu").geometry(25)
    assert isinstance(geometry, ClipGeometry)
    assert geometry.frames == FRAMES
    assert geometry.step_seconds == pytest.approx(1 / 25)
    assert geometry.step_frames == 1, "of its policy"
    assert (geometry.crop_height, geometry.crop_width) == (16, 16)
    still = load_detector(make_checkpoint("image"), "cpu").geometry(1)
    assert isinstance(still, ClipGeometry)
    assert still.frames == 1


def test_the_geometry_of_sound_is_that_of_the_model(make_checkpoint: MakeCheckpoint) -> None:
    detector = load_detector(make_checkpoint("audio"), "cpu")
    assert detector.geometry(44_100) == SoundGeometry(samples=SAMPLES, sample_rate=16_000)
    assert detector.clip_dtype == np.float32


def test_sound_of_constant_level_gives_a_number(make_checkpoint: MakeCheckpoint) -> None:
    detector = load_detector(make_checkpoint("audio"), "cpu")
    assert detector.score(torch.full((1, SAMPLES), 0.5)).isfinite().all()


def test_bfloat16_normalises_sound_before_it_rounds(make_checkpoint: MakeCheckpoint) -> None:
    spec, sounds = make_checkpoint("audio"), random_sounds(4)
    exact = load_detector(spec, "cpu").score(sounds).sigmoid()
    half = load_detector(spec, "cpu", cpu_bfloat16=True).score(sounds).sigmoid()
    assert torch.allclose(half, exact, atol=0.03)


def test_weights_that_give_no_number_are_refused_at_the_start(make_checkpoint: MakeCheckpoint) -> None:
    spec = make_checkpoint()
    assert spec.folder is not None
    stored = load_file(spec.folder / "model.safetensors")
    stored["classifier.bias"] = torch.full_like(stored["classifier.bias"], torch.nan)
    save_file(stored, spec.folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(Fatal) as refused:
        load_detector(spec, "cpu")
    assert refused.value.code == "checkpoint_invalid"


def test_the_description_names_labels_and_their_source(make_checkpoint: MakeCheckpoint) -> None:
    described = load_detector(make_checkpoint(), "cpu").describe()
    assert described["labels"] == {"0": "real", "1": "fake"}
    assert described["fake_indices"] == [1]
    assert described["fake_indices_source"] == "names"
    assert json.loads(json.dumps(described)) == described


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without a GPU")
def test_cuda_without_a_gpu_is_refused(make_checkpoint: MakeCheckpoint) -> None:
    with pytest.raises(Fatal) as refused:
        load_detector(make_checkpoint(), "cuda")
    assert refused.value.code == "no_gpu"


class SmallMemory(nn.Module):
    """A model on a device with memory for `clips` clips at once; more raise torch's own error."""

    def __init__(self, model: nn.Module, clips: int) -> None:
        super().__init__()
        self.model, self.clips, self.batches = model, clips, list[int]()

    def forward(self, pixel_values: torch.Tensor) -> Any:
        if len(pixel_values) > self.clips:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        self.batches.append(len(pixel_values))
        return self.model(pixel_values=pixel_values)


def small_memory(detector: LoadedDetector, clips: int) -> SmallMemory:
    model = SmallMemory(detector.checkpoint.model, clips)
    unchecked: Any = model
    detector.checkpoint = replace(detector.checkpoint, model=unchecked)
    return model


def test_a_batch_that_does_not_fit_is_halved_and_stays_small(make_checkpoint: MakeCheckpoint) -> None:
    detector = load_detector(make_checkpoint(), "cpu")
    clips = random_clips(7)
    expected = detector.score(clips)
    model = small_memory(detector, 2)
    assert torch.allclose(detector.score(clips), expected, atol=1e-5)
    assert model.batches == [1] * 7
    model.batches.clear()
    detector.score(clips[:2])
    assert model.batches == [1, 1]


def test_one_clip_that_does_not_fit_is_worth_another_attempt(make_checkpoint: MakeCheckpoint) -> None:
    detector = load_detector(make_checkpoint(), "cpu")
    small_memory(detector, 0)
    with pytest.raises(Transient) as refused:
        detector.score(random_clips(3))
    assert refused.value.code == "gpu_out_of_memory"


def hungry(make_checkpoint: MakeCheckpoint, megabytes: int) -> LoadedDetector:
    """A detector that allocates `megabytes` at once for each clip, in addition to the same amount again."""
    size = {"image_processor_type": "ViTImageProcessor", "size": {"height": HUNGRY_EDGE, "width": HUNGRY_EDGE}}
    model = hungry_model({0: "real", 1: "fake"}, megabytes)
    return load_detector(make_checkpoint("image", model=model, preprocessor=size), "cpu")


def large_pictures(count: int) -> torch.Tensor:
    return torch.randint(0, 256, (count, 1, 3, HUNGRY_EDGE, HUNGRY_EDGE), dtype=torch.uint8)


def test_a_batch_that_does_not_fit_into_memory_is_halved(make_checkpoint: MakeCheckpoint) -> None:
    detector, clips = hungry(make_checkpoint, 64), large_pictures(4)
    expected = detector.score(clips)
    with memory_left(200 << 20):
        assert torch.allclose(detector.score(clips), expected, atol=1e-4)
    assert detector._largest_batch < len(clips)


def test_one_clip_that_does_not_fit_into_memory_is_worth_another_attempt(make_checkpoint: MakeCheckpoint) -> None:
    detector, clips = hungry(make_checkpoint, 64), large_pictures(2)
    with memory_left(32 << 20), pytest.raises(Transient) as refused:
        detector.score(clips)
    assert refused.value.code == "out_of_memory"
    assert detector.score(clips).isfinite().all()


class Broken(nn.Module):
    def forward(self, pixel_values: torch.Tensor) -> Any:
        raise torch.AcceleratorError("CUDA error: an illegal memory access was encountered")


def test_a_gpu_that_fails_ends_the_worker(make_checkpoint: MakeCheckpoint) -> None:
    detector = load_detector(make_checkpoint(), "cpu")
    detector.checkpoint = replace(detector.checkpoint, model=Broken())
    with pytest.raises(Fatal) as refused:
        detector.score(random_clips(2))
    assert refused.value.code == "gpu_failed"
