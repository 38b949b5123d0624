"""Computing that one request uses, as its outcome reports it."""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic
from uuid import UUID


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
