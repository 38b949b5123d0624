"""Derived media: made in children one after the other, and kept by the caller.

The verdict does not need them, so those that cannot be made, or not in time, are left out.
"""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Final

import structlog

from sentinel_worker.domain.compute import Compute
from sentinel_worker.domain.derived import Picture, PreviewLimits
from sentinel_worker.domain.errors import CodedError, Fatal, Transient
from sentinel_worker.domain.machine_errors import is_of_machine
from sentinel_worker.domain.media_facts import MediaLimits
from sentinel_worker.media.child_client import Child
from sentinel_worker.media.zygote import Zygote
from sentinel_worker.observe import logs

Keep = Callable[[str, Path], Awaitable[str | None]]
"""Callback that keeps the file of a name, and returns its place for the evidence, or None if it is left out."""
Make = Callable[[], Awaitable[Path]]
"""Makes one derived file in the request's folder; raises the errors of children."""
_PATIENCE: Final = 2
_OPENING_SECONDS: Final = 30.0

log = structlog.get_logger()


async def derive(
    makers: Mapping[str, Make], keep: Keep | None, stage: AbstractAsyncContextManager[None]
) -> dict[str, str]:
    """Make and keep the files of `makers`, by name, one after the other and all within `stage`.

    Returns the places of the kept ones by name; without `keep` none are made. At the time limit of `stage` the others
    are left out, so that a finished analysis is not lost. Raises `Fatal`, the errors of the worker's machine, and what
    `keep` raises.
    """
    kept: dict[str, str] = {}
    waiting = list(makers)
    try:
        async with stage:
            for name, make in makers.items():
                if keep is None:
                    break
                file = await _made(name, make)
                place = await keep(name, file) if file is not None else None
                waiting.remove(name)
                if place is not None:
                    kept[name] = place
    except Transient as error:
        if error.code != "stage_timed_out":
            raise
        for name in waiting:
            log.warning(logs.NOT_DERIVED, name=name, error_code=error.code, error=error.message)
    return kept


def pictures(child: Child, wanted: Mapping[str, Picture]) -> dict[str, Make]:
    """Makers of pictures, by name, from a child that has decoded the windows."""
    return {name: partial(_picture, child, name, picture) for name, picture in wanted.items()}


def preview(
    zygote: Zygote, path: Path, directory: Path, limits: MediaLimits, wanted: PreviewLimits, compute: Compute
) -> dict[str, Make]:
    """Maker of the preview of the file at `path`, in a child of its own: what happens to it costs only the preview.

    `compute` counts its CPU seconds.
    """
    wall_seconds = _PATIENCE * wanted.work_seconds + _OPENING_SECONDS
    own = replace(limits, max_wall_seconds=wall_seconds, max_cpu_seconds=math.ceil(wall_seconds))

    async def make() -> Path:
        async with zygote.open(path, directory, own, compute, profile="preview") as child:
            return await child.preview(wanted, name="preview.mp4")

    return {"preview": make}


async def _picture(child: Child, name: str, wanted: Picture) -> Path:
    if not child.takes_calls:
        raise Transient("decoder_failed", "The decoder gave an invalid answer to an earlier call.")
    (file,) = await child.derive([wanted], names=[f"{name}.webp"])
    return file


async def _made(name: str, make: Make) -> Path | None:
    """Return the file in the request's folder, or None if it cannot be made."""
    try:
        file = await make()
    except CodedError as error:
        if isinstance(error, Fatal) or is_of_machine(error):
            raise
        log.warning(logs.NOT_DERIVED, name=name, error_code=error.code, error=error.message)
        return None
    return file
