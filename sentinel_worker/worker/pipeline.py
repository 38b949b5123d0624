"""One request from its claim to its outcome: the flow of a file, held to the row's lease, limits and progress."""

from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import structlog

from sentinel_worker.config.settings import Settings
from sentinel_worker.domain.errors import Permanent, Transient
from sentinel_worker.domain.request import Finish, Stage
from sentinel_worker.inference.flow import Flow
from sentinel_worker.observe import logs
from sentinel_worker.queue.lease import Lease
from sentinel_worker.queue.progress import Progress
from sentinel_worker.queue.rights import RightsCheck
from sentinel_worker.sources import storage
from sentinel_worker.sources.choosing import Fetch, RequestSources
from sentinel_worker.sources.fetched import Fetched

SPANS: Mapping[Stage, tuple[float, float]] = {
    "fetching": (0, 30),
    "probing": (30, 35),
    "analyzing": (35, 90),
    "deriving": (90, 98),
    "finishing": (98, 100),
}
"""Which part of the whole request's progress, in percent, each stage covers."""

log = structlog.get_logger()


@contextmanager
def memory_errors_translated() -> Iterator[None]:
    """An allocation that the machine refuses, alone or in a group, is no fault of the worker or the file."""
    try:
        yield
    except (MemoryError, ExceptionGroup) as error:
        if isinstance(error, ExceptionGroup) and error.subgroup(MemoryError) is None:
            raise
        raise Transient("out_of_memory", "The machine has too little free memory for this file.") from error


@dataclass(frozen=True, slots=True)
class RequestStages:
    """The stages of one request: each has its time limit, and its part of the progress that the owner sees."""

    lease: Lease
    progress: Progress
    settings: Settings

    @asynccontextmanager
    async def enter(self, stage: Stage) -> AsyncIterator[None]:
        """Work inside belongs to `stage`, and ends with `Transient('stage_timed_out')` at its limit."""
        limits_seconds: Mapping[Stage, float] = {
            "fetching": self.settings.fetch_deadline_seconds,
            "probing": self.settings.probe_deadline_seconds,
            "analyzing": self.settings.analyze_deadline_seconds,
            "deriving": self.settings.derive_deadline_seconds,
        }
        self.report(stage, 0.0)
        async with self.lease.enter(stage, limits_seconds[stage]):
            with memory_errors_translated():
                yield

    def report(self, stage: Stage, fraction: float) -> None:
        """Show that `fraction` (0 to 1) of `stage` is done."""
        start, end = SPANS[stage]
        self.progress.report(self.lease.claim, stage, start + (end - start) * fraction)


@dataclass
class Pipeline:
    """Everything that answering a request needs; one per worker. `http` is for Storage only: it carries the key."""

    settings: Settings
    flow: Flow
    sources: RequestSources
    http: httpx.AsyncClient
    progress: Progress
    rights: RightsCheck

    async def analyze(self, lease: Lease) -> Finish:
        """Answer one claim. Raises this package's errors; writes nothing but derived files of this fence."""
        claim, stages = lease.claim, RequestStages(lease, self.progress, self.settings)
        source = self.sources.of(claim)
        self.flow.roster.offer(claim.media_kind, claim.detector)
        examined = await self.flow.run(
            replace(source, fetch=partial(self._fetch, source.fetch)),
            claim.media_kind,
            claim.detector,
            stages=stages,
            keep=partial(self._upload, lease),
        )
        lease.stage = "finishing"
        stages.report("finishing", 0.0)
        return Finish("succeeded", stage="finishing", result=examined.document)

    @property
    def lanes(self) -> list[str]:
        """The lanes of the queue that this worker can serve."""
        return self.flow.roster.lanes

    @property
    def can_decode(self) -> bool:
        """Whether the zygote is there to fork children."""
        return self.flow.zygote.running

    async def _fetch(self, fetch: Fetch, **options: Any) -> Fetched:
        """What Storage refuses raises doubt about the worker's rights."""
        with self.rights.doubted_after("access_refused"):
            try:
                return await fetch(**options)
            except Permanent as error:
                if error.code == "object_not_found":  # also what Storage says of a file that this role may not see
                    await self.rights.check_again()
                raise

    async def _upload(self, lease: Lease, made: Mapping[str, Path]) -> dict[str, str]:
        """Store the pictures for people; returns their paths in the bucket `derived`."""
        folder = f"{lease.claim.user_id}/{lease.claim.id}/{lease.claim.fence}"
        stored: dict[str, str] = {}
        for name, file in made.items():
            lease.check()
            path = f"{folder}/{file.name}"
            try:
                with self.rights.doubted_after("access_refused"):
                    await storage.upload(self.http, bucket="derived", path=path, file=file)
                stored[name] = path
            except Permanent as error:
                log.warning(logs.NOT_DERIVED, name=name, error_code=error.code, error=error.message)
        return stored
