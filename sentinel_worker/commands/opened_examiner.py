"""An examiner for the commands, with a status line while it loads."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager

from rich.console import Console

from sentinel_worker.confine.private_folders import WorkFolder
from sentinel_worker.detectors.base import Device
from sentinel_worker.detectors.registry import DetectorSpec
from sentinel_worker.domain.machine_errors import machine_errors_translated
from sentinel_worker.inference.examiner import Examiner, open_examiner

errors = Console(stderr=True)


@asynccontextmanager
async def opened(specs: Sequence[DetectorSpec], device: Device) -> AsyncIterator[Examiner]:
    """Open an examiner with a temporary work folder; raises Fatal if the decoder or the detectors do not load.

    Errors of this machine are translated for as long as it is open.
    """
    async with AsyncExitStack() as stack:
        stack.enter_context(machine_errors_translated())
        work = stack.enter_context(WorkFolder.opened()).path
        with errors.status("loading the decoder and the detectors"):
            examiner = await stack.enter_async_context(open_examiner(specs, work, device=device))
        yield examiner
