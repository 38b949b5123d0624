"""Resumable uploads on disk: received bytes in one file, and a JSON record beside it.

Both survive the server. The offset is the length of the first file, so it cannot disagree with the bytes.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Self

LIFETIME_SECONDS = 24 * 3600


@dataclass(frozen=True, slots=True)
class Upload:
    """An upload in progress or complete. `size` is None until the client sends it; `created_at` is in Unix seconds.

    `metadata` was sent by the client at the creation; None stands for a key without a value.
    """

    version: str
    bucket: str
    name: str
    size: int | None
    metadata: dict[str, str | None]
    owner_id: str | None
    created_at: float
    complete: bool = False

    @property
    def expired(self) -> bool:
        """True if the upload is older than 24 hours."""
        return time.time() > self.created_at + LIFETIME_SECONDS

    def owned(self, owner_id: str | None) -> Self:
        """Return a copy with the creator."""
        return replace(self, owner_id=owner_id)

    def sized(self, size: int) -> Self:
        """Return a copy with the size."""
        return replace(self, size=size)

    def completed(self) -> Self:
        """Return a copy marked as complete: its object was made."""
        return replace(self, complete=True)


class Partials:
    """The folder of resumable uploads. A version is a uuid: never pass anything else."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def prepare(self) -> None:
        """Create the folder."""
        self._folder.mkdir(parents=True, exist_ok=True)

    def path(self, version: str) -> Path:
        """Return the path of the bytes; the file is absent once the upload is complete."""
        return self._folder / f"{version}.part"

    async def create(self, upload: Upload) -> None:
        """Create an upload with no bytes."""
        await self.save(upload)
        await asyncio.to_thread(self.path(upload.version).touch)

    async def save(self, upload: Upload) -> None:
        """Write the record atomically."""
        await asyncio.to_thread(self._save, upload)

    async def load(self, version: str) -> Upload | None:
        """Return the record of an upload; None if it does not exist."""
        return await asyncio.to_thread(self._load, self._record(version))

    async def offset(self, upload: Upload) -> int | None:
        """Return the number of bytes received; None if the file is gone."""
        if upload.complete:
            return upload.size
        try:
            return (await asyncio.to_thread(self.path(upload.version).stat)).st_size
        except FileNotFoundError:
            return None

    @asynccontextmanager
    async def appending(self, version: str) -> AsyncIterator[Callable[[bytes], Awaitable[None]]]:
        """Yield a function that appends bytes; they are in the file when it returns."""
        file = await asyncio.to_thread(self.path(version).open, "ab")

        def append(chunk: bytes) -> None:
            file.write(chunk)
            file.flush()

        with file:
            yield lambda chunk: asyncio.to_thread(append, chunk)

    async def finish(self, upload: Upload) -> None:
        """Record that the object exists, and remove the partial file."""
        await self.save(upload.completed())
        await asyncio.to_thread(self.path(upload.version).unlink, missing_ok=True)

    async def remove(self, version: str) -> None:
        """Remove an upload. The record goes last, so that expiry can still find the bytes."""
        for path in (self.path(version), self._record(version)):
            await asyncio.to_thread(path.unlink, missing_ok=True)

    async def expired(self) -> list[Upload]:
        """Return all expired uploads."""
        uploads = await asyncio.to_thread(lambda: [self._load(path) for path in self._folder.glob("*.json")])
        return [upload for upload in uploads if upload is not None and upload.expired]

    def _record(self, version: str) -> Path:
        return self._folder / f"{version}.json"

    def _load(self, path: Path) -> Upload | None:
        try:
            return Upload(**json.loads(path.read_text()))
        except FileNotFoundError:
            return None

    def _save(self, upload: Upload) -> None:
        path = self._record(upload.version)
        aside = path.with_suffix(".new")
        aside.write_text(json.dumps(asdict(upload)))
        aside.replace(path)
