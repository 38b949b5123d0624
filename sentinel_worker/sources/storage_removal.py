"""Removal of objects through the Storage API: SQL must not delete rows of storage.objects."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import httpx

from sentinel_worker.domain.errors import Transient
from sentinel_worker.sources.storage_errors import key_of, storage_error, unreachable

REMOVAL: Final = {"x-sentinel-removal": "true"}
"""Header that makes the database check each object once more, at the moment when Storage removes it."""


async def remove(client: httpx.AsyncClient, bucket: str, names: Sequence[str]) -> frozenset[str]:
    """Remove objects of `bucket`; return the names of those that were removed according to Storage.

    Objects that are gone, that row security hides from this worker's role, or that were uploaded or named again since
    they were listed, are not among them and are not an error.
    `client` has the project as its base URL and a key in its headers. Raises `Transient` with
    `storage_unreachable`, `storage_unavailable`, `access_refused` or `bucket_missing`, and
    `Permanent('storage_refused')`.
    """
    try:
        response = await client.request(
            "DELETE", f"/storage/v1/object/{bucket}", json={"prefixes": list(names)}, headers=REMOVAL
        )
    except httpx.RequestError as failure:
        raise unreachable(failure) from failure
    if not response.is_success:
        raise storage_error(response.status_code, response.content, response.headers, key_of(client))
    try:
        removed = response.json()
    except (ValueError, RecursionError) as error:  # the response contains users' own metadata of their files
        raise Transient("storage_unavailable", "Storage sent an invalid response to a removal.") from error
    rows = removed if isinstance(removed, list) else []
    return frozenset(name for name in names if any(isinstance(row, dict) and row.get("name") == name for row in rows))
