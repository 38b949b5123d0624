"""Objects as files: each version is named by its own uuid, so users' paths never reach the file system."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
import shutil
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

CHUNK_BYTES = 1 << 20


class TooLarge(Exception):
    """More bytes arrived than the limit allows."""


@dataclass(frozen=True, slots=True)
class Stored:
    """A complete file: version, length in bytes, MD5 in hex."""

    version: str
    size: int
    md5: str


class Files:
    """The folder of all objects. Partial files of a crashed server are removed at the start."""

    def __init__(self, folder: Path) -> None:
        self._complete = folder / "complete"
        self._arriving = folder / "arriving"

    def prepare(self) -> None:
        """Create the folders, and remove partial files."""
        shutil.rmtree(self._arriving, ignore_errors=True)
        for folder in (self._complete, self._arriving):
            folder.mkdir(parents=True, exist_ok=True)

    def path(self, version: str) -> Path:
        """Return the path of a version's complete file."""
        return self._complete / version[:2] / version

    async def store(self, version: str, chunks: AsyncIterator[bytes], limit_bytes: int) -> Stored:
        """Write all chunks to disk as they arrive. Leaves nothing behind on failure. Raises TooLarge."""
        arriving = self._arriving / version
        digest = hashlib.md5(usedforsecurity=False)
        size = 0
        try:
            with await asyncio.to_thread(arriving.open, "wb") as file:
                async for block in _blocks(chunks):
                    size += len(block)
                    if size > limit_bytes:
                        raise TooLarge
                    await asyncio.to_thread(file.write, block)
                    await asyncio.to_thread(digest.update, block)
            await asyncio.to_thread(self._complete_file, arriving, version)
        except BaseException:
            arriving.unlink(missing_ok=True)
            raise
        return Stored(version, size, digest.hexdigest())

    async def read(self, version: str, start: int, length: int) -> AsyncIterator[bytes]:
        """Return `length` bytes from `start`. The file is opened at once, so FileNotFoundError precedes any byte."""
        file = await asyncio.to_thread(self.path(version).open, "rb")

        async def pieces() -> AsyncIterator[bytes]:
            left = length
            with file:
                await asyncio.to_thread(file.seek, start)
                while left > 0 and (piece := await asyncio.to_thread(file.read, min(left, CHUNK_BYTES))):
                    left -= len(piece)
                    yield piece

        return pieces()

    async def adopt(self, source: Path, version: str) -> Stored:
        """Link the finished file at `source` as a version; repeating it is safe."""
        await asyncio.to_thread(self._link, source, version)
        return await asyncio.to_thread(self._measure, version)

    async def duplicate(self, version: str, copy: str) -> None:
        """Link a version's bytes to a second version without copying them. Raises FileNotFoundError."""
        await asyncio.to_thread(self._link, self.path(version), copy)

    def remove(self, version: str | None) -> None:
        """Delete the file of a version if it exists."""
        if version:
            self.path(version).unlink(missing_ok=True)

    def _link(self, source: Path, version: str) -> None:
        # A complete file is never modified, so two names may share it.
        target = self.path(version)
        target.parent.mkdir(exist_ok=True)
        with contextlib.suppress(FileExistsError):
            os.link(source, target)

    def _measure(self, version: str) -> Stored:
        with self.path(version).open("rb") as file:
            digest = hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False))
            return Stored(version, file.tell(), digest.hexdigest())

    def _complete_file(self, arriving: Path, version: str) -> None:
        target = self.path(version)
        target.parent.mkdir(exist_ok=True)
        arriving.rename(target)


async def _blocks(chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """Regroup the bytes into pieces of at least CHUNK_BYTES, except the last."""
    gathered = bytearray()
    async for chunk in chunks:
        gathered += chunk
        if len(gathered) >= CHUNK_BYTES:
            yield bytes(gathered)
            gathered.clear()
    if gathered:
        yield bytes(gathered)
