"""Video detectors: VideoMAE classifiers of clips."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
import torch

from sentinel_worker.detectors.base import LoadedDetector
from sentinel_worker.domain.media_facts import ClipGeometry


class VideoDetector(LoadedDetector):
    """Scores clips uint8 [T, 3, H, W]."""

    clip_dtype: ClassVar[np.dtype[Any]] = np.dtype(np.uint8)

    def __post_init__(self) -> None:
        super().__post_init__()
        model: Any = self.checkpoint.model
        # A plain tensor, not a buffer: `to` does not move it, so each forward pass would copy it to the device.
        embeddings = model.videomae.embeddings
        embeddings.position_embeddings = embeddings.position_embeddings.to(self.device, self.dtype)

    @property
    def clip_shape(self) -> tuple[int, int, int, int]:
        pictures = self.checkpoint.pictures
        return (self.spec.window_policy.frames, 3, pictures.crop_height, pictures.crop_width)

    def geometry(self, frames_per_second: float) -> ClipGeometry:
        policy = self.spec.window_policy
        step = policy.step
        return self.checkpoint.pictures.geometry(policy.frames, step.seconds_at(frames_per_second), step.source_frames)

    def _inputs(self, clips: torch.Tensor) -> dict[str, torch.Tensor]:
        return {"pixel_values": self.checkpoint.pictures.normalise(clips, self.dtype)}
