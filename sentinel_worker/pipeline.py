"""One request from its claim to its outcome: fetch, probe, plan, decode, score, judge, derive."""

import asyncio
import tempfile
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from typing import Any

import httpx
import structlog

from sentinel_worker import logs, result
from sentinel_worker.errors import Permanent
from sentinel_worker.inference import Scorer
from sentinel_worker.lease import Lease
from sentinel_worker.media.facts import MediaFacts, MediaLimits
from sentinel_worker.media.windows import Window, plan_windows
from sentinel_worker.media.zygote import MediaChild, Zygote
from sentinel_worker.progress import Progress
from sentinel_worker.request import Claim, Finish, Stage
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

log = structlog.get_logger()


@dataclass
class Pipeline:
    """Everything that answering a request needs; one per worker."""

    settings: Settings
    http: httpx.AsyncClient
    zygote: Zygote
    scorers: Mapping[str, Scorer]
    progress: Progress

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
        with tempfile.TemporaryDirectory(prefix="request-", dir=limits.work_dir) as name:
            directory = Path(name)
            async with self._fetching, self._stage(lease, "fetching", limits.fetch_deadline_seconds, timings):
                fetched = await self._fetch(claim, directory)
            async with self._decoding, self.zygote.open(fetched.path, directory, self._limits) as child:
                async with self._stage(lease, "probing", limits.probe_deadline_seconds, timings):
                    facts = await child.probe()
                windows = plan_windows(facts.duration_seconds, facts.frames_per_second, scorer.spec.window_policy)
                async with self._stage(lease, "analyzing", limits.analyze_deadline_seconds, timings):
                    logits = await self._score(claim, child, scorer, windows, facts)
                judgement = judge(windows, logits, facts.duration_seconds, scorer.spec.rule)
                async with self._stage(lease, "deriving", limits.derive_deadline_seconds, timings):
                    derived = await self._derive(lease, child, facts, judgement)
        return Finish(
            "succeeded", stage="finishing", result=result.document(scorer, facts, fetched, judgement, derived, timings)
        )
