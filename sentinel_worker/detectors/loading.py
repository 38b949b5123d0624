"""Single entry point for loading detectors."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from sentinel_worker.detectors.audio import AudioDetector
from sentinel_worker.detectors.base import Device, LoadedDetector
from sentinel_worker.detectors.image import ImageDetector
from sentinel_worker.detectors.registry import DetectorSpec, Task
from sentinel_worker.detectors.video import VideoDetector
from sentinel_worker.domain.errors import Fatal

_KINDS: Mapping[Task, type[LoadedDetector]] = {"video": VideoDetector, "image": ImageDetector, "audio": AudioDetector}


def load_detector(spec: DetectorSpec, device: Device = "auto", *, cpu_bfloat16: bool = False) -> LoadedDetector:
    """Load `spec` onto `device` and warm it up. Raises as `LoadedDetector.load` does. Takes seconds: use a thread."""
    with naming(spec.key):
        return _KINDS[spec.task].load(spec, device, cpu_bfloat16=cpu_bfloat16)


@contextmanager
def naming(key: str) -> Iterator[None]:
    """Name the detector in every Fatal that the block raises: a worker loads several."""
    try:
        yield
    except Fatal as error:
        if f"'{key}'" in error.message:
            raise
        raise Fatal(error.code, f"Detector '{key}': {error.message}", params=error.params) from error
