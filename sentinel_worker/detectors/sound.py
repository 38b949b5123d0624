"""An audio checkpoint's preprocessing, read from its preprocessor_config.json: the media child resamples and
mixes to mono, the device normalises."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch

from sentinel_worker.domain.errors import Fatal

_EXTRACTOR = "Wav2Vec2FeatureExtractor"
_EPSILON = 1e-7  # the library's value, inside the square root


@dataclass(frozen=True, slots=True)
class SoundPreprocessing:
    """Preprocessing of a window of sound: zero mean and unit variance, if `do_normalize`."""

    sample_rate: int
    do_normalize: bool

    @classmethod
    def from_config(cls, config: Mapping[str, Any], sample_rate: int) -> SoundPreprocessing:
        """Parse preprocessor_config.json, for windows at `sample_rate` hertz.

        Raises Fatal('preprocessing_unsupported') for extractors that do more than normalise (spectrograms), and
        for another sampling rate.
        """
        named = config.get("feature_extractor_type")
        if named != _EXTRACTOR:
            raise _unsupported(f"its type {named} is not {_EXTRACTOR}")
        rate = config.get("sampling_rate", 16_000)
        if rate != sample_rate:
            raise _unsupported(f"it takes {rate} samples a second, but the detector is registered with {sample_rate}")
        if config.get("feature_size", 1) != 1:
            raise _unsupported("it does not take mono sound")
        return cls(sample_rate, bool(config.get("do_normalize", True)))

    def normalise(self, clips: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
        """Convert float32 [N, S] to `dtype` of the same shape, on the same device; computed in float32."""
        if self.do_normalize:
            variance, mean = torch.var_mean(clips, dim=1, correction=0, keepdim=True)
            clips = (clips - mean) / torch.sqrt(variance + _EPSILON)
        return clips.to(dtype)


def _unsupported(reason: str) -> Fatal:
    return Fatal("preprocessing_unsupported", f"The checkpoint's preprocessor_config.json cannot be used: {reason}.")
