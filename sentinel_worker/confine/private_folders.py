"""Folder for one worker's private request folders, and removal of what a killed worker left behind."""

import asyncio
import fcntl
import os
import shutil
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import Final, Self

from sentinel_worker.confine.hostile_folder import clear
from sentinel_worker.domain.errors import Fatal
from sentinel_worker.domain.machine_errors import OF_PATHS

PREFIX = "sentinel-worker-"
YOUNG_SECONDS = 60.0
"""A folder younger than this may belong to a worker that has not locked it yet."""
TRIAL_BYTES: Final = 1024**2
TRIAL_FILES: Final = 8
"""Files, open at the same time, that a trial makes: about as many inodes and descriptors as a request needs."""
TRIAL_MEMORY_BYTES: Final = 32 * 1024**2
"""Memory that a trial asks for and does not touch: less than any request needs."""
_LEFT: Final = "left-"
"""Prefix of a request's folder that could not be removed, for instance for lack of descriptors."""


class WorkFolder:
    """A worker's own folder at `path`, locked: the kernel releases the lock when the process ends, however it ends."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = _locked(path)

    @classmethod
    @contextmanager
    def opened(cls, parent: Path | None = None) -> Iterator[Self]:
        """Make a folder below `parent` (by default the system's temporary folder) for as long as the block runs.

        Folders that nobody locks are removed first: a full disk may be full of them. Raises
        `Fatal('work_folder_unusable')` if `parent` is missing or cannot be written.
        """
        own = cls(_made_below(_cleared(parent), "SENTINEL_WORK_DIR" if parent is not None else "TMPDIR"))
        try:
            yield own
        finally:
            if own._is_own:
                shutil.rmtree(own.path, ignore_errors=True)
            os.close(own._lock)

    def restore(self) -> None:
        """Make the folder again if somebody removed it. Raises `OSError`, also if the path is another's now."""
        if self._is_own:
            return
        self.path.mkdir(mode=0o700)
        try:
            former, self._lock = self._lock, _locked(self.path)
        except OSError:
            self.path.rmdir()  # otherwise it would be taken for another's from now on
            raise
        os.close(former)

    @property
    def _is_own(self) -> bool:
        """True if the folder at `path` is the one that this worker made and locked."""
        try:
            return os.path.samestat(self.path.lstat(), os.fstat(self._lock))
        except FileNotFoundError:
            return False

    def try_out(self) -> None:
        """Do what a request does: make a folder and files, write, and take memory.

        Raises `OSError` or `MemoryError` if that is impossible.
        """
        bytes(TRIAL_MEMORY_BYTES)  # unlike bytearray, which would touch every page
        _clear_left(self.path)
        folder = Path(tempfile.mkdtemp(prefix="trial-", dir=self.path))
        files = [folder / str(number) for number in range(TRIAL_FILES)]
        try:
            with ExitStack() as stack:
                opened = [stack.enter_context(file.open("xb")) for file in files]
                opened[0].write(bytes(TRIAL_BYTES))
        finally:
            with suppress(OSError):  # names that are known need no descriptor to be removed
                for file in files:
                    file.unlink(missing_ok=True)
                folder.rmdir()


@asynccontextmanager
async def private_directory(parent: Path) -> AsyncIterator[Path]:
    """Make a folder for one request and remove it; off the event loop, because removing 1 GB takes time.

    What cannot be removed now goes with a later request's folder, or with the worker's.
    """
    directory = Path(tempfile.mkdtemp(prefix="request-", dir=parent))
    try:
        yield directory
    finally:
        await asyncio.shield(asyncio.to_thread(_remove, directory))


def _remove(directory: Path) -> None:
    clear(directory)
    with suppress(OSError):  # it is gone, as it should be
        directory.rename(directory.with_name(f"{_LEFT}{directory.name}"))
    _clear_left(directory.parent)


def _clear_left(parent: Path) -> None:
    with suppress(OSError):  # the next trial or request tries again
        for folder in parent.glob(f"{_LEFT}*"):
            clear(folder)


def _cleared(parent: Path | None) -> Path:
    """Remove abandoned folders below `parent`; return the folder in which a worker makes its own."""
    # Python's own choice comes second, because it fails where it cannot write.
    usual = parent or Path(os.environ.get("TMPDIR") or "/tmp")  # noqa: S108 - the system's, as Python has it
    for folder in usual.glob(f"{PREFIX}*"):
        _remove_if_abandoned(folder)
    if parent is not None:
        return parent
    try:
        return Path(tempfile.gettempdir())
    except FileNotFoundError:
        return usual


def _made_below(base: Path, setting: str) -> Path:
    """Make a worker's folder; `setting` is where the operator chose `base`."""
    try:
        return Path(tempfile.mkdtemp(prefix=PREFIX, dir=base))
    except OSError as error:
        if error.errno not in OF_PATHS:
            raise
        raise Fatal(
            "work_folder_unusable",
            f"The folder {base} for files in work cannot be used ({error.strerror}): set {setting} to a folder that "
            "exists and that the worker may write.",
        ) from error


def _locked(folder: Path) -> int:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    return descriptor


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
