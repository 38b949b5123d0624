"""Audio detectors: wav2vec2-family classifiers of raw sound."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
import torch

from sentinel_worker.detectors.base import LoadedDetector
from sentinel_worker.domain.media_facts import SoundGeometry


class AudioDetector(LoadedDetector):
    """Scores clips float32 [S], mono, at the sampling rate of the spec."""

    clip_dtype: ClassVar[np.dtype[Any]] = np.dtype(np.float32)

    @property
    def clip_shape(self) -> tuple[int]:
        return (self.spec.window_policy.frames,)

    def geometry(self, frames_per_second: float) -> SoundGeometry:
        """Return the same number of samples for every source."""
        return SoundGeometry(samples=self.spec.window_policy.frames, sample_rate=self.spec.sample_rate)

    def _inputs(self, clips: torch.Tensor) -> dict[str, torch.Tensor]:
        return {"input_values": self.checkpoint.sound.normalise(clips, self.dtype)}
