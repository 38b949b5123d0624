"""Function calls: named arguments from a JSON object, results in PostgREST's form.

This is part of the query compiler (see compiler.py), so its SQL is written here.
"""

# ruff: noqa: S608 - a query compiler: every name is quoted, every value is bound
from __future__ import annotations

import json

from sentinel_local_supabase.rest.compiler import Bindings, Compiler, Source, quote, row_range
from sentinel_local_supabase.rest.request import RestRequest
from sentinel_local_supabase.rest.schema import Function, Schema
from sentinel_local_supabase.rest.statements import RESULT, Statement, outer


def call_statement(schema: Schema, function: Function, request: RestRequest) -> Statement:
    """Compile a call with the arguments of a request; a single unnamed argument is the whole body."""
    bindings = Bindings()
    compiler = Compiler(schema, bindings)
    source = _source(schema, function)
    body, call = _call(function, request, bindings)
    scalar = function.returns != "rows"
    if scalar:
        text = f"select {source.name}.pgrst_scalar from {body}lateral (select {call} as pgrst_scalar) as {source.name}"
    else:
        text = f"select {source.name}.* from {body}lateral {call} as {source.name}"
    # Filters and orders apply to the call's result, so it must run once and not be inlined.
    ctes = f"pgrst_call as materialized ({text})"
    inner = f"select * from pgrst_call as {source.name}"
    where = ""
    if not scalar:
        where = compiler.where(source, request.query)
        select = compiler.select_list(source, request.query)
        inner = f"select {select} from pgrst_call as {source.name}{where}"
        inner += compiler.order(source, request.query)
    if function.returns_set:
        inner += row_range(request.query)
    ctes += f", {RESULT} as ({inner})"
    counted = request.preferences.get("count") is not None
    total = f"(select count(*) from pgrst_call as {source.name}{where})" if counted else "null::bigint"
    text = outer(ctes, f"select * from {RESULT}", request, total, scalar=scalar, one=not function.returns_set)
    return Statement(text, bindings.values)


def _source(schema: Schema, function: Function) -> Source:
    """Return the result of a call as a source, with the types and foreign keys of the table whose rows it returns."""
    relation = schema.relations.get(function.relation) if function.relation else None
    if relation is None:
        return Source(quote(function.name), function.schema, function.name, {})
    return Source.of(relation, quote(function.name))


def _call(function: Function, request: RestRequest, bindings: Bindings) -> tuple[str, str]:
    name = f"{quote(function.schema)}.{quote(function.name)}"
    if function.unnamed is not None:
        whole = request.body if request.has_raw_body else _arguments(function, request)
        return "", f"{name}({bindings.bind(whole)}::{function.unnamed.type})"
    given = request.given
    taken = [one for one in function.arguments if one.name in given]
    if not taken:
        return "", f"{name}()"
    definitions = ", ".join(f"{quote(one.name)} {one.type}" for one in taken)
    names = ", ".join(quote(one.name) for one in taken)
    passed = ", ".join(
        f"{'variadic ' if one.variadic else ''}{quote(one.name)} := pgrst_body.{quote(one.name)}" for one in taken
    )
    body = (
        f"(select {bindings.bind(_arguments(function, request))}::json as json_data) pgrst_payload, "
        f"lateral (select {names} from json_to_record(json_data) as _({definitions})) pgrst_body, "
    )
    return body, f"{name}({passed})"


def _arguments(function: Function, request: RestRequest) -> str:
    """Return the JSON object of a call's arguments; repeated parameters of a GET become a variadic argument."""
    if request.method not in ("GET", "HEAD"):
        return request.body or "{}"
    variadic = {one.name for one in function.arguments if one.variadic}
    gathered: dict[str, object] = {}
    for name, value in request.arguments:
        if name in variadic:
            earlier = gathered.setdefault(name, [])
            assert isinstance(earlier, list)
            earlier.append(value)
        else:
            gathered[name] = value
    return json.dumps(gathered)
