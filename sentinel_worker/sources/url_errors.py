"""Errors of users' URLs. Sentences name hosts, never paths or queries."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import httpcore
import httpx

from sentinel_worker.domain.errors import CodedError, Permanent, Transient
from sentinel_worker.sources.egress_policy import shown_host
from sentinel_worker.supabase_client.connections import retry_after_seconds

RETRY_AFTER_CAP_SECONDS: Final = 3600.0
"""Equal to the queue's longest backoff."""

_GONE: Final = frozenset({404, 410})
_CLOSED: Final = frozenset({401, 402, 403, 407, 451})
_LATER: Final = frozenset({408, 425, 429})
_SERVER_ERROR: Final = 500


def url_error(host: str, status: int, headers: httpx.Headers) -> CodedError:
    """Translate a response that is neither 200 nor a redirect."""
    shown = shown_host(host)
    said, params = f"The server of {shown} responded with {status}", {"host": shown, "status": status}
    if status in _GONE:
        return Permanent("url_not_found", f"{said}: the file does not exist.", params=params)
    if status in _CLOSED:
        return Permanent("url_forbidden", f"{said}: access denied.", params=params)
    if status >= _SERVER_ERROR or status in _LATER:
        wished = retry_after_seconds(headers, RETRY_AFTER_CAP_SECONDS)
        return Transient(
            "url_unavailable", f"{said}: temporarily unavailable.", params=params, retry_after_seconds=wished
        )
    return Permanent("url_unusable", f"{said} instead of a file.", params=params)


def unusable(host: str, why: str) -> Permanent:
    """Return the error for a response that no retry can make usable; `why` completes the sentence."""
    return Permanent("url_unusable", f"The server of {shown_host(host)} {why}.", params={"host": shown_host(host)})


def stalled(host: str) -> Transient:
    """Return the error for a transfer slower than allowed."""
    return Transient("url_stalled", f"The server of {shown_host(host)} is too slow.", params={"host": shown_host(host)})


def interrupted(host: str) -> Transient:
    """Return the error for a connection that ended before the file did."""
    return Transient(
        "url_unreachable",
        f"The connection to {shown_host(host)} was lost before the file was complete.",
        params={"host": shown_host(host)},
    )


@contextmanager
def network_errors(host: str) -> Iterator[None]:
    """Translate httpcore's errors and timeouts up to the end of the response's head."""
    try:
        yield
    except (TimeoutError, httpcore.ReadTimeout, httpcore.WriteTimeout) as error:
        raise stalled(host) from error
    except httpcore.RemoteProtocolError as error:
        if error.__cause__ is not None:  # h11 rejected the response; without a cause the server just hung up
            raise unusable(host, "sent an invalid HTTP/1.1 response") from error
        raise _unreachable(host) from error
    except httpcore.ConnectError as error:
        if isinstance(error.__cause__, ssl.SSLCertVerificationError):
            raise Permanent(
                "url_untrusted",
                f"The server of {shown_host(host)} has no valid certificate for that name.",
                params={"host": shown_host(host)},
            ) from error
        raise _unreachable(host) from error
    except (httpcore.NetworkError, httpcore.ConnectTimeout) as error:
        raise _unreachable(host) from error


def _unreachable(host: str) -> Transient:
    return Transient(
        "url_unreachable",
        f"The server of {shown_host(host)} could not be reached.",
        params={"host": shown_host(host)},
    )
