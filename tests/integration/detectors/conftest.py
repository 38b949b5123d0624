"""Checkpoints of a few kilobytes, written by transformers in the hub's format."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import (
    PreTrainedModel,
    VideoMAEConfig,
    VideoMAEForVideoClassification,
    ViTConfig,
    ViTForImageClassification,
    Wav2Vec2Config,
    Wav2Vec2ForSequenceClassification,
)

from sentinel_worker.detectors.registry import DetectorSpec, Task
from sentinel_worker.domain.verdict import VerdictRule
from sentinel_worker.domain.windows import FrameStep, WindowPolicy

FRAMES, EDGE = 4, 16
HUNGRY_EDGE = 224

PREPROCESSOR: dict[str, Any] = {
    "image_processor_type": "VideoMAEImageProcessor",
    "do_resize": True,
    "size": {"height": EDGE, "width": EDGE},
    "resample": 2,
    "do_center_crop": False,
    "do_rescale": True,
    "rescale_factor": 1 / 255,
    "do_normalize": True,
    "image_mean": [0.485, 0.456, 0.406],
    "image_std": [0.229, 0.224, 0.225],
}

MakeCheckpoint = Callable[..., DetectorSpec]


SAMPLES = 4000

EXTRACTOR: dict[str, Any] = {
    "feature_extractor_type": "Wav2Vec2FeatureExtractor",
    "feature_size": 1,
    "sampling_rate": 16_000,
    "padding_value": 0.0,
    "do_normalize": True,
    "return_attention_mask": True,
}
_SHAPE: dict[str, Any] = {
    "hidden_size": 16,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": 16,
    "initializer_range": 0.5,
}
_POLICIES: dict[Task, WindowPolicy] = {
    "video": WindowPolicy(FRAMES, FrameStep(source_frames=1)),
    "image": WindowPolicy(1, FrameStep(source_frames=1)),
    "audio": WindowPolicy(SAMPLES, FrameStep(source_frames=1)),
}


@pytest.fixture
def make_checkpoint(tmp_path: Path) -> MakeCheckpoint:
    """Write a checkpoint. Changes to config.json and preprocessor_config.json are keyword arguments."""

    def make(
        task: Task = "video",
        *,
        labels: dict[int, str] | None = None,
        config: dict[str, Any] | None = None,
        preprocessor: dict[str, Any] | None = None,
        model: PreTrainedModel | None = None,
        **spec_changes: Any,
    ) -> DetectorSpec:
        torch.manual_seed(1)
        names = labels or {0: "real", 1: "fake"}
        folder = tmp_path / "checkpoint"
        (model or tiny_model(task, names)).save_pretrained(folder)
        path = folder / "config.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | (config or {})))
        described = EXTRACTOR if task == "audio" else PREPROCESSOR
        (folder / "preprocessor_config.json").write_text(json.dumps(described | (preprocessor or {})))
        spec = DetectorSpec(
            key="tiny",
            title="A checkpoint of a few kilobytes",
            task=task,
            media_kind=task,
            folder=folder,
            window_policy=_POLICIES[task],
            rule=VerdictRule("mean", fake_windows=0),
            licence="none",
        )
        return replace(spec, **spec_changes)

    return make


def tiny_model(task: Task, labels: dict[int, str]) -> PreTrainedModel:
    """A VideoMAE, ViT or wav2vec2 classifier with random weights."""
    named: dict[str, Any] = {"id2label": labels, "label2id": {name: index for index, name in labels.items()}}
    pictures: dict[str, Any] = {"image_size": EDGE, "patch_size": 8}
    if task == "video":
        shape = _SHAPE | pictures | {"num_frames": FRAMES, "tubelet_size": 2, "use_mean_pooling": True}
        return VideoMAEForVideoClassification(VideoMAEConfig(**shape, **named))
    if task == "image":
        return ViTForImageClassification(ViTConfig(**_SHAPE, **pictures, **named))
    return Wav2Vec2ForSequenceClassification(
        Wav2Vec2Config(
            **_SHAPE,
            **named,
            conv_dim=(16, 16, 16),
            conv_kernel=(10, 3, 3),
            conv_stride=(5, 4, 4),
            num_conv_pos_embeddings=16,
            num_conv_pos_embedding_groups=4,
            feat_extract_norm="layer",
            do_stable_layer_norm=True,
            conv_bias=True,
            classifier_proj_size=16,
            vocab_size=8,
        )
    )


def hungry_model(labels: dict[int, str], megabytes: int) -> PreTrainedModel:
    """A ViT of few weights that allocates `megabytes` at once for a picture of HUNGRY_EDGE."""
    tokens = (HUNGRY_EDGE // 4) ** 2 + 1
    shape = _SHAPE | {"image_size": HUNGRY_EDGE, "patch_size": 4, "intermediate_size": megabytes * 2**20 // 4 // tokens}
    named: dict[str, Any] = {"id2label": labels, "label2id": {name: index for index, name in labels.items()}}
    return ViTForImageClassification(ViTConfig(**shape, **named))


def random_clips(count: int, seed: int = 3) -> torch.Tensor:
    """Clips uint8 [count, FRAMES, 3, EDGE, EDGE] of noise."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (count, FRAMES, 3, EDGE, EDGE), dtype=torch.uint8, generator=generator)


def random_sounds(count: int, seed: int = 3) -> torch.Tensor:
    """Clips float32 [count, SAMPLES] of quiet noise around zero."""
    return 0.1 * torch.randn(count, SAMPLES, generator=torch.Generator().manual_seed(seed)) + 0.02
