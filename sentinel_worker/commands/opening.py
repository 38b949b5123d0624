"""What the commands share: detectors by their keys, and an examiner with a word about the wait."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager

from rich.console import Console

from sentinel_worker.detectors.base import Device
from sentinel_worker.detectors.files import locate
from sentinel_worker.detectors.registry import DetectorSpec, find_detector
from sentinel_worker.errors import Fatal
from sentinel_worker.examiner import Examiner, open_examiner
from sentinel_worker.workdir import work_directory

NOT_HERE = frozenset({"checkpoint_missing", "checkpoint_unpinned"})

errors = Console(stderr=True)


@asynccontextmanager
async def opened(specs: Sequence[DetectorSpec], device: Device) -> AsyncIterator[Examiner]:
    """An examiner with its own folder for private copies; raises Fatal where decoder or detectors do not load."""
    async with AsyncExitStack() as stack:
        work = stack.enter_context(work_directory())
        with errors.status("loading the decoder and the detectors"):
            examiner = await stack.enter_async_context(open_examiner(specs, work, device=device))
        yield examiner


def those_here(keys: Sequence[str], detectors: Mapping[str, DetectorSpec]) -> list[DetectorSpec]:
    """The detectors of `keys` whose weights are on this machine; the others are named on standard error.

    Raises Fatal('checkpoint_missing') when none is left, and 'unknown_detector'.
    """
    here, missing = [], []
    for spec in (find_detector(key, detectors) for key in keys):
        try:
            locate(spec)
        except Fatal as error:
            if error.code not in NOT_HERE:
                raise
            missing.append(spec)
        else:
            here.append(spec)
    names = ", ".join(spec.key for spec in missing)
    pull = f"sentinel-worker models pull {' '.join(spec.key for spec in missing)}"
    if not here:
        raise Fatal("checkpoint_missing", f"No detector is on this machine: {pull}")
    if missing:
        errors.print(f"[yellow]without {names}, which are not on this machine: {pull}[/yellow]", soft_wrap=True)
    return here
