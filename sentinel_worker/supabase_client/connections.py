"""Connections to Supabase, and what its refusals mean.

Every HTTP response at or above 400 and every broken connection becomes one of our errors here, before
a client library can hide the status: supabase-py's `APIError` carries neither status nor Retry-After.
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
from sentinel_worker.supabase_client.breaker import AWAY, Circuit
from sentinel_worker.supabase_client.keys import Key, KeyAuth, WorkerKeys
from sentinel_worker.supabase_client.missing_grants import refused_right

REFUSED_RETRY_SECONDS = 30.0
"""A rejected key may be one that is being rotated; asking more often helps nobody."""
KEEP_ALIVE_SECONDS = 45.0
"""How long an idle connection may be used again, where httpx allows 5 s: most wake-ups and heartbeats should not wait
for the handshakes of TCP and TLS. Proxies commonly close theirs after 60 s or more."""
KEPT_CONNECTIONS = 2
"""Fewer than the failures that open the circuit: after this machine has slept each may be dead, and cost a time-out.
The clock that they are kept by has stood still meanwhile."""
RETRY_AFTER_CAP_SECONDS = 60.0
"""A mistaken header must not put the worker to sleep for days."""

_LIMITS = httpx.Limits(
    max_connections=16, max_keepalive_connections=KEPT_CONNECTIONS, keepalive_expiry=KEEP_ALIVE_SECONDS
)
_TRANSIENT_STATUS = frozenset({408, 425, 429, 500, 502, 503, 504, 520, 521, 522, 523, 524, 544})
_REFUSED_STATUS = frozenset({401, 402, 403, 540})
_TRANSIENT_CODE = re.compile(r"PGRST00[0-3]|08...|53...|57P0.|57014|40001|40P01|55P03|XX000")
_REFUSED_CODE = re.compile(r"PGRST30[0-3]|42501|28...|0P000")
_MISSING_CODE = re.compile(r"PGRST20[245]|42883|42P01")


class CheckedAuth(KeyAuth):
    """Raises what the last response means, where its status is 400 or more.

    Here and not in a hook for responses, which httpx calls before the flow may send a request again.
    """

    requires_response_body = True

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        """The flow of `KeyAuth`, and what came of it."""
        response = yield from self.signed(request)
        if response.status_code >= httpx.codes.BAD_REQUEST:
            raise refusal(response.status_code, response.content, response.headers, self.keys.current)


def connect(settings: Settings, keys: WorkerKeys) -> AsyncClient:
    """The client of the event loop; end it with `close`."""
    http = httpx.AsyncClient(auth=CheckedAuth(keys), timeout=settings.http_timeout_seconds, limits=_LIMITS)
    options = AsyncClientOptions(httpx_client=http, postgrest_client_retry=False)
    client = AsyncClient(settings.supabase_url, keys.current.api_key, options)
    del client.options.headers["Authorization"]  # with one of its own, postgrest bypasses the client's `auth`
    return client


def connect_sync(settings: Settings, keys: WorkerKeys) -> Client:
    """A client for the thread of the heartbeats; end it with `close_sync`."""
    # A heartbeat that is lost must leave time for another before the leases run out.
    timeout = min(settings.http_timeout_seconds, settings.lease_seconds / 4)
    http = httpx.Client(auth=CheckedAuth(keys), timeout=timeout, limits=_LIMITS)
    options = SyncClientOptions(httpx_client=http, postgrest_client_retry=False)
    client = Client(settings.supabase_url, keys.current.api_key, options)
    del client.options.headers["Authorization"]
    return client


async def try_key(settings: Settings, key: Key) -> None:
    """Make one call with `key` that changes nothing. Raises `Transient` or `Permanent` unless it is accepted."""
    async with httpx.AsyncClient(
        base_url=settings.supabase_url, headers=key.headers, timeout=settings.http_timeout_seconds
    ) as http:
        with network_errors():
            # A heartbeat, because no worker can do without the right to it.
            call = {"args": {"worker": str(UUID(int=0)), "lease_seconds": settings.lease_seconds, "leases": []}}
            response = await http.post("/rest/v1/rpc/sentinel_heartbeat", json=call)
    if not response.is_success:
        raise refusal(response.status_code, response.content, response.headers, key)


async def close(client: AsyncClient) -> None:
    """Close the connections of `connect`'s client."""
    if isinstance(client.options, AsyncClientOptions) and client.options.httpx_client is not None:
        await client.options.httpx_client.aclose()


def close_sync(client: Client) -> None:
    """Close the connections of `connect_sync`'s client."""
    if isinstance(client.options, SyncClientOptions) and client.options.httpx_client is not None:
        client.options.httpx_client.close()


def storage_http(settings: Settings, keys: WorkerKeys, circuit: Circuit) -> httpx.AsyncClient:
    """A bare client for Storage, which streams; `base_url` is the project, statuses are the caller's to read.

    While `circuit` is open its requests raise httpx.ConnectError at once.
    """

    async def refuse_while_away(request: httpx.Request) -> None:
        if circuit.open:
            raise httpx.ConnectError(AWAY, request=request)

    return httpx.AsyncClient(
        auth=KeyAuth(keys),
        base_url=settings.supabase_url,
        timeout=settings.http_timeout_seconds,
        event_hooks={"request": [refuse_while_away]},
    )


@contextmanager
def network_errors() -> Iterator[None]:
    """Translate what httpx raises when no response came; the call may have been carried out all the same."""
    try:
        yield
    except httpx.TimeoutException as error:
        raise Transient("supabase_timed_out", "Supabase did not answer in time.") from error
    except httpx.RequestError as error:
        raise Transient("supabase_unreachable", f"Supabase could not be reached ({_reason(error)}).") from error


def _reason(error: httpx.RequestError) -> str:
    """The kind of the failure; of a certificate what is wrong with it, which no waiting will mend."""
    cause: BaseException | None = error
    while cause is not None and not isinstance(cause, ssl.SSLCertVerificationError):
        cause = cause.__cause__ or cause.__context__
    if cause is None:
        return type(error).__name__
    return f"its certificate is not trusted: {cause.verify_message}; SSL_CERT_FILE names the file of a private CA"


def refusal(status: int, body: bytes, headers: httpx.Headers, key: Key | None = None) -> CodedError:
    """What a response with `status` >= 400 means; `body` may be PostgREST's JSON, a gateway's, or HTML.

    `key` is the one that was sent: with it a refusal names what is missing.
    """
    code, text = _code_and_text(body)
    retry_after = retry_after_seconds(headers)
    shown = f"HTTP {status}{f', {code}' if code else ''}{f': {text}' if text else ''}"
    if _MISSING_CODE.fullmatch(code):
        return Transient(
            "schema_missing",
            f"The database lacks a function of this worker ({shown}). Apply the migrations: sentinel-worker migrate.",
            retry_after_seconds=retry_after or REFUSED_RETRY_SECONDS,
        )
    if _REFUSED_CODE.fullmatch(code) or (status in _REFUSED_STATUS and not _TRANSIENT_CODE.fullmatch(code)):
        missing = refused_right(code, text, key) or "Supabase refused this worker's key or role"
        return Transient(
            "access_refused",
            f"{missing} ({shown}).",
            retry_after_seconds=retry_after or REFUSED_RETRY_SECONDS,
        )
    if status in _TRANSIENT_STATUS or _TRANSIENT_CODE.fullmatch(code):
        return Transient(
            "supabase_unavailable", f"Supabase is not available ({shown}).", retry_after_seconds=retry_after
        )
    return Permanent("call_refused", f"Supabase refused a call of this worker ({shown}).")


def retry_after_seconds(headers: httpx.Headers, cap: float = RETRY_AFTER_CAP_SECONDS) -> float | None:
    """The server's own wish in seconds, where it names one; never more than `cap`."""
    value = headers.get("retry-after", "").strip()
    return min(float(value), cap) if value.isascii() and value.isdigit() else None


def at_start(error: Transient) -> CodedError:
    """The same error met by the first call: a wrong key or schema is then the operator's to mend."""
    if error.code in with_trait(Trait.SET_UP):
        return Fatal(error.code, error.message)
    return error


def _code_and_text(body: bytes) -> tuple[str, str]:
    try:
        parsed: Any = json.loads(body)
    except (ValueError, RecursionError):
        return "", ""
    if not isinstance(parsed, dict):
        return "", ""
    return str(parsed.get("code") or ""), str(parsed.get("message") or "")[:200]
