"""What goes wrong with a user's URL, as errors of the request. Sentences name hosts, never paths or queries."""

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
"""As long as the queue's own longest backoff."""

_GONE: Final = frozenset({404, 410})
_CLOSED: Final = frozenset({401, 402, 403, 407, 451})
_LATER: Final = frozenset({408, 425, 429})
_SERVER_ERROR: Final = 500


def refusal(host: str, status: int, headers: httpx.Headers) -> CodedError:
    """The error that an answer other than 200 and a redirect stands for."""
    said, params = f"The server of {shown_host(host)} answers {status}", {"host": shown_host(host), "status": status}
    if status in _GONE:
        return Permanent("url_not_found", f"{said}: there is no such file.", params=params)
    if status in _CLOSED:
        return Permanent("url_forbidden", f"{said}: the file is not for everybody.", params=params)
    if status >= _SERVER_ERROR or status in _LATER:
        wished = retry_after_seconds(headers, RETRY_AFTER_CAP_SECONDS)
        return Transient("url_unavailable", f"{said}: not available now.", params=params, retry_after_seconds=wished)
    return Permanent("url_unusable", f"{said}, which is no file.", params=params)


def unusable(host: str, why: str) -> Permanent:
    """An answer that no attempt can use; `why` is the rest of the sentence."""
    return Permanent("url_unusable", f"The server of {shown_host(host)} {why}.", params={"host": shown_host(host)})


def stalled(host: str) -> Transient:
    """Slower than is allowed."""
    return Transient("url_stalled", f"The server of {shown_host(host)} is too slow.", params={"host": shown_host(host)})


def interrupted(host: str) -> Transient:
    """The connection ended before the file did."""
    return Transient(
        "url_unreachable",
        f"The connection to {shown_host(host)} broke before the file was complete.",
        params={"host": shown_host(host)},
    )


@contextmanager
def network_errors(host: str) -> Iterator[None]:
    """Translate what httpcore and the clock raise until the answer's head is there."""
    try:
        yield
    except (TimeoutError, httpcore.ReadTimeout, httpcore.WriteTimeout) as error:
        raise stalled(host) from error
    except httpcore.RemoteProtocolError as error:
        if error.__cause__ is not None:  # h11's own complaint; without one the server just hung up
            raise unusable(host, "does not speak HTTP/1.1 as it should") from error
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
        f"The server of {shown_host(host)} cannot be reached now.",
        params={"host": shown_host(host)},
    )
