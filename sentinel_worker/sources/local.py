"""A file of this machine, copied into a private folder, so that a decoding child cannot touch the original."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO, Final

from sentinel_worker.errors import Permanent
from sentinel_worker.sources.fetched import FILE_NAME, Fetched
from sentinel_worker.sources.sink import Sink

_BLOCK_BYTES: Final = 1024**2


async def copy(
    path: Path, *, directory: Path, limit_bytes: int, on_progress: Callable[[float], None] = lambda _: None
) -> Fetched:
    """Copy and hash the file at `path`; `on_progress` gets fractions from 0 to 1.

    Raises Permanent with `file_unreadable` or `media_too_large`.
    """
    file, size = await asyncio.to_thread(_open, path, limit_bytes)
    with file:
        async with Sink.create(directory / FILE_NAME) as sink:
            while block := await asyncio.to_thread(file.read, _BLOCK_BYTES):
                await sink.write(block)
                on_progress(min(1.0, sink.size_bytes / size))
            return Fetched(sink.path, sink.size_bytes, sink.sha256)


def _open(path: Path, limit_bytes: int) -> tuple[BinaryIO, int]:
    if not path.is_file():  # a pipe or a device would be waited for
        raise Permanent("file_unreadable", f"{path} is not a file.")
    try:
        file = path.open("rb")
    except OSError as error:
        raise Permanent("file_unreadable", f"{path} cannot be read: {error.strerror}.") from error
    size = path.stat().st_size
    if size > limit_bytes:
        file.close()
        raise Permanent("media_too_large", f"{path} has {size} bytes; at most {limit_bytes} are allowed.")
    return file, size
