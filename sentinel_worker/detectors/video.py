"""The video detector: clips of uint8 pixels become log-odds of being fake."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

import torch

from sentinel_worker.detectors.registry import DetectorSpec
from sentinel_worker.detectors.weights import Checkpoint, load_checkpoint
from sentinel_worker.errors import Fatal, Transient
from sentinel_worker.media.facts import ClipGeometry

Device = Literal["auto", "cpu", "cuda"]


@dataclass
class VideoDetector:
    """A loaded VideoMAE classifier on its device: bfloat16 on a GPU, float32 on the CPU unless asked."""

    spec: DetectorSpec
    checkpoint: Checkpoint
    device: torch.device
    dtype: torch.dtype
    _largest_batch: int = field(default=1 << 16, init=False)

    def __post_init__(self) -> None:
        model: Any = self.checkpoint.model
        model.to(self.device, self.dtype)
        # A plain tensor, not a buffer: `to` leaves it behind, and each forward would copy it to the device.
        embeddings = model.videomae.embeddings
        embeddings.position_embeddings = embeddings.position_embeddings.to(self.device, self.dtype)

    @classmethod
    def load(cls, spec: DetectorSpec, device: Device = "auto", *, cpu_bfloat16: bool = False) -> VideoDetector:
        """Load `spec` onto `device` and score one black clip, so that a broken set-up fails at the start.

        Takes seconds. Raises Fatal as `load_checkpoint` does, and 'no_gpu' where CUDA is asked for in vain.
        """
        chosen = _device(device)
        half = chosen.type == "cuda" or cpu_bfloat16
        detector = cls(spec, load_checkpoint(spec), chosen, torch.bfloat16 if half else torch.float32)
        detector.score(torch.zeros((1, *detector.clip_shape), dtype=torch.uint8))
        return detector

    @property
    def clip_shape(self) -> tuple[int, int, int, int]:
        """(T, 3, H, W) of a clip."""
        preprocessing = self.checkpoint.preprocessing
        return (self.spec.window_policy.frames, 3, preprocessing.crop_height, preprocessing.crop_width)

    def geometry(self, frames_per_second: float) -> ClipGeometry:
        """How clips of a source of `frames_per_second` are decoded for this detector."""
        policy = self.spec.window_policy
        return self.checkpoint.preprocessing.geometry(policy.frames, policy.step.seconds_at(frames_per_second))

    def score(self, clips: torch.Tensor) -> torch.Tensor:
        """Log-odds of P(fake), float32 [N] on the CPU, for clips uint8 [N, T, 3, H, W] on the CPU.

        A batch that does not fit the device's memory is halved, and later batches stay that small. Raises
        Transient('gpu_out_of_memory') when a single clip does not fit, Fatal('gpu_failed') when the device
        is unusable, ValueError for other shapes.
        """
        if clips.dtype != torch.uint8 or tuple(clips.shape[1:]) != self.clip_shape:
            raise ValueError(f"clips are {clips.dtype} {list(clips.shape)}, not uint8 [N, {self.clip_shape}]")
        scored: list[torch.Tensor] = []
        start = 0
        while start < len(clips):
            part = clips[start : start + self._largest_batch]
            try:
                scored.append(self._forward(part))
            except torch.OutOfMemoryError as error:
                if len(part) == 1:
                    raise Transient("gpu_out_of_memory", "The GPU has too little free memory for one clip.") from error
                self._largest_batch = len(part) // 2
            except torch.AcceleratorError as error:
                raise Fatal("gpu_failed", "The GPU failed; the worker has to be restarted.") from error
            else:
                start += len(part)
        return torch.cat(scored) if scored else torch.empty(0)

    def describe(self) -> dict[str, object]:
        """What a result records about the detector: JSON values."""
        labels, spec = self.checkpoint.labels, self.spec
        return {
            "key": spec.key,
            "repository": spec.repository if spec.folder is None else None,
            "revision": spec.revision if spec.folder is None else None,
            "licence": spec.licence,
            "labels": {str(index): name for index, name in self.checkpoint.label_names.items()},
            "fake_indices": list(labels.fake_indices),
            "fake_indices_source": spec.fake_indices_source or labels.source,
            "aggregation": spec.rule.aggregation,
            "device": self.device.type,
            "dtype": str(self.dtype).removeprefix("torch."),
        }

    @torch.inference_mode()
    def _forward(self, clips: torch.Tensor) -> torch.Tensor:
        pixels = self.checkpoint.preprocessing.normalise(clips.to(self.device), self.dtype)
        logits = self.checkpoint.model(pixel_values=pixels).logits.float()
        labels = self.checkpoint.labels
        fake = logits[:, labels.fake_indices].logsumexp(1)
        real = logits[:, labels.real_indices].logsumexp(1)
        odds: torch.Tensor = (fake - real).cpu()
        return odds


def _device(device: Device) -> torch.device:
    if device == "cpu" or (device == "auto" and not torch.cuda.is_available()):
        return torch.device("cpu")
    if not torch.cuda.is_available():
        raise Fatal("no_gpu", "The setting asks for CUDA, but no usable GPU was found.")
    return torch.device("cuda")
