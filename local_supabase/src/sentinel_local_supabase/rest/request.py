"""Parsing of a PostgREST request into plain values: preferences, media type, schema, query and body."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl

from starlette.requests import Request

from sentinel_local_supabase.json_input import NotJson, bigint, parse_outline
from sentinel_local_supabase.rest.grammar import is_condition, parse_filter, parse_logic, parse_order, parse_select
from sentinel_local_supabase.rest.preferences import Preferences, read_preferences
from sentinel_local_supabase.rest.query import Query
from sentinel_local_supabase.rest.rest_errors import RestError, left_out

_ARRAY = "application/vnd.pgrst.array+json"
_CSV = "text/csv"
_GEOJSON = "application/geo+json"
_OBJECT = "application/vnd.pgrst.object+json"
_RANGE = re.compile(r"(?:rows=)?(\d+)-(\d*)", re.ASCII)
_JSON = ("application/json", "", _OBJECT, _ARRAY)
_RAW = {"text/plain": "text", "text/xml": "xml", "application/octet-stream": "bytea"}
"""The type of a function's only, unnamed argument that takes a body of that media type as it is."""
_LEFT_OUT = ("text/csv", "application/x-www-form-urlencoded")
_LOGIC = ("and", "or", "not.and", "not.or")
_RESERVED = ("select", "order", "limit", "offset", "columns", "on_conflict", *_LOGIC)


@dataclass(frozen=True, slots=True)
class Accepted:
    """Format of the response body: one object, an array or CSV, with or without nulls, and its media type."""

    single: bool
    strip_nulls: bool
    media_type: str
    csv: bool = False


@dataclass(slots=True)
class RestRequest:
    """Everything in a request that determines its SQL, except the caller."""

    method: str
    schema: str
    accepted: Accepted
    preferences: Preferences
    query: Query
    arguments: list[tuple[str, str]]
    columns: tuple[str, ...] | None
    on_conflict: tuple[str, ...]
    body: str
    body_types: tuple[str, ...]
    headers: dict[str, str] = field(default_factory=dict)

    @property
    def has_raw_body(self) -> bool:
        """True if the body is not JSON: it is the only argument of a function."""
        return bool(self.body_types) and self.body_types[0] in _RAW.values()

    @property
    def given(self) -> set[str]:
        """Names of the arguments of a function call. Raises PGRST102."""
        if self.method in ("GET", "HEAD"):
            return {name for name, _ in self.arguments}
        body = self.json_body() if self.body and not self.has_raw_body else None
        return set(body) if isinstance(body, dict) else set()

    def json_body(self) -> Any:
        """Parse the body, without its numbers. Raises PGRST102."""
        try:
            return parse_outline(self.body)
        except NotJson as error:
            raise RestError(400, "PGRST102", "Empty or invalid json") from error


async def read_request(request: Request, exposed: tuple[str, ...], *, calls: bool = False) -> RestRequest:
    """Parse a request. If it `calls` a function by GET, parameters that are not filters are arguments.

    Raises RestError for requests that PostgREST refuses before it queries the database.
    """
    pairs = parse_qsl(request.scope["query_string"].decode(errors="replace"), keep_blank_values=True)
    # Supabase's gateway removes the key before PostgREST sees the request.
    parameters = [pair for pair in pairs if pair[0] != "apikey"]
    if any("\0" in name or "\0" in value for name, value in parameters):
        raise RestError(400, "PGRST100", "A NUL character cannot be part of a query")
    named = dict(parameters)
    reading = request.method in ("GET", "HEAD")
    body, types = ("", ()) if reading else await _body(request, calls=calls)
    arguments = [pair for pair in parameters if calls and reading and _is_argument(*pair)]
    query = _query([pair for pair in parameters if pair not in arguments])
    if reading:
        _narrow(query, request.headers.get("range", ""))
    return RestRequest(
        method=request.method,
        schema=_profile(request, exposed, reading=reading),
        accepted=_accepted(request.headers.get("accept", "*/*")),
        preferences=read_preferences(request.headers.getlist("prefer")),
        query=query,
        arguments=arguments,
        columns=_names(named["columns"]) if "columns" in named else None,
        on_conflict=_names(named.get("on_conflict", "")),
        body=body,
        body_types=types,
        headers={name.lower(): value for name, value in request.headers.items()},
    )


async def _body(request: Request, *, calls: bool) -> tuple[str, tuple[str, ...]]:
    """Return the body as text, and the types of an unnamed argument that takes it; `bytea` has PostgreSQL's hex form.

    Only a body that `calls` a function may be something else than JSON.
    """
    media_type = request.headers.get("content-type", "application/json").partition(";")[0].strip()
    raw = _RAW.get(media_type) if calls else None
    if media_type in _LEFT_OUT:
        raise left_out(f"bodies of the type {media_type}: send JSON")
    if media_type not in _JSON and raw is None:
        raise RestError(400, "PGRST102", f"Content-Type not acceptable: {media_type}")
    content = await request.body()
    if raw == "bytea":
        return "\\x" + content.hex(), (raw,)
    try:
        text = content.decode()
    except UnicodeDecodeError as error:
        raise (_not_utf8() if raw else RestError(400, "PGRST102", "Empty or invalid json")) from error
    if raw and "\0" in text:
        raise _not_utf8()
    return text, (raw,) if raw else ("json", "jsonb")


def _not_utf8() -> RestError:
    return RestError(400, "22021", 'invalid byte sequence for encoding "UTF8"')


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
        if media_type == _CSV:
            return Accepted(False, False, f"{_CSV}; charset=utf-8", csv=True)
        if media_type in ("*/*", "application/*", "application/json", "application/openapi+json"):
            return Accepted(False, False, "application/json; charset=utf-8")
    if _GEOJSON in header:
        raise left_out("GeoJSON")
    raise RestError(406, "PGRST107", f"None of these media types are available: {header}")


def _is_argument(name: str, value: str) -> bool:
    reserved = name in _RESERVED or name.rpartition(".")[2] in ("order", "limit", "offset", "and", "or")
    return not reserved and not is_condition(value)


def _query(parameters: list[tuple[str, str]]) -> Query:
    query = Query()
    for name, value in parameters:
        if name == "select":
            query.select = parse_select(value)
        elif name not in ("columns", "on_conflict"):
            _add(query, name, value)
    query.require_selected()
    return query


def _narrow(query: Query, header: str) -> None:
    """Apply a `Range: first-last` header: rows counted from 0, both ends included. Raises PGRST103."""
    found = _RANGE.fullmatch(header)
    if found is None:
        return
    first, last = bigint(found[1]), bigint(found[2]) if found[2] else None
    if last is not None and last < first:
        message = "The lower boundary must be lower than or equal to the upper boundary in the Range header."
        raise RestError(416, "PGRST103", "Requested range not satisfiable", details=message)
    limits = [] if query.limit is None else [query.offset + query.limit]
    limits += [] if last is None else [last + 1]
    query.offset = max(query.offset, first)
    query.limit = max(min(limits) - query.offset, 0) if limits else None


def _add(query: Query, name: str, value: str) -> None:
    while _is_embedded(name):
        relation, _, name = name.partition(".")
        query = query.embedded.setdefault(relation, Query())
    if name in _LOGIC:
        query.conditions.append(parse_logic(name, value))
    elif name == "order":
        query.order = parse_order(value)
    elif name == "limit":
        query.limit = _count(name, value)
    elif name == "offset":
        query.offset = _count(name, value)
    else:
        query.conditions.append(parse_filter(name, value))


def _is_embedded(name: str) -> bool:
    """Return True if a parameter refers to an embedded resource, as in `replies.order`."""
    relation, dot, _ = name.partition(".")
    return bool(dot) and name not in _LOGIC and not name.startswith('"') and "->" not in relation


def _count(name: str, value: str) -> int:
    if not (value.isascii() and value.isdigit()):
        raise RestError(400, "PGRST100", f'"failed to parse {name} parameter ({value})" (line 1, column 1)')
    return bigint(value)


def _names(text: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(name.strip().strip('"') for name in text.split(",") if name.strip()))
