"""Private file that grows with a download and is hashed on the way."""

from __future__ import annotations

import asyncio
import hashlib
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from sentinel_worker.domain.machine_errors import machine_errors_translated


class PrivateFile:
    """Writes and hashes in a thread: a full disk cache or a megabyte block would stall the event loop."""

    def __init__(self, path: Path, descriptor: int) -> None:
        self.path = path
        self.size_bytes = 0
        self._descriptor = descriptor
        self._hash = hashlib.sha256()

    @classmethod
    @asynccontextmanager
    async def create(cls, path: Path) -> AsyncIterator[PrivateFile]:
        """Create a file at `path` that only this user can read; it remains when the block ends."""
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        try:
            yield cls(path, descriptor)
        finally:
            os.close(descriptor)

    @property
    def sha256(self) -> str:
        """The hash of everything written, in hexadecimal."""
        return self._hash.hexdigest()

    async def write(self, block: bytes) -> None:
        """Append `block`; raises `Transient('disk_full')`."""
        work = asyncio.ensure_future(asyncio.to_thread(self._write, block))
        try:
            await asyncio.shield(work)
        except asyncio.CancelledError:
            # The thread still uses the descriptor, which is about to be closed.
            await asyncio.wait([work])
            raise

    async def clear(self) -> None:
        """Discard everything written."""
        os.ftruncate(self._descriptor, 0)
        os.lseek(self._descriptor, 0, os.SEEK_SET)
        self._hash = hashlib.sha256()
        self.size_bytes = 0

    def _write(self, block: bytes) -> None:
        rest = memoryview(block)
        with machine_errors_translated():
            while rest:
                rest = rest[os.write(self._descriptor, rest) :]
        self._hash.update(block)
        self.size_bytes += len(block)
