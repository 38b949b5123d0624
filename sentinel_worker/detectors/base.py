"""Base class of all detectors: a device, batches that fit its memory, log-odds, a description."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal, Self

import numpy as np
import torch

from sentinel_worker.detectors.registry import DetectorSpec
from sentinel_worker.detectors.weights import Checkpoint, load_checkpoint
from sentinel_worker.domain.errors import Fatal, Transient
from sentinel_worker.domain.machine_errors import out_of_memory
from sentinel_worker.domain.media_facts import ClipGeometry, SoundGeometry

Device = Literal["auto", "cpu", "cuda"]


@dataclass
class LoadedDetector(ABC):
    """A classifier on its device: bfloat16 on a GPU, float32 on the CPU unless asked."""

    clip_dtype: ClassVar[np.dtype[Any]]

    spec: DetectorSpec
    checkpoint: Checkpoint
    device: torch.device
    dtype: torch.dtype
    _largest_batch: int = field(default=1 << 16, init=False)

    def __post_init__(self) -> None:
        model: Any = self.checkpoint.model
        model.to(self.device, self.dtype)

    @classmethod
    def load(cls, spec: DetectorSpec, device: Device = "auto", *, cpu_bfloat16: bool = False) -> Self:
        """Load `spec` onto `device` and score one black or silent clip, so that a broken setup fails at startup.

        Takes seconds. Raises Fatal: the codes of `load_checkpoint`, 'no_gpu', 'gpu_failed'; and Transient:
        'gpu_out_of_memory', 'out_of_memory', because another process may free what it holds.
        """
        chosen = _device(device)
        half = chosen.type == "cuda" or cpu_bfloat16
        try:
            checkpoint = load_checkpoint(spec)
            detector = cls(spec, checkpoint, chosen, torch.bfloat16 if half else torch.float32)
            odds = detector.score(torch.from_numpy(np.zeros((1, *detector.clip_shape), cls.clip_dtype)))
        except torch.AcceleratorError as error:
            raise _broken() from error
        except (MemoryError, RuntimeError, Transient) as error:
            short = error if isinstance(error, Transient) else _short_of_memory(error)
            if short is None:
                raise
            raise Transient(short.code, f"Detector '{spec.key}' cannot be loaded now: {short.message}") from error
        if not odds.isfinite().all():
            raise Fatal(
                "checkpoint_invalid", f"Detector '{spec.key}' gives a score that is not finite for an empty clip."
            )
        return detector

    @property
    @abstractmethod
    def clip_shape(self) -> tuple[int, ...]:
        """Shape of one clip: (T, 3, H, W) for pictures, (S,) for sound."""

    @abstractmethod
    def geometry(self, frames_per_second: float) -> ClipGeometry | SoundGeometry:
        """Return how to decode clips of a source with `frames_per_second` for this detector."""

    @abstractmethod
    def _inputs(self, clips: torch.Tensor) -> dict[str, torch.Tensor]:
        """Return the model's keyword arguments for clips that are on the device."""

    def score(self, clips: torch.Tensor) -> torch.Tensor:
        """Return log-odds of P(fake), float32 [N] on the CPU, for clips `clip_dtype` [N, *clip_shape] on the CPU.

        Halves a batch that does not fit the device's memory, and keeps later batches that small. Raises
        Transient('gpu_out_of_memory') if a single clip does not fit the GPU, Transient('out_of_memory') if it does
        not fit the machine's memory, Fatal('gpu_failed') if the device is unusable, ValueError for other shapes.
        """
        found = (str(clips.dtype).removeprefix("torch."), tuple(clips.shape[1:]))
        wanted = (str(self.clip_dtype), self.clip_shape)
        if found != wanted:
            raise ValueError(f"clips are {found[0]} {found[1]}, not {wanted[0]} {wanted[1]}")
        scored: list[torch.Tensor] = []
        start = 0
        while start < len(clips):
            part = clips[start : start + self._largest_batch]
            try:
                scored.append(self._forward(part))
            except torch.AcceleratorError as error:
                raise _broken() from error
            except (MemoryError, RuntimeError) as error:
                short = _short_of_memory(error)
                if short is None:
                    raise
                if len(part) == 1:
                    raise short from error
                self._largest_batch = len(part) // 2
            else:
                start += len(part)
        return torch.cat(scored) if scored else torch.empty(0)

    def describe(self) -> dict[str, object]:
        """Return the description of the detector that every result records, as JSON values."""
        labels, spec = self.checkpoint.labels, self.spec
        return {
            "key": spec.key,
            "task": spec.task,
            "repository": spec.repository if spec.folder is None else None,
            "revision": self.checkpoint.revision,
            "licence": spec.licence,
            "labels": {str(index): name for index, name in self.checkpoint.label_names.items()},
            "fake_indices": list(labels.fake_indices),
            "fake_indices_source": spec.fake_indices_source or labels.source,
            "faces": spec.faces is not None,
            "aggregation": spec.rule.aggregation,
            "temperature": spec.rule.temperature,
            "real_below": spec.rule.real_below,
            "suspicious_score": spec.rule.suspicious_score,
            "calibrated": spec.calibration is not None,
            "device": self.device.type,
            "dtype": str(self.dtype).removeprefix("torch."),
        }

    @torch.inference_mode()
    def _forward(self, clips: torch.Tensor) -> torch.Tensor:
        logits = self.checkpoint.model(**self._inputs(clips.to(self.device))).logits.float()
        labels = self.checkpoint.labels
        fake = logits[:, labels.fake_indices].logsumexp(1)
        real = logits[:, labels.real_indices].logsumexp(1)
        odds: torch.Tensor = (fake - real).cpu()
        return odds


def _short_of_memory(error: Exception) -> Transient | None:
    """Translate a refused allocation; return None for any other error."""
    if isinstance(error, torch.OutOfMemoryError):
        return Transient("gpu_out_of_memory", "The GPU has too little free memory for one clip.")
    if out_of_memory(error):
        return Transient("out_of_memory", "The machine has too little free memory for one clip.")
    return None


def _broken() -> Fatal:
    return Fatal("gpu_failed", "The GPU failed; restart the worker.")


def _device(device: Device) -> torch.device:
    if device == "cpu" or (device == "auto" and not torch.cuda.is_available()):
        return torch.device("cpu")
    if not torch.cuda.is_available():
        raise Fatal("no_gpu", "SENTINEL_DEVICE or --device is 'cuda', but no usable GPU was found.")
    return torch.device("cuda")
