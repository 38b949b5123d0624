"""The one entrance to loaded detectors."""

from __future__ import annotations

from collections.abc import Mapping

from sentinel_worker.detectors.audio import AudioDetector
from sentinel_worker.detectors.base import Device, LoadedDetector
from sentinel_worker.detectors.image import ImageDetector
from sentinel_worker.detectors.registry import DetectorSpec, Task
from sentinel_worker.detectors.video import VideoDetector

_KINDS: Mapping[Task, type[LoadedDetector]] = {"video": VideoDetector, "image": ImageDetector, "audio": AudioDetector}


def load_detector(spec: DetectorSpec, device: Device = "auto", *, cpu_bfloat16: bool = False) -> LoadedDetector:
    """Load `spec` onto `device`, warm; raises Fatal as `LoadedDetector.load` does. Takes seconds: use a thread."""
    return _KINDS[spec.task].load(spec, device, cpu_bfloat16=cpu_bfloat16)
