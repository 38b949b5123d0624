"""Error responses in the wording of Supabase's gateways and services, for faults and unexpected errors."""

from __future__ import annotations

import http
from typing import get_args

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Scope

from sentinel_local_supabase.auth.auth_errors import AuthError, error_answer
from sentinel_local_supabase.database import DatabaseDown, PoolExhausted
from sentinel_local_supabase.faults import HttpFault, Service
from sentinel_local_supabase.json_answer import json_answer
from sentinel_local_supabase.rest.rest_errors import RestError, from_outage, from_token
from sentinel_local_supabase.storage.storage_errors import StorageError, internal
from sentinel_local_supabase.tokens import TokenRefused

_GATEWAY = {
    429: "API rate limit exceeded",
    500: "An unexpected error occurred",
    502: "An invalid response was received from the upstream server",
    503: "The upstream server is currently unavailable",
    504: "The upstream server is timing out",
}
"""Kong's messages; the body has no `code`."""

_CLOUDFLARE = {
    520: "Web server is returning an unknown error",
    521: "Web server is down",
    522: "Connection timed out",
    523: "Origin is unreachable",
    524: "A timeout occurred",
    540: "Project paused",
    544: "Database timed out",
}
"""Phrases of Cloudflare's and Supabase's own statuses."""

_REST = {
    401: from_token(TokenRefused("expired")),
    500: RestError(500, "57014", "canceling statement due to statement timeout"),
    503: from_outage(DatabaseDown("")),
    504: from_outage(PoolExhausted()),
}
_STORAGE = {
    429: StorageError("429", "too_many_connections", "SlowDown", "Too many connections issued to the database"),
    500: internal(),
    544: StorageError("544", "DatabaseTimeout", "DatabaseTimeout", "The connection to the database timed out"),
}
_AUTH = {
    429: AuthError(429, "over_request_rate_limit", "Request rate limit reached"),
    500: AuthError(500, "unexpected_failure", "Unexpected failure, please check server logs for more information"),
    504: AuthError(504, "request_timeout", "Processing this request timed out, please retry after a moment."),
}


def refusal(fault: HttpFault, service: Service | None, scope: Scope) -> Response:
    """Return the response for a fault with a status, to a request to `service` (None: to none of the three)."""
    assert fault.status is not None
    if fault.body == "json":
        answer = _worded(fault.status, service, scope)
    elif fault.body == "blank":
        answer = RestError(fault.status, "", "").response()
    elif fault.body == "html":
        answer = Response(_page(fault.status), fault.status, {"Server": "cloudflare"}, media_type="text/html")
    else:
        answer = Response(b"", fault.status)
    if fault.retry_after_seconds is not None:
        answer.headers["Retry-After"] = str(fault.retry_after_seconds)
    return answer


def failure(scope: Scope) -> Response:
    """Return the response to a request that failed with an unexpected error."""
    match service_of(scope["path"]):
        case "auth":
            return error_answer(Request(scope), _AUTH[500])
        case "rest":
            return RestError(500, "PGRSTX00", "Internal Server Error").response()
        case "storage":
            return internal().response()
    return json_answer({"message": "Internal Server Error"}, 500)


def service_of(path: str) -> Service | None:
    """Return the service that a path belongs to, None for no service."""
    return next((name for name in get_args(Service) if path.startswith(f"/{name}/v1/")), None)


def _worded(status: int, service: Service | None, scope: Scope) -> Response:
    if service == "rest" and status in _REST:
        return _REST[status].response()
    if service == "auth" and status in _AUTH:
        return error_answer(Request(scope), _AUTH[status])
    if service == "storage" and status in _STORAGE:
        answer = _STORAGE[status].response()
        answer.status_code = status  # Storage reports outages with their real status, not its usual 400
        return answer
    return json_answer({"message": _GATEWAY.get(status, f"The upstream server responded with {status}")}, status)


def _page(status: int) -> bytes:
    title = f"{status} {_phrase(status)}"
    lines = (
        "<html>",
        f"<head><title>{title}</title></head>",
        "<body>",
        f"<center><h1>{title}</h1></center>",
        "<hr><center>cloudflare</center>",
        "</body>",
        "</html>",
        "",
    )
    return "\r\n".join(lines).encode()


def _phrase(status: int) -> str:
    if status in _CLOUDFLARE:
        return _CLOUDFLARE[status]
    try:
        return http.HTTPStatus(status).phrase
    except ValueError:
        return "Error"
