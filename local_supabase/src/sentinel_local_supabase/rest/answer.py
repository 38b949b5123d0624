"""HTTP responses from the single row of a statement: status, Content-Range, Location, preferences."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from urllib.parse import quote

from starlette.responses import Response

from sentinel_local_supabase.json_input import bigint
from sentinel_local_supabase.rest.request import RestRequest
from sentinel_local_supabase.rest.rest_errors import RestError
from sentinel_local_supabase.rest.schema import Function, Relation

_READ_PREFERENCES = ("count", "handling", "timezone")
_CHANGE_PREFERENCES = ("resolution", "missing", "return", "count", "handling", "timezone", "max-affected")
_NO_CONTENT, _PARTIAL = 204, 206


@dataclass(frozen=True, slots=True)
class Outcome:
    """The row of a Statement: total rows (if counted), rows in this response, and the body's JSON."""

    total: int | None
    rows: int
    body: str
    status: str | None
    headers: str | None
    updated: str | None

    def with_total(self, total: int) -> Outcome:
        """Return a copy with another total."""
        return replace(self, total=total)


def call_response(asked: RestRequest, function: Function, outcome: Outcome) -> Response:
    """Return the response to a function call. Raises PGRST116, PGRST124 and PGRST128."""
    if _is_strict(asked) and asked.preferences.get("max-affected") is not None:
        if not function.returns_set:
            message = "Function must return SETOF or TABLE when max-affected preference is used with handling=strict"
            raise RestError(400, "PGRST128", message)
        _require_few(asked, outcome.rows)
    return read_response(asked, outcome, function)


def read_response(asked: RestRequest, outcome: Outcome, function: Function | None = None) -> Response:
    """Return the response to GET and HEAD of a relation, or to a call of `function`. Raises PGRST116."""
    offset = asked.query.offset
    names = _READ_PREFERENCES if function is None or not _is_strict(asked) else (*_READ_PREFERENCES, "max-affected")
    headers = asked.preferences.applied(names)
    total = "*" if outcome.total is None else str(outcome.total)
    if outcome.total is not None and offset > outcome.total:
        return _beyond(offset, outcome.total, headers)
    headers["Content-Range"] = f"{_span(offset, outcome.rows)}/{total}"
    status = 200
    if outcome.total is not None and outcome.rows < outcome.total:
        status = _PARTIAL
    body, media_type = outcome.body, asked.accepted.media_type
    if function is not None and function.returns == "void":
        return _finished(asked, outcome, Response(b"", _NO_CONTENT, headers))
    if asked.accepted.single and (function is None or function.returns_set):
        _require_single(outcome.rows)
    content = b"" if asked.method == "HEAD" else body.encode()
    return _finished(asked, outcome, Response(content, status, headers, media_type))


def change_response(asked: RestRequest, relation: Relation, outcome: Outcome) -> Response:
    """Return the response to POST, PATCH and DELETE of a relation. Raises PGRST116 and PGRST124."""
    _require_few(asked, outcome.rows)
    wanted = asked.preferences.get("return")
    headers = asked.preferences.applied(_applicable(asked))
    total = str(outcome.rows) if asked.preferences.get("count") == "exact" else "*"
    span = _span(0, outcome.rows) if asked.method == "PATCH" else "*"
    headers["Content-Range"] = f"{span}/{total}"
    status = _change_status(asked, outcome)
    if wanted == "representation":
        if asked.accepted.single:
            _require_single(outcome.rows)
        response = Response(outcome.body.encode(), status, headers, asked.accepted.media_type)
    else:
        if wanted == "headers-only" and asked.method == "POST" and outcome.rows == 1:
            headers["Location"] = _location(relation, outcome)
        response = Response(b"", status, headers)
    return _finished(asked, outcome, response)


def _change_status(asked: RestRequest, outcome: Outcome) -> int:
    if asked.method == "POST":
        all_updated = outcome.updated is not None and int(outcome.updated) == outcome.rows > 0
        return 200 if all_updated else 201
    return 200 if asked.preferences.get("return") == "representation" else _NO_CONTENT


def _applicable(asked: RestRequest) -> tuple[str, ...]:
    return tuple(name for name in _CHANGE_PREFERENCES if name != "max-affected" or _is_strict(asked))


def _is_strict(asked: RestRequest) -> bool:
    return asked.preferences.get("handling") == "strict"


def _require_few(asked: RestRequest, rows: int) -> None:
    limit = asked.preferences.get("max-affected")
    if limit is None or not (limit.isascii() and limit.isdigit()) or not _is_strict(asked):
        return
    if rows > bigint(limit):
        raise RestError(
            400,
            "PGRST124",
            "Query result exceeds max-affected preference constraint",
            details=f"The query affects {rows} rows",
        )


def _require_single(rows: int) -> None:
    if rows != 1:
        raise RestError(
            406,
            "PGRST116",
            "Cannot coerce the result to a single JSON object",
            details=f"The result contains {rows} rows",
        )


def _span(offset: int, rows: int) -> str:
    return f"{offset}-{offset + rows - 1}" if rows else "*"


def _beyond(offset: int, total: int, headers: dict[str, str]) -> Response:
    body = {
        "code": "PGRST103",
        "details": f"An offset of {offset} was requested, but there are only {total} rows.",
        "hint": None,
        "message": "Requested range not satisfiable",
    }
    content = json.dumps(body, separators=(",", ":")).encode()
    headers["Content-Range"] = f"*/{total}"
    return Response(content, 416, headers, "application/json; charset=utf-8")


def _location(relation: Relation, outcome: Outcome) -> str:
    row = json.loads(outcome.body)[0]
    keys = "&".join(f"{quote(name)}=eq.{quote(str(row[name]))}" for name in relation.primary_key)
    return f"/{relation.name}?{keys}"


def _finished(asked: RestRequest, outcome: Outcome, response: Response) -> Response:
    """Apply the settings response.status and response.headers that the SQL set."""
    if outcome.status is not None:
        if not outcome.status.isdigit():
            raise RestError(500, "PGRST112", "response.status GUC must be a valid status code")
        response.status_code = int(outcome.status)
    if outcome.headers is not None:
        try:
            pairs = [pair for item in json.loads(outcome.headers) for pair in item.items()]
        except (ValueError, AttributeError, TypeError) as error:
            message = (
                "response.headers GUC must be a JSON array composed of objects with a single key and a string value"
            )
            raise RestError(500, "PGRST111", message) from error
        for name, value in pairs:
            response.headers[name] = value
    return response
