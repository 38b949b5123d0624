"""Workers that are forked from a template: `WorkerProcess` without the seconds that its imports take."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Final, Self, cast

from sentinel_worker.commands.dev import WorkerProcess
from tests.warm.forks import Template

_ONE_THREAD: Final = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
"""Only for the template: with it OpenBLAS and OpenMP start no threads, which a fork would lack."""


def template() -> Template:
    """Start a process from which workers are forked."""
    return Template("tests.warm.worker_main", _ONE_THREAD)


class WarmWorker(WorkerProcess):
    """A `WorkerProcess` that is forked from `template`, with a real process id, real signals and exit status.

    `/proc` does not show its environment, but the template's.
    """

    def __init__(
        self, template: Template, environment: Mapping[str, str], *, log: Path, module: str = "sentinel_worker"
    ) -> None:
        super().__init__(environment, log=log, module=module)
        self._template = template

    async def __aenter__(self) -> Self:
        assert self._log is not None
        stdin = os.open(os.devnull, os.O_RDONLY)
        try:
            with self._log.open("wb") as stderr:
                streams = [stdin, 1, stderr.fileno()]
                forked = await self._template.fork(streams, self._environment, module=self._module)
        finally:
            os.close(stdin)
        self._process = cast(asyncio.subprocess.Process, forked)
        return self
