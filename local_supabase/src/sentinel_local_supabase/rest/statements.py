"""Statements of requests: each is one query whose single row has counts, body, status and headers.

This is part of the query compiler (see compiler.py), so its SQL is written here.
"""

# ruff: noqa: S608 - a query compiler: every name is quoted, every value is bound
from __future__ import annotations

from dataclasses import dataclass

from sentinel_local_supabase.rest.compiler import Bindings, Compiler, Source, quote, row_range
from sentinel_local_supabase.rest.query import Embedded, Field, Filter, Query, Selected
from sentinel_local_supabase.rest.request import RestRequest
from sentinel_local_supabase.rest.rest_errors import RestError, left_out
from sentinel_local_supabase.rest.schema import Column, Relation, Schema

RESULT = '"pgrst_source"'
_ANSWERS = (
    "nullif(current_setting('response.status', true), ''), "
    "nullif(current_setting('response.headers', true), ''), "
    "nullif(current_setting('pgrst.updated', true), '')"
)
# A header line with the names of the first row, then a line per row: PostgreSQL's row text without its brackets.
_CSV = (
    "coalesce((select string_agg(name, ',') from json_object_keys((array_agg(row_to_json(_row)))[1]) as name), '') "
    "|| E'\\n' || coalesce(string_agg(substr(_row::text, 2, length(_row::text) - 2), E'\\n'), '')"
)


@dataclass(frozen=True, slots=True)
class Statement:
    """SQL with `$n` placeholders and their values; its row is (total, rows, body, status, headers, updated rows)."""

    text: str
    values: list[str]


@dataclass(frozen=True, slots=True)
class Payload:
    """The columns that a body writes, and a flag for an array."""

    columns: tuple[Column, ...]
    many: bool
    empty: bool


def select_statement(schema: Schema, relation: Relation, request: RestRequest) -> Statement:
    """Compile GET and HEAD of a relation."""
    bindings = Bindings()
    compiler = Compiler(schema, bindings)
    source, query = Source.of(relation), request.query
    where = compiler.where(source, query)
    text = f"select {compiler.select_list(source, query)} from {source.name}{where}"
    text += compiler.order(source, query) + row_range(query)
    total = "null::bigint"
    if request.preferences.get("count") in ("exact", "estimated"):
        total = f"(select count(*) from {source.name}{where})"
    return Statement(outer(f"{RESULT} as ({text})", f"select * from {RESULT}", request, total), bindings.values)


def plan_statement(schema: Schema, relation: Relation, request: RestRequest) -> Statement:
    """Compile a query for the planner's estimate of the matching rows."""
    bindings = Bindings()
    source = Source.of(relation)
    where = Compiler(schema, bindings).where(source, request.query)
    return Statement(f"explain (format json) select 1 from {source.name}{where}", bindings.values)


def read_payload(relation: Relation, request: RestRequest) -> Payload:
    """Return the columns that a body writes. Raises PGRST102 (not JSON) or PGRST204 (no such column)."""
    body = request.json_body()
    rows = body if isinstance(body, list) else [body]
    if not all(isinstance(row, dict) for row in rows):
        raise RestError(400, "PGRST102", "Empty or invalid json")
    names = request.columns
    if names is None:
        names = tuple(rows[0]) if rows else ()
        if any(row.keys() != rows[0].keys() for row in rows):
            raise RestError(400, "PGRST102", "All object keys must match")
    for name in names:
        if name not in relation.columns:
            message = f"Could not find the '{name}' column of '{relation.name}' in the schema cache"
            raise RestError(400, "PGRST204", message)
    columns = tuple(relation.columns[name] for name in names)
    return Payload(columns, many=isinstance(body, list), empty=not rows)


def insert_statement(schema: Schema, relation: Relation, request: RestRequest, payload: Payload) -> Statement:
    """Compile POST to a relation, with upsert."""
    bindings = Bindings()
    compiler = Compiler(schema, bindings)
    target = Source.of(relation)
    if payload.empty:
        text = f"select {_returned(request, relation, target)} from {target.name} where false"
    elif not payload.columns:
        text = f"insert into {target.name} default values{_conflict(request, relation, payload)}"
        text += f" returning {_returned(request, relation, target)}"
    else:
        names = ", ".join(quote(column.name) for column in payload.columns)
        text = f"insert into {target.name}({names}) select {names} from {_rows(request, payload, bindings)}"
        text += _conflict(request, relation, payload)
        text += f" returning {_returned(request, relation, target)}"
    return _changed(compiler, relation, request, text, bindings)


def update_statement(schema: Schema, relation: Relation, request: RestRequest, payload: Payload) -> Statement:
    """Compile PATCH of a relation."""
    bindings = Bindings()
    compiler = Compiler(schema, bindings)
    target = Source.of(relation)
    returned = _returned(request, relation, target)
    if payload.empty or not payload.columns:
        return _changed(compiler, relation, request, f"select {returned} from {target.name} where false", bindings)
    pairs = ", ".join(f"{quote(c.name)} = pgrst_body.{quote(c.name)}" for c in payload.columns)
    rows = _rows(request, payload, bindings, limit=" limit 1")
    where = compiler.where(target, _conditions_only(request.query))
    text = f"update {target.name} set {pairs} from {rows}{where} returning {returned}"
    return _changed(compiler, relation, request, text, bindings)


def refused_put(relation: Relation, request: RestRequest) -> RestError:
    """Return the error for PUT of a row: it is left out here, and elsewhere it needs the row's primary key."""
    conditions = request.query.conditions
    named = [one.field.name for one in conditions if isinstance(one, Filter) and one.operator == "eq"]
    if conditions and len(named) == len(conditions) and set(named) == set(relation.primary_key):
        return left_out("PUT: use POST with `Prefer: resolution=merge-duplicates`")
    return RestError(405, "PGRST105", "Filters must include all and only primary key columns with 'eq' operators")


def delete_statement(schema: Schema, relation: Relation, request: RestRequest) -> Statement:
    """Compile DELETE of a relation."""
    bindings = Bindings()
    compiler = Compiler(schema, bindings)
    target = Source.of(relation)
    where = compiler.where(target, _conditions_only(request.query))
    text = f"delete from {target.name}{where} returning {_returned(request, relation, target)}"
    return _changed(compiler, relation, request, text, bindings)


def _rows(request: RestRequest, payload: Payload, bindings: Bindings, limit: str = "") -> str:
    names = ", ".join(quote(column.name) for column in payload.columns)
    definitions = ", ".join(f"{quote(column.name)} {column.type}" for column in payload.columns)
    cast, prefix = ("jsonb", "jsonb") if request.preferences.get("missing") == "default" else ("json", "json")
    body = f"{bindings.bind(request.body)}::{cast}"
    records = body if payload.many else f"{prefix}_build_array({body})"
    if cast == "jsonb":
        records = f"(select jsonb_agg({_defaults(payload.columns)} || one) from jsonb_array_elements({records}) one)"
    return f"(select {names} from {prefix}_to_recordset({records}) as _({definitions}){limit}) pgrst_body"


def _defaults(columns: tuple[Column, ...]) -> str:
    pairs = []
    for column in columns:
        if column.sequence:
            pairs.append(f"{_text(column.name)}, nextval({_text(column.sequence)}::regclass)")
        elif column.default:
            pairs.append(f"{_text(column.name)}, {column.default}")
    return f"jsonb_build_object({', '.join(pairs)})"


def _text(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"


def _conflict(request: RestRequest, relation: Relation, payload: Payload) -> str:
    resolution = request.preferences.get("resolution")
    if resolution is None:
        return ""
    names = request.on_conflict or relation.primary_key
    if not names:
        return ""
    target = f" on conflict({', '.join(map(quote, names))})"
    if resolution == "ignore-duplicates" or not payload.columns:
        return f"{target} do nothing"
    pairs = ", ".join(f"{quote(c.name)} = excluded.{quote(c.name)}" for c in payload.columns)
    # Count the updated rows: an upsert that inserted nothing responds with 200 instead of 201.
    counted = (
        "set_config('pgrst.updated', "
        "(coalesce(nullif(current_setting('pgrst.updated', true), ''), '0')::int + 1)::text, true) is not null"
    )
    return f"{target} do update set {pairs} where {counted}"


def _returned(request: RestRequest, relation: Relation, target: Source) -> str:
    wanted = request.preferences.get("return")
    if wanted == "headers-only" and request.method == "POST":
        return ", ".join(f"{target.name}.{quote(name)}" for name in relation.primary_key) or "1 as _"
    if wanted != "representation":
        return "1 as _"
    names: list[str] = []
    for item in request.query.select:
        if isinstance(item, Embedded) or item.field.name == "*":
            return f"{target.name}.*"
        names.append(item.field.name)
    names += [term.field.name for term in request.query.order]
    return ", ".join(f"{target.name}.{quote(name)}" for name in dict.fromkeys(names)) or "1 as _"


def _changed(compiler: Compiler, relation: Relation, request: RestRequest, text: str, bindings: Bindings) -> Statement:
    inner = f"select * from {RESULT}"
    if request.preferences.get("return") == "representation":
        source = Source.of(relation, quote(relation.name))
        order = compiler.order(source, request.query)
        select = compiler.select_list(source, _without_conditions(request.query))
        inner = f"select {select} from {RESULT} as {source.name}{order}"
    counted = request.preferences.get("count") == "exact"
    total = f"(select count(*) from {RESULT})" if counted else "null::bigint"
    return Statement(outer(f"{RESULT} as ({text})", inner, request, total), bindings.values)


def _conditions_only(query: Query) -> Query:
    return Query(select=(Selected(Field("*")),), conditions=query.conditions)


def _without_conditions(query: Query) -> Query:
    return Query(select=query.select, embedded=query.embedded)


def outer(ctes: str, inner: str, request: RestRequest, total: str, *, scalar: bool = False, one: bool = False) -> str:
    """Wrap `ctes` and `inner` in the query that returns a Statement's row; `one` makes the body a single value."""
    if request.accepted.csv:
        return f"with {ctes} select {total}, count(_row), {_CSV}, {_ANSWERS} from ({inner}) _row"
    value = "_row.pgrst_scalar" if scalar else "_row"
    if request.accepted.strip_nulls:
        value = f"json_strip_nulls(to_json({value}))"
    body = f"coalesce(json_agg({value}), '[]')"
    if one or request.accepted.single:
        body = f"coalesce(json_agg({value})->0, 'null')"
    return f"with {ctes} select {total}, count(_row), {body}::text, {_ANSWERS} from ({inner}) _row"
