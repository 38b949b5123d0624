"""Folder for one worker's private request folders, and removal of what a killed worker left behind."""

import asyncio
import errno
import fcntl
import os
import shutil
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

from sentinel_worker.confine.hostile_folder import clear
from sentinel_worker.domain.errors import Fatal

PREFIX = "sentinel-worker-"
_MISTAKES = frozenset(
    {errno.ENOENT, errno.ENOTDIR, errno.EACCES, errno.EPERM, errno.EROFS, errno.ELOOP, errno.ENAMETOOLONG}
)
YOUNG_SECONDS = 60.0
"""A folder younger than this may belong to a worker that has not locked it yet."""


@contextmanager
def work_directory(parent: Path | None = None) -> Iterator[Path]:
    """Make a folder below `parent` (by default the system's temporary folder), locked as long as the block runs.

    The kernel releases the lock when the process ends, however it ends. Folders that nobody locks are removed first.
    Raises Fatal('work_dir_unusable') if the folder below which it lies is missing or cannot be written.
    """
    base = parent or _temporary()
    for folder in base.glob(f"{PREFIX}*"):
        _remove_if_abandoned(folder)
    try:
        own = Path(tempfile.mkdtemp(prefix=PREFIX, dir=base))
    except OSError as error:
        if error.errno not in _MISTAKES:
            raise
        setting = "SENTINEL_WORK_DIR" if parent is not None else "TMPDIR"
        raise Fatal(
            "work_dir_unusable",
            f"The folder {base} for files in work cannot be used ({error.strerror}): set {setting} to a folder that "
            "exists and that the worker may write.",
        ) from error
    descriptor = os.open(own, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield own
    finally:
        shutil.rmtree(own, ignore_errors=True)
        os.close(descriptor)


def _temporary() -> Path:
    try:
        return Path(tempfile.gettempdir())
    except FileNotFoundError:  # it tried to write there, and tells a full disk from a missing folder to nobody
        return Path(os.environ.get("TMPDIR") or "/tmp")  # noqa: S108 - for a private folder in it


@asynccontextmanager
async def private_directory(parent: Path) -> AsyncIterator[Path]:
    """Make a folder for one request and always remove it; off the event loop, because removing 1 GB takes time."""
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
