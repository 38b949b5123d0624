"""One request from its claim to its outcome: fetch, probe, plan, decode, score, judge, derive."""

import asyncio
import tempfile
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from time import monotonic

import httpx

from sentinel_worker import result
from sentinel_worker.errors import Permanent, SentinelError
from sentinel_worker.inference import Scorer
from sentinel_worker.lease import Lease
from sentinel_worker.media.children import Child
from sentinel_worker.media.facts import Clip, MediaFacts, MediaLimits
from sentinel_worker.media.windows import Window, plan_windows
from sentinel_worker.media.zygote import Zygote
from sentinel_worker.progress import Progress
from sentinel_worker.request import Claim, Finish, MediaKind, Stage
from sentinel_worker.settings import Settings
from sentinel_worker.sources import storage
from sentinel_worker.verdict import Judgement, judge

SPANS: Mapping[Stage, tuple[float, float]] = {
    "fetching": (0, 30),
    "probing": (30, 35),
    "analyzing": (35, 90),
    "deriving": (90, 98),
    "finishing": (98, 100),
}
"""Which part of the whole request's progress, in percent, each stage covers."""

SERVED_KINDS: tuple[MediaKind, ...] = ("video", "auto")


@dataclass
class Pipeline:
    """Everything that answering a request needs; one per worker."""

    settings: Settings
    http: httpx.AsyncClient
    zygote: Zygote
    scorers: Mapping[str, Scorer]
    progress: Progress
    work_directory: Path

    def __post_init__(self) -> None:
        self._fetching = asyncio.Semaphore(self.settings.fetch_concurrency)
        self._decoding = asyncio.Semaphore(self.settings.decode_concurrency)
        self._limits = MediaLimits(
            max_bytes=self.settings.media_max_bytes,
            max_duration_seconds=self.settings.media_max_seconds,
            max_wall_seconds=self.settings.analyze_deadline_seconds,
        )

    async def analyze(self, lease: Lease) -> Finish:
        """Answer one claim. Raises this package's errors; writes nothing but derived files of this fence."""
        claim, limits, timings = lease.claim, self.settings, Timings()
        scorer = self._scorer_for(claim)
        async with private_directory(self.work_directory) as directory:
            async with self._fetching, self._stage(lease, "fetching", limits.fetch_deadline_seconds, timings):
                fetched = await self._fetch(claim, directory)
            async with self._decoding, self.zygote.open(fetched.path, directory, self._limits) as child:
                async with self._stage(lease, "probing", limits.probe_deadline_seconds, timings):
                    facts = await child.probe()
                windows = plan_windows(facts.duration_seconds, facts.frames_per_second, scorer.spec.window_policy)
                async with self._stage(lease, "analyzing", limits.analyze_deadline_seconds, timings):
                    windows, logits = await self._score(claim, child, scorer, windows, facts)
                judgement = judge(windows, logits, facts.duration_seconds, scorer.spec.rule)
                async with self._stage(lease, "deriving", limits.derive_deadline_seconds, timings):
                    derived = await self._derive(lease, child, facts, judgement)
        lease.stage = "finishing"
        self._report(claim, "finishing", 0.0)
        evidence = result.document(scorer, facts, fetched, judgement, derived, timings.seconds)
        return Finish("succeeded", stage="finishing", result=evidence)

    def _scorer_for(self, claim: Claim) -> Scorer:
        if claim.storage_path is None:
            raise Permanent("source_not_supported", "This worker does not fetch URLs yet: upload the file instead.")
        key = claim.detector or self.settings.detector
        if key not in self.scorers or claim.media_kind not in SERVED_KINDS:
            raise Permanent(
                "detector_unavailable",
                f"No detector '{key}' for {claim.media_kind} runs here.",
                params={"detector": key, "media_kind": claim.media_kind},
            )
        return self.scorers[key]

    @property
    def can_decode(self) -> bool:
        """Whether the zygote is there to fork children."""
        return self.zygote.running

    @property
    def lanes(self) -> list[str]:
        """The lanes of the queue that this worker can serve."""
        return [f"{kind}/{key}" for kind in SERVED_KINDS for key in ("default", *self.scorers)]

    @asynccontextmanager
    async def _stage(self, lease: Lease, stage: Stage, limit_seconds: float, timings: "Timings") -> AsyncIterator[None]:
        self._report(lease.claim, stage, 0.0)
        async with lease.enter(stage, limit_seconds):
            with timings.measure(stage):
                yield

    def _report(self, claim: Claim, stage: Stage, fraction: float) -> None:
        """Show that `fraction` (0 to 1) of `stage` is done."""
        start, end = SPANS[stage]
        self.progress.report(claim, stage, start + (end - start) * fraction)

    async def _fetch(self, claim: Claim, directory: Path) -> storage.Fetched:
        assert claim.storage_path is not None
        return await storage.fetch(
            self.http,
            user_id=claim.user_id,
            storage_path=claim.storage_path,
            directory=directory,
            limit_bytes=self.settings.media_max_bytes,
            on_progress=lambda fraction: self._report(claim, "fetching", fraction),
        )

    async def _score(
        self, claim: Claim, child: Child, scorer: Scorer, windows: Sequence[Window], facts: MediaFacts
    ) -> tuple[list[Window], list[float]]:
        """The windows that could be decoded and their logits, in order; decoding and scoring overlap."""
        geometry = scorer.geometry(facts.frames_per_second)
        scores: dict[Window, asyncio.Task[float]] = {}
        done = 0

        async def score(clip: Clip) -> float:
            nonlocal done
            logit = await scorer.score(clip)
            done += 1
            self._report(claim, "analyzing", done / len(windows))
            return logit

        try:
            async with asyncio.TaskGroup() as group, aclosing(child.clips(windows, geometry)) as clips:
                async for clip in clips:
                    scores[clip.window] = group.create_task(score(clip))
        except* SentinelError as errors:
            raise errors.exceptions[0] from None
        if not scores:
            raise Permanent("media_unreadable", "No part of the video could be decoded.")
        decoded = [window for window in windows if window in scores]
        return decoded, [scores[window].result() for window in decoded]

    async def _derive(self, lease: Lease, child: Child, facts: MediaFacts, judgement: Judgement) -> dict[str, str]:
        """Make and upload the thumbnail and the worst frame; returns their paths in the bucket `derived`."""
        worst = judgement.windows[judgement.worst_window]
        moments = {
            "thumbnail": facts.duration_seconds / 2,
            "worst_frame": (worst.start_seconds + worst.end_seconds) / 2,
        }
        names = [f"{name}.jpg" for name in moments]
        files = await child.derive(at_seconds=list(moments.values()), names=names)
        folder = f"{lease.claim.user_id}/{lease.claim.id}/{lease.claim.fence}"
        for file in files:
            lease.check()
            await storage.upload(self.http, bucket="derived", path=f"{folder}/{file.name}", file=file)
        return {file.stem: f"{folder}/{file.name}" for file in files}


@asynccontextmanager
async def private_directory(parent: Path) -> AsyncIterator[Path]:
    """A folder for one request, removed at the end whatever happens; off the loop, for 1 GB takes its time."""
    directory = tempfile.TemporaryDirectory(prefix="request-", dir=parent)
    try:
        yield Path(directory.name)
    finally:
        await asyncio.shield(asyncio.to_thread(directory.cleanup))


class Timings:
    """Seconds spent in each stage."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    @contextmanager
    def measure(self, stage: Stage) -> Iterator[None]:
        """Add the block's wall-clock time to `stage`."""
        started = monotonic()
        try:
            yield
        finally:
            self.seconds[stage] = round(self.seconds.get(stage, 0.0) + monotonic() - started, 3)
