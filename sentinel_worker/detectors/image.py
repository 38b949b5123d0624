"""Image detectors: classifiers of single pictures, for stills or frames of a video."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
import torch

from sentinel_worker.detectors.base import LoadedDetector
from sentinel_worker.domain.media_facts import ClipGeometry


class ImageDetector(LoadedDetector):
    """Scores clips of one frame, uint8 [1, 3, H, W]."""

    clip_dtype: ClassVar[np.dtype[Any]] = np.dtype(np.uint8)

    @property
    def clip_shape(self) -> tuple[int, int, int, int]:
        pictures = self.checkpoint.pictures
        return (1, 3, pictures.crop_height, pictures.crop_width)

    def geometry(self, frames_per_second: float) -> ClipGeometry:
        return self.checkpoint.pictures.geometry(1, self.spec.window_policy.step.seconds_at(frames_per_second))

    def _inputs(self, clips: torch.Tensor) -> dict[str, torch.Tensor]:
        return {"pixel_values": self.checkpoint.pictures.normalise(clips, self.dtype)[:, 0]}
