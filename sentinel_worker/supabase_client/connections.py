"""Connections to Supabase and the translation of its errors.

Every HTTP status of 400 or above and every broken connection becomes one of our errors here, before a client library
can hide the status: supabase-py's `APIError` carries neither status nor Retry-After.
"""

import json
import re
import ssl
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from typing import Any
from uuid import UUID

import httpx
from supabase import AsyncClient, AsyncClientOptions, Client
from supabase.lib.client_options import SyncClientOptions

from sentinel_worker.config.settings import Settings
from sentinel_worker.domain.error_codes import Trait, with_trait
from sentinel_worker.domain.errors import CodedError, Fatal, Permanent, Transient
from sentinel_worker.domain.machine_errors import machine_error
from sentinel_worker.supabase_client.breaker import AWAY, Circuit
from sentinel_worker.supabase_client.keys import Key, KeyAuth, WorkerKeys
from sentinel_worker.supabase_client.missing_grants import refused_right

REFUSED_RETRY_SECONDS = 30.0
"""Delay after a refusal: a rejected key may be rotating, and retrying more often does not help."""
KEEP_ALIVE_SECONDS = 45.0
"""Lifetime of an idle connection, instead of httpx's 5 s: most wake-ups and heartbeats should not wait for TCP and TLS
handshakes. Proxies commonly close idle connections after 60 s or more."""
KEPT_CONNECTIONS = 2
"""Size of the connection pool; smaller than the number of failures that open the circuit. After the machine has slept,
each connection may be dead and cost a timeout, and the clock that expires them stood still meanwhile."""
RETRY_AFTER_CAP_SECONDS = 60.0
"""Upper limit for Retry-After: a wrong header must not put the worker to sleep for days."""

_LIMITS = httpx.Limits(
    max_connections=16, max_keepalive_connections=KEPT_CONNECTIONS, keepalive_expiry=KEEP_ALIVE_SECONDS
)
_TRANSIENT_STATUS = frozenset({408, 425, 429, 500, 502, 503, 504, 520, 521, 522, 523, 524, 544})
_REFUSED_STATUS = frozenset({401, 402, 403, 540})
_TRANSIENT_CODE = re.compile(r"PGRST00[0-3]|08...|53...|57P0.|57014|40001|40P01|55P03|XX000")
_REFUSED_CODE = re.compile(r"PGRST30[0-3]|42501|28...|0P000")
# 22023 is what the queue's functions raise for arguments that no worker should send.
_DATA_CODE = re.compile(r"22(?!023)...|23...|54...")
_MISSING_CODE = re.compile(r"PGRST20[245]|42883|42P01")


class NotSent(httpx.ConnectError):
    """A request that was not sent, because Supabase is known to be unavailable."""


class CheckedAuth(KeyAuth):
    """Raises the error for the last response if its status is 400 or above.

    This is not a response hook, because httpx calls those before the flow can resend the request.
    """

    requires_response_body = True

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        """Run the flow of `KeyAuth` and check its result."""
        response = yield from self.signed(request)
        if response.status_code >= httpx.codes.BAD_REQUEST:
            raise supabase_error(response.status_code, response.content, response.headers, self.keys.current)


def connect(settings: Settings, keys: WorkerKeys) -> AsyncClient:
    """Return a client for the event loop; close it with `close`."""
    http = httpx.AsyncClient(auth=CheckedAuth(keys), timeout=settings.http_timeout_seconds, limits=_LIMITS)
    options = AsyncClientOptions(httpx_client=http, postgrest_client_retry=False)
    client = AsyncClient(settings.supabase_url, keys.current.api_key, options)
    del client.options.headers["Authorization"]  # a header of its own makes postgrest bypass the client's `auth`
    return client


def connect_sync(settings: Settings, keys: WorkerKeys) -> Client:
    """Return a client for the heartbeats' thread; close it with `close_sync`."""
    # A lost heartbeat must leave time for another before the leases expire.
    timeout = min(settings.http_timeout_seconds, settings.lease_seconds / 4)
    http = httpx.Client(auth=CheckedAuth(keys), timeout=timeout, limits=_LIMITS)
    options = SyncClientOptions(httpx_client=http, postgrest_client_retry=False)
    client = Client(settings.supabase_url, keys.current.api_key, options)
    del client.options.headers["Authorization"]
    return client


async def try_key(settings: Settings, key: Key) -> None:
    """Make one call with `key` that changes nothing. Raises `Transient` or `Permanent` unless the key is accepted."""
    async with httpx.AsyncClient(
        base_url=settings.supabase_url, headers=key.headers, timeout=settings.http_timeout_seconds
    ) as http:
        with network_errors():
            # A heartbeat, because every worker needs the right to it.
            call = {"args": {"worker": str(UUID(int=0)), "lease_seconds": settings.lease_seconds, "leases": []}}
            response = await http.post("/rest/v1/rpc/sentinel_heartbeat", json=call)
    if not response.is_success:
        raise supabase_error(response.status_code, response.content, response.headers, key)


async def close(client: AsyncClient) -> None:
    """Close the connections of `connect`'s client."""
    if isinstance(client.options, AsyncClientOptions) and client.options.httpx_client is not None:
        await client.options.httpx_client.aclose()


def close_sync(client: Client) -> None:
    """Close the connections of `connect_sync`'s client."""
    if isinstance(client.options, SyncClientOptions) and client.options.httpx_client is not None:
        client.options.httpx_client.close()


def storage_http(settings: Settings, keys: WorkerKeys, circuit: Circuit) -> httpx.AsyncClient:
    """Return a plain streaming client for Storage; `base_url` is the project. The caller checks the status.

    While `circuit` is open, requests raise `NotSent` at once.
    """

    async def refuse_while_away(request: httpx.Request) -> None:
        if circuit.open:
            raise NotSent(AWAY, request=request)

    return httpx.AsyncClient(
        auth=KeyAuth(keys),
        base_url=settings.supabase_url,
        timeout=settings.http_timeout_seconds,
        event_hooks={"request": [refuse_while_away]},
    )


@contextmanager
def network_errors() -> Iterator[None]:
    """Translate httpx's errors when no response arrived; the call may still have been carried out.

    A call that did not leave this machine, for instance for lack of a thread to look its name up, is the machine's.
    """
    try:
        yield
    except httpx.TimeoutException as error:
        raise Transient("supabase_timed_out", "Supabase did not answer in time.") from error
    except (httpx.RequestError, OSError, RuntimeError) as error:
        if (fault := machine_error(error)) is not None:
            fault.retry_after_seconds = None  # that is how long a request waits; a call may succeed sooner
            raise fault from error
        if not isinstance(error, httpx.RequestError):
            raise
        raise Transient("supabase_unreachable", f"Supabase could not be reached ({_reason(error)}).") from error


def _reason(error: httpx.RequestError) -> str:
    """Return the kind of failure; for a certificate, the problem, which waiting does not fix."""
    cause: BaseException | None = error
    while cause is not None and not isinstance(cause, ssl.SSLCertVerificationError):
        cause = cause.__cause__ or cause.__context__
    if cause is None:
        return type(error).__name__
    return f"its certificate is not trusted: {cause.verify_message}; for a private CA set SSL_CERT_FILE to its file"


def supabase_error(status: int, body: bytes, headers: httpx.Headers, key: Key | None = None) -> CodedError:
    """Translate a response with `status` >= 400; `body` may be PostgREST's JSON, a gateway's, or HTML.

    `key` is the one that was sent: given it, the sentence names the missing right.
    """
    code, text, is_blank = _code_and_text(body)
    retry_after = retry_after_seconds(headers)
    shown = f"HTTP {status}{f', {code}' if code else ''}{f': {text}' if text else ''}"
    if _MISSING_CODE.fullmatch(code):
        return Transient(
            "schema_missing",
            f"The database lacks a function that this worker calls ({shown}): run sentinel-worker migrate.",
            retry_after_seconds=retry_after or REFUSED_RETRY_SECONDS,
        )
    if _REFUSED_CODE.fullmatch(code) or (status in _REFUSED_STATUS and not _TRANSIENT_CODE.fullmatch(code)):
        missing = refused_right(code, text, key) or "Supabase refused this worker's key or role"
        return Transient(
            "access_refused",
            f"{missing} ({shown}).",
            retry_after_seconds=retry_after or REFUSED_RETRY_SECONDS,
        )
    # PostgREST's answer to a call during which PostgreSQL crashed: it may have been carried out.
    if status in _TRANSIENT_STATUS or _TRANSIENT_CODE.fullmatch(code) or is_blank:
        return Transient(
            "supabase_unavailable", f"Supabase is not available ({shown}).", retry_after_seconds=retry_after
        )
    if status == httpx.codes.REQUEST_ENTITY_TOO_LARGE or _DATA_CODE.fullmatch(code):
        return Permanent("data_refused", f"Supabase refused the data of a call of this worker ({shown}).")
    return Permanent("call_refused", f"Supabase refused a call of this worker ({shown}).")


def retry_after_seconds(headers: httpx.Headers, cap: float = RETRY_AFTER_CAP_SECONDS) -> float | None:
    """Return the server's Retry-After in seconds, at most `cap`, or None."""
    value = headers.get("retry-after", "").strip()
    return min(float(value), cap) if value.isascii() and value.isdigit() else None


def at_start(error: Transient) -> CodedError:
    """Return the error for a failed first call: a wrong key or schema is Fatal, for the operator to fix."""
    if error.code in with_trait(Trait.SET_UP):
        return Fatal(error.code, error.message)
    return error


def _code_and_text(body: bytes) -> tuple[str, str, bool]:
    """Return code and message of PostgREST's JSON, and True if it has the field for a code with nothing in it."""
    try:
        parsed: Any = json.loads(body)
    except (ValueError, RecursionError):
        return "", "", False
    if not isinstance(parsed, dict):
        return "", "", False
    return str(parsed.get("code") or ""), str(parsed.get("message") or "")[:200], parsed.get("code") == ""
