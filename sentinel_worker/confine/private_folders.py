"""The folder of one worker's private request folders, and what a killed worker left behind."""

import asyncio
import fcntl
import os
import shutil
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

from sentinel_worker.confine.hostile_folder import clear

PREFIX = "sentinel-worker-"
YOUNG_SECONDS = 60.0
"""A folder this young may belong to a worker that has not locked it yet."""


@contextmanager
def work_directory(parent: Path | None = None) -> Iterator[Path]:
    """A folder below `parent` (the system's temporary folder by default), locked for as long as the block.

    The kernel drops the lock with the process, however that ends: folders that nobody locks are removed first.
    """
    base = parent or Path(tempfile.gettempdir())
    for folder in base.glob(f"{PREFIX}*"):
        _remove_if_abandoned(folder)
    own = Path(tempfile.mkdtemp(prefix=PREFIX, dir=base))
    descriptor = os.open(own, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield own
    finally:
        shutil.rmtree(own, ignore_errors=True)
        os.close(descriptor)


@asynccontextmanager
async def private_directory(parent: Path) -> AsyncIterator[Path]:
    """A folder for one request, removed at the end whatever happens; off the loop, for 1 GB takes its time."""
    directory = tempfile.TemporaryDirectory(prefix="request-", dir=parent)
    try:
        yield Path(directory.name)
    finally:
        await asyncio.shield(asyncio.to_thread(directory.cleanup))


def _remove_if_abandoned(folder: Path) -> None:
    try:
        status = folder.lstat()
        if status.st_uid != os.geteuid() or time.time() - status.st_mtime < YOUNG_SECONDS:
            return
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    except OSError:  # not a folder, not ours, or just removed by its owner
        return
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        clear(folder)
    except BlockingIOError:
        return
    finally:
        os.close(descriptor)
