"""Checkpoints of a few kilobytes, written by transformers as the hub's are."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import VideoMAEConfig, VideoMAEForVideoClassification

from sentinel_worker.detectors.registry import DetectorSpec
from sentinel_worker.media.windows import FrameStep, WindowPolicy
from sentinel_worker.verdict import VerdictRule

FRAMES, EDGE = 4, 16

PREPROCESSOR: dict[str, Any] = {
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


@pytest.fixture
def make_checkpoint(tmp_path: Path) -> MakeCheckpoint:
    """Write a checkpoint; changes to config.json and preprocessor_config.json come as keyword arguments."""

    def make(
        *,
        labels: dict[int, str] | None = None,
        config: dict[str, Any] | None = None,
        preprocessor: dict[str, Any] | None = None,
        **spec_changes: Any,
    ) -> DetectorSpec:
        torch.manual_seed(1)
        names = labels or {0: "real", 1: "fake"}
        model = VideoMAEForVideoClassification(
            VideoMAEConfig(
                image_size=EDGE,
                patch_size=8,
                num_frames=FRAMES,
                tubelet_size=2,
                hidden_size=16,
                num_hidden_layers=1,
                num_attention_heads=2,
                intermediate_size=16,
                use_mean_pooling=True,
                initializer_range=0.5,
                id2label=names,
                label2id={name: index for index, name in names.items()},
            )
        )
        folder = tmp_path / "checkpoint"
        model.save_pretrained(folder)
        path = folder / "config.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | (config or {})))
        (folder / "preprocessor_config.json").write_text(json.dumps(PREPROCESSOR | (preprocessor or {})))
        spec = DetectorSpec(
            key="tiny",
            title="A checkpoint of a few kilobytes",
            folder=folder,
            window_policy=WindowPolicy(frames=FRAMES, step=FrameStep(source_frames=1)),
            rule=VerdictRule("mean", fake_windows=0),
            licence="none",
        )
        return replace(spec, **spec_changes)

    return make


def random_clips(count: int, seed: int = 3) -> torch.Tensor:
    """Clips uint8 [count, FRAMES, 3, EDGE, EDGE] of noise."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (count, FRAMES, 3, EDGE, EDGE), dtype=torch.uint8, generator=generator)
