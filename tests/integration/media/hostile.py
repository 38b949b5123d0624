"""Children taken over by an upload: they run Python code from a test."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import pytest

from sentinel_worker.confine import bare_process
from sentinel_worker.domain.media_facts import MediaLimits
from sentinel_worker.media import zygote_process
from sentinel_worker.media.child_client import Child, _Clock
from sentinel_worker.media.protocol import Profile
from sentinel_worker.media.zygote import Zygote

BOOT = bare_process.program("tests.integration.media.hostile_main")
DONE = "done"


@contextmanager
def booted_hostile() -> Iterator[None]:
    """Make zygotes hostile that are started in this block."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(zygote_process, "_BOOT", BOOT)
        yield


@asynccontextmanager
async def hijacked(
    running: Zygote,
    folder: Path,
    *,
    without: Collection[str] = (),
    limits: MediaLimits | None = None,
    profile: Profile = "decoder",
) -> AsyncIterator[Child]:
    """Start a hostile child of `profile` in `folder`, with all layers except those left out."""
    name = f"media without {','.join(without)}" if without else "media"
    async with running.open(folder / name, folder, limits or MediaLimits(), profile=profile) as opened:
        yield opened


async def run_in(opened: Child, source: str) -> str:
    """Run `source` in the child; return `done`, an errno's name, or the value it left in `outcome`."""
    clock = _Clock(opened._limits.max_wall_seconds)
    with opened._call():
        await opened._ask({"ask": "run", "source": source}, clock)
        return str((await opened._answer("ran", clock))["outcome"])
