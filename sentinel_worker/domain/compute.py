"""Computing that one request uses, as its outcome reports it, and files that need too much of it."""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic
from typing import Final
from uuid import UUID

from sentinel_worker.domain.errors import Permanent

OWN_SHARE: Final = 1 / 2
"""Share of a time limit: a file that used as many CPU seconds within it has itself to blame."""
LEAST_SHARE: Final = 1 / 16
"""With less, the file was not at work: its process was stopped, or the machine had no time for it."""


class Compute:
    """CPU seconds of a request's processes and of scoring its clips, and wall-clock seconds since its fetch began.

    `user` is the request's owner, or None for a file of the operator.
    """

    def __init__(self, user: UUID | None = None) -> None:
        self.user = user
        self._began_at: float | None = None
        self._added_seconds = 0.0
        self._meters: list[Callable[[], float]] = []

    def begin(self) -> None:
        """Start the wall clock."""
        self._began_at = monotonic()

    def add(self, cpu_seconds: float) -> None:
        """Count CPU seconds that were used for this request."""
        self._added_seconds += cpu_seconds

    def watch(self, meter: Callable[[], float]) -> None:
        """Count a process of this request; `meter` returns its CPU seconds so far, also after its end."""
        self._meters.append(meter)

    @property
    def cpu_seconds(self) -> float:
        """CPU seconds so far, those of running processes included."""
        return self._added_seconds + sum(meter() for meter in self._meters)

    @property
    def wall_seconds(self) -> float:
        """Wall-clock seconds since `begin`; 0 before."""
        return 0.0 if self._began_at is None else monotonic() - self._began_at

    def as_json(self) -> dict[str, float]:
        """Field `compute` of an outcome."""
        return {"cpu_seconds": round(self.cpu_seconds, 3), "wall_seconds": round(self.wall_seconds, 3)}


def is_too_slow(cpu_seconds: float, limit_seconds: float, done: float) -> bool:
    """Return True if a file that hit a time limit would hit it on an idle machine as well, so that retries are futile.

    `done` (0 to 1) is the share of the stage's work for which it needed `cpu_seconds`: at the same cost the rest would
    not have fit either, even with a core of its own.
    """
    needed_seconds = cpu_seconds / done if done > 0 else float("inf")
    at_work = cpu_seconds >= LEAST_SHARE * limit_seconds
    return cpu_seconds >= OWN_SHARE * limit_seconds or (at_work and needed_seconds >= limit_seconds)


def too_slow(cpu_seconds: float, **params: object) -> Permanent:
    """Return the error of such a file."""
    return Permanent(
        "too_slow_to_analyze",
        "The file takes longer to analyze than this service allows.",
        params={**params, "cpu_seconds": round(cpu_seconds, 1)},
    )
