"""One PostgREST request, read into plain values: preferences, media type, schema, query and body."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl

from starlette.requests import Request

from sentinel_worker.local.rest.errors import RestError
from sentinel_worker.local.rest.query import Query, parse_filter, parse_logic, parse_order, parse_select

_KNOWN_PREFERENCES = {
    "return": ("representation", "minimal", "headers-only"),
    "count": ("exact", "planned", "estimated"),
    "resolution": ("merge-duplicates", "ignore-duplicates"),
    "missing": ("default", "null"),
    "tx": ("commit", "rollback"),
    "handling": ("strict", "lenient"),
    "timezone": None,
    "max-affected": None,
}
_ARRAY = "application/vnd.pgrst.array+json"
_OBJECT = "application/vnd.pgrst.object+json"
_RESERVED = ("select", "order", "limit", "offset", "columns", "on_conflict", "and", "or", "not.and", "not.or")


@dataclass(frozen=True, slots=True)
class Preferences:
    """The `Prefer` header: the known pairs, in the order given, and what was not understood."""

    known: dict[str, str]
    unknown: tuple[str, ...]

    def get(self, name: str) -> str | None:
        """The value of a preference, None when absent."""
        return self.known.get(name)

    def applied(self, names: tuple[str, ...]) -> dict[str, str]:
        """The Preference-Applied header for those of `names` that were given."""
        pairs = [f"{name}={self.known[name]}" for name in names if name in self.known]
        return {"Preference-Applied": ", ".join(pairs)} if pairs else {}


@dataclass(frozen=True, slots=True)
class Accepted:
    """The shape of the body: one object or an array, with or without nulls, and its media type."""

    single: bool
    strip_nulls: bool
    media_type: str


@dataclass(slots=True)
class RestRequest:
    """Everything of a request that decides about its SQL, but for the caller."""

    method: str
    schema: str
    accepted: Accepted
    preferences: Preferences
    query: Query
    parameters: list[tuple[str, str]]
    columns: tuple[str, ...] | None
    on_conflict: tuple[str, ...]
    body: str
    headers: dict[str, str] = field(default_factory=dict)

    def json_body(self) -> Any:
        """The parsed body. Raises PGRST102."""
        try:
            return json.loads(self.body)
        except ValueError as error:
            raise RestError(400, "PGRST102", "Empty or invalid json") from error


async def read_request(request: Request, exposed: tuple[str, ...], *, filters: bool = True) -> RestRequest:
    """Read a request. Without `filters` (a function's arguments) only reserved parameters count.

    Raises RestError for what PostgREST refuses before it asks the database.
    """
    parameters = parse_qsl(request.scope["query_string"].decode(), keep_blank_values=True)
    if any("\0" in name or "\0" in value for name, value in parameters):
        raise RestError(400, "PGRST100", "A NUL character cannot be part of a query")
    named = dict(parameters)
    reading = request.method in ("GET", "HEAD")
    body = "" if reading else await _body(request)
    return RestRequest(
        method=request.method,
        schema=_profile(request, exposed, reading=reading),
        accepted=_accepted(request.headers.get("accept", "*/*")),
        preferences=_preferences(request.headers.getlist("prefer")),
        query=_query(parameters, filters=filters),
        parameters=[pair for pair in parameters if not _is_reserved(pair[0])],
        columns=_names(named["columns"]) if "columns" in named else None,
        on_conflict=_names(named.get("on_conflict", "")),
        body=body,
        headers={name.lower(): value for name, value in request.headers.items()},
    )


async def _body(request: Request) -> str:
    media_type = request.headers.get("content-type", "application/json").partition(";")[0].strip()
    if media_type not in ("application/json", "", _OBJECT, _ARRAY):
        raise RestError(400, "PGRST102", f"Content-Type not acceptable: {media_type}")
    try:
        return (await request.body()).decode()
    except UnicodeDecodeError as error:
        raise RestError(400, "PGRST102", "Empty or invalid json") from error


def _profile(request: Request, exposed: tuple[str, ...], *, reading: bool) -> str:
    name = request.headers.get("accept-profile" if reading else "content-profile", exposed[0])
    if name not in exposed:
        hint = f"Only the following schemas are exposed: {', '.join(exposed)}"
        raise RestError(406, "PGRST106", f"Invalid schema: {name}", hint=hint)
    return name


def _accepted(header: str) -> Accepted:
    for choice in header.split(","):
        media_type, *options = (part.strip() for part in choice.split(";"))
        strip = "nulls=stripped" in options
        suffix = ";nulls=stripped" if strip else ""
        if media_type in (_OBJECT, "application/vnd.pgrst.object"):
            return Accepted(True, strip, f"{_OBJECT}{suffix}; charset=utf-8")
        if media_type in (_ARRAY, "application/vnd.pgrst.array"):
            return Accepted(False, strip, f"{_ARRAY}{suffix}; charset=utf-8")
        if media_type in ("*/*", "application/*", "application/json", "application/openapi+json"):
            return Accepted(False, False, "application/json; charset=utf-8")
    raise RestError(406, "PGRST107", f"None of these media types are available: {header}")


def _preferences(headers: list[str]) -> Preferences:
    known: dict[str, str] = {}
    unknown: list[str] = []
    for item in ",".join(headers).split(","):
        text = item.strip()
        name, _, value = text.partition("=")
        if not text:
            continue
        allowed = _KNOWN_PREFERENCES.get(name, ())
        if allowed is None or value in allowed:
            known.setdefault(name, value)
        else:
            unknown.append(text)
    if known.get("handling") == "strict" and unknown:
        details = f"Invalid preferences: {', '.join(unknown)}"
        raise RestError(400, "PGRST122", "Invalid preferences given with handling=strict", details=details)
    return Preferences(known, tuple(unknown))


def _is_reserved(name: str) -> bool:
    return name in _RESERVED or name.rpartition(".")[2] in ("order", "limit", "offset")


def _query(parameters: list[tuple[str, str]], *, filters: bool) -> Query:
    query = Query()
    for name, value in parameters:
        if name == "select":
            query.select = parse_select(value)
        elif name not in ("columns", "on_conflict") and (filters or _is_reserved(name)):
            _add(query, name, value)
    return query


def _add(query: Query, name: str, value: str) -> None:
    if name in ("and", "or", "not.and", "not.or"):
        query.conditions.append(parse_logic(name, value))
    elif name == "order":
        query.order = parse_order(value)
    elif name == "limit":
        query.limit = _count(name, value)
    elif name == "offset":
        query.offset = _count(name, value)
    elif "." in name and not name.startswith('"') and "->" not in name.partition(".")[0]:
        relation, _, rest = name.partition(".")
        _add(query.embedded.setdefault(relation, Query()), rest, value)
    else:
        query.conditions.append(parse_filter(name, value))


def _count(name: str, value: str) -> int:
    if not value.isdigit():
        raise RestError(400, "PGRST100", f'"failed to parse {name} parameter ({value})" (line 1, column 1)')
    return int(value)


def _names(text: str) -> tuple[str, ...]:
    return tuple(name.strip().strip('"') for name in text.split(",") if name.strip())
