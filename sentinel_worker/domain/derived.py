"""Derived media: what people are shown of a file beside its verdict, as it is asked for."""

from __future__ import annotations

from dataclasses import dataclass

from sentinel_worker.domain.media_facts import Face
from sentinel_worker.domain.windows import Window

STRIP_COLUMNS = 8
"""Cells in a row of a filmstrip."""
STRIP_CELLS = 240
"""Most cells of a filmstrip."""


@dataclass(frozen=True, slots=True)
class Still:
    """One frame: that which a detector got from the middle of `window`, or else the one on screen at `at_seconds`.

    Times are seconds from the first frame. The `faces` are outlined on it, the `worst` of them in red.
    """

    at_seconds: float
    window: Window | None = None
    faces: tuple[Face, ...] = ()
    worst: int | None = None


@dataclass(frozen=True, slots=True)
class Filmstrip:
    """One picture of the frames that a detector got from the middle of each of `windows`, side by side."""

    windows: tuple[Window, ...]

    @property
    def shown(self) -> tuple[Window, ...]:
        """The window of each cell: all windows, or `STRIP_CELLS` of them, evenly spread."""
        count = min(len(self.windows), STRIP_CELLS)
        return tuple(self.windows[cell * len(self.windows) // count] for cell in range(count))


Picture = Still | Filmstrip


@dataclass(frozen=True, slots=True)
class PreviewLimits:
    """Bounds of a preview: seconds of the file, of work, and bytes. It ends at the first that it reaches."""

    film_seconds: float = 600.0
    work_seconds: float = 60.0
    max_bytes: int = 48 * 1024**2
