"""Process one request from claim to outcome: the flow of a file under the row's lease, time limits and progress."""

from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, Final

from sentinel_worker.config.settings import Settings
from sentinel_worker.domain.compute import is_too_slow, too_slow
from sentinel_worker.domain.errors import Permanent, Transient
from sentinel_worker.domain.request import Finish, Stage
from sentinel_worker.inference.flow import Flow
from sentinel_worker.inference.result import software
from sentinel_worker.queue.lease import Lease
from sentinel_worker.queue.progress import Progress
from sentinel_worker.queue.rights import RightsCheck
from sentinel_worker.sources.choosing import Fetch, RequestSources
from sentinel_worker.sources.fetched import Fetched
from sentinel_worker.worker.derived_files import DerivedFiles

SPANS: Mapping[Stage, tuple[float, float]] = {
    "fetching": (0, 30),
    "probing": (30, 35),
    "analyzing": (35, 90),
    "deriving": (90, 98),
    "finishing": (98, 100),
}
"""Start and end of each stage, in percent of the request's progress."""
OF_FILE: Final = frozenset[Stage]({"probing", "analyzing"})
"""Stages that a file itself may make too long. One that is too long in `deriving` only lacks its pictures."""
TIMED_OUT: Final = frozenset({"stage_timed_out", "decoder_timeout"})
"""Codes of a file that ran into a time limit: of its stage, or of its decoding child."""


@contextmanager
def memory_errors_translated() -> Iterator[None]:
    """Translate a MemoryError, also one in an exception group, into Transient('out_of_memory').

    Neither the worker nor the file is at fault.
    """
    try:
        yield
    except (MemoryError, ExceptionGroup) as error:
        if isinstance(error, ExceptionGroup) and error.subgroup(MemoryError) is None:
            raise
        raise Transient("out_of_memory", "The machine has too little free memory for this file.") from error


@dataclass(frozen=True, slots=True)
class RequestStages:
    """Stages of one request: each has a time limit and a share of the progress that the owner sees."""

    lease: Lease
    progress: Progress
    settings: Settings
    done: dict[Stage, float] = field(default_factory=dict)
    """Fraction of each stage that was reported last."""

    @asynccontextmanager
    async def enter(self, stage: Stage) -> AsyncIterator[None]:
        """Run the block as `stage`; raises `Transient('stage_timed_out')` at its time limit.

        If the file itself used up that time, raises `Permanent('too_slow_to_analyze')` instead.
        """
        limits_seconds: Mapping[Stage, float] = {
            "fetching": self.settings.fetch_deadline_seconds,
            "probing": self.settings.probe_deadline_seconds,
            "analyzing": self.settings.analyze_deadline_seconds,
            "deriving": self.settings.derive_deadline_seconds,
        }
        self.report(stage, 0.0)
        before = self.lease.compute.cpu_seconds
        try:
            async with self.lease.enter(stage, limits_seconds[stage]):
                with memory_errors_translated():
                    yield
        except Transient as error:
            if stage not in OF_FILE or error.code not in TIMED_OUT:
                raise
            used, limit_seconds = self.lease.compute.cpu_seconds - before, limits_seconds[stage]
            if not is_too_slow(used, limit_seconds, self.done[stage]):
                raise
            raise too_slow(used, stage=stage, limit_seconds=limit_seconds) from error

    def report(self, stage: Stage, fraction: float) -> None:
        """Report that `fraction` (0 to 1) of `stage` is done."""
        self.done[stage] = fraction
        start, end = SPANS[stage]
        self.progress.report(self.lease.claim, stage, start + (end - start) * fraction)


@dataclass
class Pipeline:
    """Everything needed to answer requests; one per worker."""

    settings: Settings
    flow: Flow
    sources: RequestSources
    derived: DerivedFiles
    progress: Progress
    rights: RightsCheck

    async def analyze(self, lease: Lease) -> Finish:
        """Answer one claim. Raises this package's errors; writes only derived files, under this fence."""
        claim, stages = lease.claim, RequestStages(lease, self.progress, self.settings)
        source = self.sources.of(claim, lease.compute)
        self.flow.roster.offer(claim.media_kind, claim.detector)
        examined = await self.flow.run(
            replace(source, fetch=partial(self._fetch, source.fetch)),
            claim.media_kind,
            claim.detector,
            stages=stages,
            keep=partial(self.derived.keep, lease),
            compute=lease.compute,
            preview=claim.preview,
        )
        lease.stage = "finishing"
        stages.report("finishing", 0.0)
        return Finish("succeeded", stage="finishing", result=examined.document, software=software())

    @property
    def lanes(self) -> list[str]:
        """Lanes of the queue that this worker can serve."""
        return self.flow.roster.lanes

    @property
    def can_decode(self) -> bool:
        """True if the zygote is running and can fork children."""
        return self.flow.zygote.running

    async def _fetch(self, fetch: Fetch, **options: Any) -> Fetched:
        """Fetch the file; if Storage refuses, have the worker's rights checked again."""
        with self.rights.doubted_after("access_refused"):
            try:
                return await fetch(**options)
            except Permanent as error:
                if error.code == "object_not_found":  # Storage's answer also for a file that this role may not see
                    await self.rights.check_again()
                raise
