"""Examine files without a database: shared by `analyze`, `evaluate` and the polarity check."""

import asyncio
import shutil
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path

from sentinel_worker.confine.layers import Mode
from sentinel_worker.detectors.base import Device
from sentinel_worker.detectors.labels import check_polarity
from sentinel_worker.detectors.loading import naming
from sentinel_worker.detectors.registry import DetectorSpec
from sentinel_worker.domain.compute import Compute
from sentinel_worker.domain.errors import Fatal, Permanent
from sentinel_worker.domain.media_facts import MediaLimits
from sentinel_worker.domain.request import MediaKind, Stage
from sentinel_worker.domain.windows import COVERAGE, CoverageRule
from sentinel_worker.inference.flow import Examined, Flow
from sentinel_worker.inference.roster import Roster, open_roster
from sentinel_worker.media.zygote import Zygote
from sentinel_worker.sources import choosing

SPANS: Mapping[Stage, tuple[float, float]] = {"fetching": (0.0, 0.2), "analyzing": (0.2, 1.0)}
"""Start and end of each stage that reports progress, as fractions of a file's progress."""
CHILDREN = 2
DEFAULT_LIMITS = MediaLimits()

Report = Callable[[float], None]


@dataclass(frozen=True, slots=True)
class FileStages:
    """Stages of an operator's file: without time limits, reported as one fraction."""

    on_progress: Report

    def enter(self, _stage: Stage) -> AbstractAsyncContextManager[None]:
        """Return a context manager that does nothing."""
        return nullcontext()

    def report(self, stage: Stage, fraction: float) -> None:
        """Report that `fraction` (0 to 1) of `stage` is done."""
        start, end = SPANS[stage]
        self.on_progress(start + (end - start) * fraction)


@dataclass(frozen=True, slots=True)
class ExaminedFile(Examined):
    """The answer about a file; `document['derived']` names `pictures`."""

    pictures: dict[str, Path]


class Examiner:
    """Examines files in confined children, a few at a time."""

    def __init__(
        self, zygote: Zygote, roster: Roster, limits: MediaLimits, work: Path, coverage: CoverageRule = COVERAGE
    ) -> None:
        self.zygote = zygote
        self.roster = roster
        self._flow = Flow(zygote, roster, limits, work, coverage)
        self._children = asyncio.Semaphore(CHILDREN)

    async def examine(
        self,
        source: Path | str,
        *,
        kind: MediaKind = "auto",
        key: str | None = None,
        keep: Path | None = None,
        on_progress: Report = lambda _: None,
    ) -> ExaminedFile:
        """Examine a file, or the response of an http(s) URL.

        With `keep`, small pictures for people are moved to that folder. Raises what `Flow.run` raises for a source
        of `choosing.of_operator`.
        """
        pictures: dict[str, Path] = {}

        async def move(name: str, file: Path) -> str:
            assert keep is not None
            pictures[name] = Path(await asyncio.to_thread(shutil.move, file, keep / file.name))
            return file.name

        async with self._children:
            examined = await self._flow.run(
                choosing.of_operator(source),
                kind,
                key,
                stages=FileStages(on_progress),
                keep=move if keep is not None else None,
                compute=Compute(),
            )
        return ExaminedFile(examined.analysis, examined.document, pictures)


@asynccontextmanager
async def open_examiner(
    specs: Sequence[DetectorSpec],
    work: Path,
    *,
    device: Device = "auto",
    limits: MediaLimits = DEFAULT_LIMITS,
    batch_windows: int = 8,
    sandbox: Mode = "auto",
) -> AsyncIterator[Examiner]:
    """Start the zygote and load the detectors at the same time, which takes seconds. Private folders are in `work`."""
    zygote = Zygote(sandbox=sandbox)
    starting = asyncio.create_task(zygote.start())
    try:
        async with open_roster(specs, device=device, batch_windows=batch_windows) as roster:
            await starting
            yield Examiner(zygote, roster, limits, work)
    finally:
        starting.cancel()
        await asyncio.gather(starting, return_exceptions=True)
        await zygote.stop()


async def check_polarities(examiner: Examiner) -> None:
    """Score the operator's known files with each detector that has any.

    Raises Fatal('label_polarity_inverted') for a detector whose known fakes score below its known reals.
    """
    for key, scorer in examiner.roster.scorers.items():
        fakes = await _log_odds(examiner, key, scorer.spec.known_fake)
        reals = await _log_odds(examiner, key, scorer.spec.known_real)
        for named, found in ((scorer.spec.known_fake, fakes), (scorer.spec.known_real, reals)):
            if named and not found:
                raise Fatal(
                    "known_file_unusable", f"Detector '{key}' finds nothing to judge in any of its known files."
                )
        if fakes and reals:
            with naming(key):
                check_polarity(fakes, reals)


async def _log_odds(examiner: Examiner, key: str, paths: Sequence[Path]) -> list[float]:
    try:
        judged = [(await examiner.examine(path, key=key)).analysis.main.judgement for path in paths]
    except Permanent as error:
        raise Fatal(
            "known_file_unusable", f"A known file of detector '{key}' cannot be used: {error.message}"
        ) from error
    return [judgement.log_odds for judgement in judged if judgement.log_odds is not None]
