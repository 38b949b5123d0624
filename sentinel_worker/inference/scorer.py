"""One detector's access to the scoring thread."""

from __future__ import annotations

from types import TracebackType
from typing import Self

from sentinel_worker.detectors.registry import DetectorSpec
from sentinel_worker.domain.compute import Compute
from sentinel_worker.domain.media_facts import Clip, ClipGeometry, SoundGeometry
from sentinel_worker.inference.scoring_thread import Detector, ScoringThread


class Scorer:
    """A detector and the thread that runs it.

    Detectors on the same device share a `thread`, which the caller opens and closes. Without one, the scorer has its
    own, and is used as `async with Scorer(detector) as scorer`.
    """

    def __init__(self, detector: Detector, thread: ScoringThread | None = None, *, batch_windows: int = 8) -> None:
        self.detector = detector
        self._own_thread = thread is None
        self._thread = thread or ScoringThread(batch_windows=batch_windows)

    @property
    def spec(self) -> DetectorSpec:
        return self.detector.spec

    def geometry(self, frames_per_second: float) -> ClipGeometry | SoundGeometry:
        """Return how to decode clips of a source with `frames_per_second` for this detector."""
        return self.detector.geometry(frames_per_second)

    def describe(self) -> dict[str, object]:
        """Return the description of the detector that every result records, as JSON values."""
        return self.detector.describe()

    async def __aenter__(self) -> Self:
        if self._own_thread:
            await self._thread.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the scorer's own thread, see `ScoringThread.close`."""
        if self._own_thread:
            await self._thread.close()

    async def score(self, clip: Clip, compute: Compute | None = None) -> float:
        """Return the log-odds that `clip` is fake; `compute` counts its cost, and names the user whose turn it takes.

        Raises what `ScoringThread.score` raises, and ValueError for a clip of another shape.
        """
        wanted = (self.detector.clip_dtype, self.detector.clip_shape)
        if (clip.values.dtype, clip.values.shape) != wanted:
            raise ValueError(f"a clip of {clip.values.dtype} {clip.values.shape}, not {wanted}")
        return await self._thread.score(self.detector, clip, compute or Compute())
