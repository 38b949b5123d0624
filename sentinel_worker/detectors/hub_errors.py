"""Errors of the hub, translated into sentences that tell an operator what to do."""

from __future__ import annotations

import errno
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx2  # huggingface_hub raises its errors
from huggingface_hub import constants
from huggingface_hub.errors import (
    DisabledRepoError,
    GatedRepoError,
    HfHubHTTPError,
    LocalEntryNotFoundError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
    XetDownloadError,
)

from sentinel_worker.domain.errors import Fatal, SentinelError, Transient

_SERVER_FAULT = 500
_GIGABYTE = 1000**3


@contextmanager
def translated(repository: str) -> Iterator[None]:
    """Translate the library's exceptions into ours."""
    try:
        yield
    except SentinelError:
        raise
    except (httpx2.HTTPError, OSError, XetDownloadError) as error:
        raise _meaning(error, repository) from error


def enough_space(repository: str, needed: int) -> None:
    """Raise Transient('disk_full') if `needed` bytes do not fit on the cache's disk."""
    folder = Path(constants.HF_HUB_CACHE)
    while not folder.exists():
        folder = folder.parent
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise Transient(
            "disk_full",
            f"{repository} needs {needed / _GIGABYTE:.1f} GB, but the cache's disk has {free / _GIGABYTE:.1f} GB free.",
        )


def _meaning(error: BaseException, repository: str) -> Fatal | Transient:
    match error:
        case HfHubHTTPError():
            return _refusal(error, repository)
        case LocalEntryNotFoundError(__cause__=BaseException() as cause):
            return _meaning(cause, repository)
        case OSError(errno=errno.ENOSPC | errno.EDQUOT):
            return Transient("disk_full", "The disk of the Hugging Face cache is full; free some space and pull again.")
        case OSError(errno=errno.EACCES | errno.EROFS):
            return Fatal("cache_not_writable", f"The Hugging Face cache {constants.HF_HUB_CACHE} is not writable.")
    return Transient(
        "hub_unreachable", f"The hub at {constants.ENDPOINT} cannot be reached ({type(error).__name__}); try again."
    )


def _refusal(error: HfHubHTTPError, repository: str) -> Fatal | Transient:
    status = error.response.status_code
    match error:
        case GatedRepoError() | DisabledRepoError():
            said = f"The hub does not let this account read {repository}: accept its terms there, then `hf auth login`."
            return Fatal("repository_refused", said)
        case RevisionNotFoundError():
            return Fatal("repository_not_found", f"The repository {repository} has no such revision.")
        case _ if isinstance(error, RepositoryNotFoundError) or status == httpx2.codes.UNAUTHORIZED:
            # Without an account the hub answers 401 both for private and for unknown repositories.
            said = f"The hub has no repository {repository}, or it is private: check the name, or `hf auth login`."
            return Fatal("repository_not_found", said)
    if status >= _SERVER_FAULT or status == httpx2.codes.TOO_MANY_REQUESTS:
        return Transient("hub_unreachable", f"The hub answers {status}; try again later.")
    return Fatal("repository_refused", f"The hub answers {status} for {repository}; `hf auth login` may help.")
