"""Storage's errors: its HTTP status is 400 for nearly everything, the true one is in the body."""

from __future__ import annotations

import json
from typing import Any, Final

import httpx

from sentinel_worker.domain.error_codes import Trait, with_trait
from sentinel_worker.domain.errors import CodedError, Permanent, Transient
from sentinel_worker.domain.machine_errors import machine_error
from sentinel_worker.supabase_client.breaker import AWAY
from sentinel_worker.supabase_client.connections import REFUSED_RETRY_SECONDS, NotSent, retry_after_seconds
from sentinel_worker.supabase_client.keys import Key, KeyAuth
from sentinel_worker.supabase_client.missing_grants import refused_right

_SERVER_ERROR: Final = 500
_LATER: Final = frozenset({408, 425, 429})
_REFUSED: Final = frozenset({401, 402, 403})
_AT_ONCE: Final = with_trait(Trait.AT_ONCE)
_ROW_SECURITY: Final = "row-level security policy"


def key_of(client: httpx.AsyncClient) -> Key | None:
    """Return the key that `client` sends, or None if it does not use `KeyAuth`."""
    return client.auth.keys.current if isinstance(client.auth, KeyAuth) else None


def storage_error(
    status: int, body: bytes, headers: httpx.Headers, key: Key | None = None, *, policy: str = ""
) -> CodedError:
    """Translate a response other than 2xx; given the `key` that was sent, the sentence names the missing right.

    `policy` is the policy on storage.objects that allows the call.

    A key that is rejected or expired is Transient: it may be rotating at the moment, and the request is not at fault.
    On the `/authenticated/` route it can be told from a missing object.
    """
    answer = _parse(body)
    true_status = status if status >= _SERVER_ERROR else _number(answer.get("statusCode")) or status
    code = answer.get("code")
    shown = f"HTTP {true_status}, {code}" if isinstance(code, str) else f"HTTP {true_status}"
    retry_after = retry_after_seconds(headers)
    if true_status == httpx.codes.NOT_FOUND and answer:
        return _missing(code)
    if true_status in _REFUSED:
        said = str(answer.get("message") or "")[:200]
        missing = refused_right("", said, key) or "Storage refused this worker's key or role"
        if policy and _ROW_SECURITY in said:
            missing = f'The policy "{policy}" on storage.objects is missing: sentinel-worker check prints what to run'
        return Transient(
            "access_refused",
            f"{missing} ({shown}).",
            retry_after_seconds=retry_after or REFUSED_RETRY_SECONDS,
        )
    told_to_wait = true_status >= _SERVER_ERROR or true_status in _LATER
    # A redirect, or a 404 without Storage's body, comes from a proxy in front of Storage.
    if told_to_wait or true_status < httpx.codes.BAD_REQUEST or true_status == httpx.codes.NOT_FOUND:
        return Transient("storage_unavailable", f"Storage is not available ({shown}).", retry_after_seconds=retry_after)
    return Permanent("storage_refused", f"Storage refused the file ({shown}).")


def unreachable(failure: httpx.RequestError) -> Transient:
    """Return the error for a call without a response: the machine's, or Storage is away.

    While the circuit is open, none was sent.
    """
    said = AWAY if isinstance(failure, NotSent) else f"Storage could not be reached ({type(failure).__name__})."
    error = machine_error(failure) or Transient("storage_unreachable", said)
    error.__cause__ = failure  # it may be raised later, when the tries are used up
    return error


def _missing(code: object) -> CodedError:
    if code != "NoSuchBucket":
        return Permanent("object_not_found", "The file is not in Storage: it was deleted or never uploaded.")
    return Transient(
        "bucket_missing",
        "The bucket does not exist in Storage, or this worker is not allowed to see it.",
        retry_after_seconds=REFUSED_RETRY_SECONDS,
    )


def wants_retry(error: CodedError) -> bool:
    """True if a retry within the same attempt makes sense: not if the server sent Retry-After."""
    return isinstance(error, Transient) and error.code in _AT_ONCE and error.retry_after_seconds is None


def _parse(body: bytes) -> dict[str, Any]:
    try:
        answer = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    return answer if isinstance(answer, dict) else {}


def _number(value: object) -> int | None:
    text = str(value)
    return int(text) if text.isascii() and text.isdigit() and len(text) == len("404") else None
