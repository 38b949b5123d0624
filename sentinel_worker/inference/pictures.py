"""Pictures for people: made in the child one after the other, and kept by the caller.

The verdict does not need them, so those that cannot be made, or not in time, are left out.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import structlog

from sentinel_worker.domain.errors import CodedError, Fatal, Transient
from sentinel_worker.domain.machine_errors import is_of_machine
from sentinel_worker.media.child_client import Child
from sentinel_worker.observe import logs

Keep = Callable[[str, Path], Awaitable[str | None]]
"""Callback that keeps the picture of a name, and returns its place for the evidence, or None if it is left out."""

log = structlog.get_logger()


async def derive(
    child: Child, moments: Mapping[str, float], keep: Keep | None, stage: AbstractAsyncContextManager[None]
) -> dict[str, str]:
    """Make and keep a picture of each of `moments` (seconds from the first frame, by name), all within `stage`.

    Returns the places of the kept ones by name; without `keep` none are made. At the time limit of `stage` the others
    are left out, so that a finished analysis is not lost. Raises `Fatal`, the errors of the worker's machine, and what
    `keep` raises.
    """
    kept: dict[str, str] = {}
    waiting = list(moments)
    try:
        async with stage:
            for name, seconds in moments.items():
                if keep is None:
                    break
                file = await _made(child, name, seconds)
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


async def _made(child: Child, name: str, seconds: float) -> Path | None:
    """Return the picture's file in the child's folder, or None if it cannot be made."""
    try:
        if not child.takes_calls:
            raise Transient("decoder_failed", "The decoder gave an invalid answer to an earlier call.")
        (file,) = await child.derive(at_seconds=[seconds], names=[f"{name}.jpg"])
    except CodedError as error:
        if isinstance(error, Fatal) or is_of_machine(error):
            raise
        log.warning(logs.NOT_DERIVED, name=name, error_code=error.code, error=error.message)
        return None
    return file
