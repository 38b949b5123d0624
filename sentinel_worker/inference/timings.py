"""Durations of one request's stages."""

from collections.abc import Iterator
from contextlib import contextmanager
from time import monotonic

from sentinel_worker.domain.request import Stage


class Timings:
    """Wall-clock seconds by stage."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    @contextmanager
    def measure(self, stage: Stage) -> Iterator[None]:
        """Add the block's time to `stage`."""
        started = monotonic()
        try:
            yield
        finally:
            self.seconds[stage] = round(self.seconds.get(stage, 0.0) + monotonic() - started, 3)
