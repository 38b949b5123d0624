"""Copy of a local file in a private folder, so that a decoding child cannot touch the original."""

import asyncio
import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO, Final

from sentinel_worker.domain.errors import Permanent
from sentinel_worker.sources.fetched import FILE_NAME, Fetched
from sentinel_worker.sources.private_file import PrivateFile

_BLOCK_BYTES: Final = 1024**2


async def copy(
    path: Path, *, directory: Path, limit_bytes: int, on_progress: Callable[[float], None] = lambda _: None
) -> Fetched:
    """Copy and hash the file at `path`; `on_progress` gets fractions from 0 to 1.

    Raises `Permanent` with `file_unreadable` or `media_too_large`, and `Transient` with `disk_full`.
    """
    file, size = await asyncio.to_thread(_open, path)
    with file:
        if size > limit_bytes:
            raise _too_large(path, limit_bytes)
        async with PrivateFile.create(directory / FILE_NAME) as sink:
            while block := await asyncio.to_thread(_read, file, path):
                if sink.size_bytes + len(block) > limit_bytes:  # the file is growing
                    raise _too_large(path, limit_bytes)
                await sink.write(block)
                on_progress(sink.size_bytes / max(size, sink.size_bytes))
            return Fetched(sink.path, sink.size_bytes, sink.sha256)


def _open(path: Path) -> tuple[BinaryIO, int]:
    """Open a file and return it with its size. Pipes and devices, which could block, are refused."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise _unreadable(path, error) from error
    status = os.fstat(descriptor)
    if not stat.S_ISREG(status.st_mode):
        os.close(descriptor)
        raise Permanent("file_unreadable", f"{path} is not a file.")
    return os.fdopen(descriptor, "rb", buffering=0), status.st_size


def _read(file: BinaryIO, path: Path) -> bytes:
    try:
        return file.read(_BLOCK_BYTES)
    except OSError as error:
        raise _unreadable(path, error) from error


def _unreadable(path: Path, error: OSError) -> Permanent:
    return Permanent("file_unreadable", f"{path} cannot be read: {error.strerror}.")


def _too_large(path: Path, limit_bytes: int) -> Permanent:
    return Permanent("media_too_large", f"{path} is larger than the allowed {limit_bytes} bytes.")
