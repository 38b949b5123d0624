"""One request from its claim to its outcome: fetch, probe, choose, examine, derive."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import httpx
import structlog

from sentinel_worker import logs, result
from sentinel_worker.analysis import Analysis, derive, examine
from sentinel_worker.errors import Permanent, Transient
from sentinel_worker.lease import Lease
from sentinel_worker.media.children import Child
from sentinel_worker.media.facts import MediaLimits
from sentinel_worker.media.zygote import Zygote
from sentinel_worker.progress import Progress
from sentinel_worker.request import Claim, Finish, Stage
from sentinel_worker.rights import Rights
from sentinel_worker.roster import Roster
from sentinel_worker.settings import Settings
from sentinel_worker.shares import Shares
from sentinel_worker.sources import storage, url
from sentinel_worker.sources.fetched import Fetched
from sentinel_worker.sources.social.fetcher import Social
from sentinel_worker.timings import Timings
from sentinel_worker.workdir import private_directory

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


@dataclass
class Pipeline:
    """Everything that answering a request needs; one per worker."""

    settings: Settings
    http: httpx.AsyncClient
    """For Storage alone: it carries the key."""
    url_rules: url.UrlRules
    social: Social | None
    zygote: Zygote
    roster: Roster
    limits: MediaLimits
    progress: Progress
    work_directory: Path
    rights: Rights

    def __post_init__(self) -> None:
        self._uploads = asyncio.Semaphore(self.settings.fetch_concurrency)
        self._urls = Shares(self.settings.url_places)
        self._decoding = asyncio.Semaphore(self.settings.decode_concurrency)

    async def analyze(self, lease: Lease) -> Finish:
        """Answer one claim. Raises this package's errors; writes nothing but derived files of this fence."""
        claim, settings, timings = lease.claim, self.settings, Timings()
        if claim.source_url is not None and not settings.url_sources:
            raise Permanent("source_not_supported", "This worker fetches no URLs: upload the file instead.")
        self.roster.offer(claim.media_kind, claim.detector)
        async with private_directory(self.work_directory) as directory:
            # Apart, so that servers of strangers, however slow, never hold up what lies in Storage.
            place = self._uploads if claim.source_url is None else self._urls.place(claim.user_id)
            async with place, self._stage(lease, "fetching", settings.fetch_deadline_seconds, timings):
                fetched = await self._fetch(claim, directory)
            async with self._decoding, self.zygote.open(fetched.path, directory, self.limits) as child:
                async with self._stage(lease, "probing", settings.probe_deadline_seconds, timings):
                    facts = await child.probe()
                choice = self.roster.choose(claim.media_kind, claim.detector, facts)
                async with self._stage(lease, "analyzing", settings.analyze_deadline_seconds, timings):
                    analysis = await examine(child, facts, choice, lambda done: self._report(claim, "analyzing", done))
                async with self._stage(lease, "deriving", settings.derive_deadline_seconds, timings):
                    derived = await self._derive(lease, child, analysis)
        lease.stage = "finishing"
        self._report(claim, "finishing", 0.0)
        evidence = result.document(analysis, fetched, derived, timings.seconds)
        return Finish("succeeded", stage="finishing", result=evidence)

    @property
    def lanes(self) -> list[str]:
        """The lanes of the queue that this worker can serve."""
        return self.roster.lanes

    @property
    def can_decode(self) -> bool:
        """Whether the zygote is there to fork children."""
        return self.zygote.running

    @asynccontextmanager
    async def _stage(self, lease: Lease, stage: Stage, limit_seconds: float, timings: Timings) -> AsyncIterator[None]:
        self._report(lease.claim, stage, 0.0)
        async with lease.enter(stage, limit_seconds):
            with timings.measure(stage), memory_errors_translated():
                yield

    def _report(self, claim: Claim, stage: Stage, fraction: float) -> None:
        """Show that `fraction` (0 to 1) of `stage` is done."""
        start, end = SPANS[stage]
        self.progress.report(claim, stage, start + (end - start) * fraction)

    async def _fetch(self, claim: Claim, directory: Path) -> Fetched:
        def report(fraction: float) -> None:
            self._report(claim, "fetching", fraction)

        limit = self.settings.media_max_bytes
        if claim.source_url is not None:
            return await self._fetch_url(claim.source_url, directory, limit, report)
        assert claim.storage_path is not None  # the database's one_source
        with self.rights.doubted_after("access_refused"):
            try:
                return await storage.fetch(
                    self.http,
                    user_id=claim.user_id,
                    storage_path=claim.storage_path,
                    directory=directory,
                    limit_bytes=limit,
                    on_progress=report,
                )
            except Permanent as error:
                if error.code == "object_not_found":  # also what Storage says of a file that this role may not see
                    await self.rights.check_again()
                raise

    async def _fetch_url(
        self, source_url: str, directory: Path, limit_bytes: int, report: Callable[[float], None]
    ) -> Fetched:
        """A post of a social site by yt-dlp, anything else as a file."""
        if self.social is not None and self.social.suits(source_url):
            social = replace(self.social, egress=self.social.egress.of_one_client())
            return await social.fetch(source_url, directory=directory, limit_bytes=limit_bytes, on_progress=report)
        if "direct" not in self.settings.url_sources:
            raise Permanent("source_not_supported", "This worker fetches posts of social sites, and no other URLs.")
        return await url.fetch(
            source_url, rules=self.url_rules, directory=directory, limit_bytes=limit_bytes, on_progress=report
        )

    async def _derive(self, lease: Lease, child: Child, analysis: Analysis) -> dict[str, str]:
        """Make and upload pictures for people; returns their paths in the bucket `derived`."""
        folder = f"{lease.claim.user_id}/{lease.claim.id}/{lease.claim.fence}"
        stored: dict[str, str] = {}
        for name, file in (await derive(child, analysis)).items():
            lease.check()
            path = f"{folder}/{file.name}"
            try:
                with self.rights.doubted_after("access_refused"):
                    await storage.upload(self.http, bucket="derived", path=path, file=file)
                stored[name] = path
            except Permanent as error:
                log.warning(logs.NOT_DERIVED, name=name, error_code=error.code, error=error.message)
        return stored
