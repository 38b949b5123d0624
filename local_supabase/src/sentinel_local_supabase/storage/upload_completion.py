"""The end of resumable uploads: making objects of complete ones, and removing expired ones."""

from __future__ import annotations

import logging
import time

from sentinel_local_supabase.database import DatabaseDown, PoolExhausted, fetch_one
from sentinel_local_supabase.storage import tus
from sentinel_local_supabase.storage.access import QUERIES, Access, Caller
from sentinel_local_supabase.storage.partials import Partials, Upload
from sentinel_local_supabase.storage.rows import DEFAULT_MEDIA_TYPE, Description, measured, user_metadata_of, write
from sentinel_local_supabase.storage.upload_locks import UploadLocks

_SWEEP_SECONDS = 3600.0
_log = logging.getLogger(__name__)


class Finisher:
    """Makes objects from complete uploads. Call `finish` and `find` while holding the upload's lock."""

    def __init__(self, access: Access, partials: Partials, locks: UploadLocks) -> None:
        self._access = access
        self._partials = partials
        self._locks = locks
        self._swept_at = time.monotonic()

    async def known(self, bucket: str, name: str, version: str) -> Upload:
        """Return the upload of a URL. Raises TusError (404 or 410)."""
        upload = await self._partials.load(version)
        if upload is None or (upload.bucket, upload.name) != (bucket, name):
            raise tus.not_found()
        if upload.expired:
            raise tus.gone()
        return upload

    async def find(self, bucket: str, name: str, version: str) -> tuple[Upload, int]:
        """Return the upload of a URL and its offset. Raises TusError (404 or 410).

        If all bytes arrived but the server or the database stopped before the object was made, make it now: a client
        that reads the full offset considers its upload complete.
        """
        upload = await self.known(bucket, name, version)
        offset = await self._partials.offset(upload)
        if offset is None:
            raise tus.gone()
        if offset == upload.size and not upload.complete:
            await self.finish(upload, Caller("service_role", {"sub": upload.owner_id}))
            upload = upload.completed()
        return upload, offset

    async def finish(self, upload: Upload, caller: Caller) -> None:
        """Make the object, replacing any at its name, and remove the partial file."""
        stored = await self._access.files.adopt(self._partials.path(upload.version), upload.version)
        description, target = described(upload), (upload.bucket, upload.name)
        metadata = measured(stored, description)
        await write(self._access, caller, target, upload.version, metadata, description.user_metadata)
        await self._partials.finish(upload)

    async def sweep_now_and_then(self) -> None:
        """Sweep if the last sweep was an hour ago."""
        if time.monotonic() - self._swept_at > _SWEEP_SECONDS:
            await self.sweep()

    async def sweep(self) -> None:
        """Remove all uploads older than 24 hours, and the records of finished ones."""
        self._swept_at = time.monotonic()
        for upload in await self._partials.expired():
            if self._locks.is_locked(upload.version):
                continue
            try:
                await self._drop_unused_object(upload)
            except (DatabaseDown, PoolExhausted) as error:
                _log.info("upload %s waits for the next sweep: %s", upload.version, error)
                continue
            await self._partials.remove(upload.version)

    async def _drop_unused_object(self, upload: Upload) -> None:
        """Remove the object's file if the server stopped between creating it and writing its row."""
        if upload.complete or not self._access.files.path(upload.version).exists():
            return
        async with self._access.admin.connection() as connection:
            used = await fetch_one(connection, QUERIES["version_is_used"], [upload.version])
        if used == (False,):
            self._access.files.remove(upload.version)


def described(upload: Upload) -> Description:
    """Return the client's description of the object, given at the upload's creation."""
    metadata = upload.metadata
    return Description(
        metadata.get("contentType") or DEFAULT_MEDIA_TYPE,
        metadata.get("cacheControl") or "no-cache",
        user_metadata_of(metadata.get("metadata")),
    )
