"""The flow of a file from source to evidence: fetch, probe, choose, examine, derive. Shared by rows and files."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Protocol

from sentinel_worker.concurrency.fair_places import FairPlaces
from sentinel_worker.confine.private_folders import private_directory
from sentinel_worker.domain.compute import Compute
from sentinel_worker.domain.derived import PreviewLimits
from sentinel_worker.domain.media_facts import MediaLimits
from sentinel_worker.domain.request import MediaKind, Stage
from sentinel_worker.domain.windows import COVERAGE, CoverageRule
from sentinel_worker.inference import derived_media, result
from sentinel_worker.inference.analysis import Analysis, examine
from sentinel_worker.inference.derived_media import Keep, derive
from sentinel_worker.inference.roster import Roster
from sentinel_worker.inference.timings import Timings
from sentinel_worker.inference.wanted_pictures import wanted_pictures
from sentinel_worker.media.zygote import Zygote
from sentinel_worker.sources.choosing import Source


class Stages(Protocol):
    """Limits on the stages of one file, and the receiver of its progress."""

    def enter(self, stage: Stage) -> AbstractAsyncContextManager[None]:
        """Return a context manager for the work of `stage`; raises `Transient('stage_timed_out')` at a time limit."""

    def report(self, stage: Stage, fraction: float) -> None:
        """Report that `fraction` (0 to 1) of `stage` is done."""


@dataclass(frozen=True, slots=True)
class Examined:
    """An answer with its evidence, as `analysis_results` keeps it."""

    analysis: Analysis
    document: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Flow:
    """Flow shared by all files of a process: its decoder, its detectors, the limits of one file, and how closely it is
    looked at.

    `work` contains the files' private folders; `decoding` bounds the number of children, and shares them between users.
    `preview` bounds previews; without it none are made.
    """

    zygote: Zygote
    roster: Roster
    limits: MediaLimits
    work: Path
    coverage: CoverageRule = COVERAGE
    decoding: FairPlaces | None = None
    preview: PreviewLimits | None = None

    async def run(
        self,
        source: Source,
        kind: MediaKind,
        key: str | None,
        *,
        stages: Stages,
        keep: Keep | None,
        compute: Compute,
        preview: bool = False,
    ) -> Examined:
        """Examine the file of `source` as `kind`, with the detector `key` if that is set; `compute` counts its cost.

        With `preview`, make one too.

        Raises what the source, the decoding child, `Roster.choose`, `analysis.examine` and `derived_media.derive`
        raise.
        """
        timings = Timings()

        @asynccontextmanager
        async def stage(name: Stage) -> AsyncIterator[None]:
            async with stages.enter(name):
                with timings.measure(name):
                    yield

        async with private_directory(self.work) as directory:
            async with source.place, stage("fetching"):
                compute.begin()
                report = partial(stages.report, "fetching")
                fetched = await source.fetch(directory=directory, limit_bytes=self.limits.max_bytes, on_progress=report)
            async with self._decoding_place(compute):
                async with self.zygote.open(fetched.path, directory, self.limits, compute) as child:
                    async with stage("probing"):
                        facts = await child.probe()
                    choice = self.roster.choose(kind, key, facts)
                    async with stage("analyzing"):
                        report = partial(stages.report, "analyzing")
                        analysis = await examine(child, facts, choice, self.coverage, report, compute)
                    pictures = derived_media.pictures(child, wanted_pictures(analysis))
                    derived = await derive(pictures, keep, stage("deriving"))
                if preview and self.preview is not None and facts.kind != "image":
                    make = derived_media.preview(
                        self.zygote, fetched.path, directory, self.limits, self.preview, compute
                    )
                    derived |= await derive(make, keep, stage("deriving"))
        return Examined(analysis, result.document(analysis, fetched, derived, timings.seconds))

    def _decoding_place(self, compute: Compute) -> AbstractAsyncContextManager[None]:
        return nullcontext() if self.decoding is None else self.decoding.place(compute.user)
