"""Sends mutated files through the whole child path, one fork of the zygote each, and checks what must hold."""

from __future__ import annotations

import asyncio
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path

from sentinel_worker.confine.private_folders import private_directory
from sentinel_worker.domain.media_facts import MediaLimits
from sentinel_worker.media.zygote import Zygote
from tests.fuzz.examined import Outcome, examine
from tests.fuzz.mutations import mutated
from tests.fuzz.surroundings import Surroundings

# Lower than in production, so that slow or large files stand out.
LIMITS = replace(
    MediaLimits(),
    max_cpu_seconds=20,
    max_wall_seconds=60.0,
    max_memory_bytes=1024**3,
    max_pixels=2048**2,
    max_picture_pixels=2048**2,
)
BATCH = 500
_SLOW_SECONDS = 5.0


@dataclass(slots=True)
class Campaign:
    """Findings of a run: counts by outcome, and `faults`, which must stay empty."""

    seed: int
    outcomes: Counter[str] = field(default_factory=Counter)
    notable: list[str] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)

    def note(self, number: int, what: str, outcome: Outcome, seconds: float) -> None:
        """Count one file. Crashes and slow files are listed, so that `--only` can repeat them."""
        self.outcomes[outcome.name] += 1
        line = f"--seed {self.seed} --only {number}: {outcome.name} after {seconds:.1f} s; {what}"
        if outcome.fault:
            self.faults.append(f"{line}\n{outcome.fault}")
        elif outcome.crashed or seconds > _SLOW_SECONDS:
            self.notable.append(line)

    def lines(self) -> list[str]:
        """Format the report."""
        counted = [f"{count:7}  {name}" for name, count in self.outcomes.most_common()]
        return [
            *counted,
            f"{self.outcomes.total():7}  files",
            *self.notable,
            *(f"FAULT {fault}" for fault in self.faults),
        ]


async def run(
    corpus: Mapping[str, bytes],
    folder: Path,
    numbers: Iterable[int],
    *,
    seed: int,
    watched: Sequence[Path] = (),
    at_once: int = 2,
    limit_seconds: float = float("inf"),
    say: Callable[[str], object] = lambda line: None,
) -> Campaign:
    """Send these numbered files through children with private folders in `folder`, until they or the time end."""
    campaign, begun, pending = Campaign(seed), time.monotonic(), iter(numbers)
    zygote = Zygote(renew_after=sys.maxsize)  # from here on another process or descriptor is a fault
    await zygote.start()
    try:
        surroundings = Surroundings(zygote, folder, watched)
        while time.monotonic() - begun < limit_seconds and (batch := list(islice(pending, BATCH))):
            await send(campaign, corpus, folder, batch, zygote, at_once)
            campaign.faults += surroundings.changes()
            seconds = time.monotonic() - begun
            say(f"{campaign.outcomes.total()} files in {seconds:.0f} s, {surroundings.memory()}")
        campaign.faults += surroundings.growth()
    finally:
        await zygote.stop()
    campaign.faults += surroundings.left_over()
    return campaign


async def send(
    campaign: Campaign, corpus: Mapping[str, bytes], folder: Path, batch: Sequence[int], zygote: Zygote, at_once: int
) -> None:
    """Send these numbered files through children, and record each outcome."""
    pending = iter(batch)

    async def one_after_the_other() -> None:
        for number in pending:
            what, content = mutated(corpus, campaign.seed, number)
            begun = time.monotonic()
            async with private_directory(folder) as directory:
                path = directory / "media"
                path.write_bytes(content)
                outcome = await examine(zygote, path, LIMITS)
            campaign.note(number, what, outcome, time.monotonic() - begun)

    async with asyncio.TaskGroup() as group:
        for _ in range(at_once):
            group.create_task(one_after_the_other())
