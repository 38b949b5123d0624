"""Files examined without a database: what `analyze`, `evaluate` and the check of polarity have in common."""

import asyncio
import shutil
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sentinel_worker import result
from sentinel_worker.analysis import Analysis, derive, examine
from sentinel_worker.detectors.base import Device
from sentinel_worker.detectors.labels import check_polarity
from sentinel_worker.detectors.loading import naming
from sentinel_worker.detectors.registry import DetectorSpec
from sentinel_worker.errors import Fatal, Permanent
from sentinel_worker.media.children import Child
from sentinel_worker.media.facts import MediaLimits
from sentinel_worker.media.walls import Mode
from sentinel_worker.media.zygote import Zygote
from sentinel_worker.request import MediaKind
from sentinel_worker.roster import Roster, open_roster
from sentinel_worker.sources import local, url
from sentinel_worker.sources.fetched import Fetched
from sentinel_worker.timings import Timings
from sentinel_worker.workdir import private_directory

FETCHED_SHARE = 0.2
"""How much of a file's progress is its copy."""
CHILDREN = 2
DEFAULT_LIMITS = MediaLimits()

Report = Callable[[float], None]


@dataclass(frozen=True, slots=True)
class Examined:
    """An answer with its evidence, as `analysis_results` would keep it; `document['derived']` names `pictures`."""

    analysis: Analysis
    document: dict[str, Any]
    pictures: dict[str, Path]


class Examiner:
    """Examines files in confined children, a few at a time."""

    def __init__(self, zygote: Zygote, roster: Roster, limits: MediaLimits, work: Path) -> None:
        self.zygote = zygote
        self.roster = roster
        self._limits = limits
        self._work = work
        self._children = asyncio.Semaphore(CHILDREN)

    async def examine(
        self,
        source: Path | str,
        *,
        kind: MediaKind = "auto",
        key: str | None = None,
        keep: Path | None = None,
        on_progress: Report = lambda _: None,
    ) -> Examined:
        """Examine a file, or what an http(s) address answers.

        With `keep`, small pictures for people are put into that folder. Raises what `analysis.examine`, the
        decoding child, `sources.local.copy` and `sources.url.fetch` raise.
        """
        async with self._children, private_directory(self._work) as directory:
            timings = Timings()
            with timings.measure("fetching"):
                fetched = await self._fetch(source, directory, lambda done: on_progress(done * FETCHED_SHARE))
            async with self.zygote.open(fetched.path, directory, self._limits) as child:
                with timings.measure("probing"):
                    facts = await child.probe()
                choice = self.roster.choose(kind, key, facts)
                with timings.measure("analyzing"):
                    analysis = await examine(
                        child, facts, choice, lambda done: on_progress(FETCHED_SHARE + done * (1 - FETCHED_SHARE))
                    )
                with timings.measure("deriving"):
                    pictures = await _keep(child, analysis, keep) if keep is not None else {}
        derived = {name: file.name for name, file in pictures.items()}
        return Examined(analysis, result.document(analysis, fetched, derived, timings.seconds), pictures)

    async def _fetch(self, source: Path | str, directory: Path, on_progress: Report) -> Fetched:
        limit = self._limits.max_bytes
        if isinstance(source, Path):
            return await local.copy(source, directory=directory, limit_bytes=limit, on_progress=on_progress)
        rules = url.UrlRules.of_operator()
        return await url.fetch(source, rules=rules, directory=directory, limit_bytes=limit, on_progress=on_progress)


async def _keep(child: Child, analysis: Analysis, folder: Path) -> dict[str, Path]:
    """The pictures for people, by name, moved into `folder`."""
    made = await derive(child, analysis)
    return {name: Path(await asyncio.to_thread(shutil.move, file, folder / file.name)) for name, file in made.items()}


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
    """Start the zygote and load the detectors, at the same time; it takes seconds. Private folders lie in `work`."""
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
    """Score the operator's known files with each detector that has some.

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
        raise Fatal("known_file_unusable", f"A known file of detector '{key}' is of no use: {error.message}") from error
    return [judgement.log_odds for judgement in judged if judgement.log_odds is not None]
