"""Function calls: named arguments from a JSON object, results in PostgREST's form.

This is part of the query compiler (see compiler.py), so its SQL is written here.
"""

# ruff: noqa: S608 - a query compiler: every name is quoted, every value is bound
from __future__ import annotations

from collections.abc import Iterable

from sentinel_local_supabase.rest.compiler import Bindings, Compiler, Source, quote, row_range
from sentinel_local_supabase.rest.request import RestRequest
from sentinel_local_supabase.rest.schema import Function, Schema
from sentinel_local_supabase.rest.statements import RESULT, Statement, outer


def call_statement(
    schema: Schema, function: Function, request: RestRequest, arguments: str, given: set[str]
) -> Statement:
    """Compile a call with `arguments`, a JSON object of the arguments `given` (or the only, unnamed argument)."""
    bindings = Bindings()
    compiler = Compiler(schema, bindings)
    source = _source(schema, function)
    body, call = _call(function, arguments, given, bindings)
    scalar = function.returns != "rows"
    if scalar:
        text = f"select {source.name}.pgrst_scalar from {body}lateral (select {call} as pgrst_scalar) as {source.name}"
    else:
        text = f"select {source.name}.* from {body}lateral {call} as {source.name}"
    # Filters and orders apply to the call's result, so it must run once and not be inlined.
    ctes = f"pgrst_call as materialized ({text})"
    inner = f"select * from pgrst_call as {source.name}"
    total = "null::bigint"
    if not scalar:
        where = compiler.where(source, request.query)
        select = compiler.select_list(source, request.query)
        inner = f"select {select} from pgrst_call as {source.name}{where}"
        inner += compiler.order(source, request.query)
        if function.returns_set and request.preferences.get("count"):
            total = f"(select count(*) from pgrst_call as {source.name}{where})"
    if function.returns_set:
        inner += row_range(request.query)
    ctes += f", {RESULT} as ({inner})"
    text = outer(ctes, f"select * from {RESULT}", request, total, scalar=scalar, one=not function.returns_set)
    return Statement(text, bindings.values)


def _source(schema: Schema, function: Function) -> Source:
    """Return the result of a call as a source, with the types and foreign keys of the table whose rows it returns."""
    relation = schema.relations.get(function.relation) if function.relation else None
    if relation is None:
        return Source(quote(function.name), function.schema, function.name, {})
    return Source.of(relation, quote(function.name))


def _call(function: Function, arguments: str, given: set[str], bindings: Bindings) -> tuple[str, str]:
    name = f"{quote(function.schema)}.{quote(function.name)}"
    if function.takes_one_json:
        return "", f"{name}({bindings.bind(arguments)}::{function.arguments[0].type})"
    taken = [one for one in function.arguments if one.name in given]
    if not taken:
        return "", f"{name}()"
    definitions = ", ".join(f"{quote(one.name)} {one.type}" for one in taken)
    names = ", ".join(quote(one.name) for one in taken)
    passed = ", ".join(
        f"{'variadic ' if one.variadic else ''}{quote(one.name)} := pgrst_body.{quote(one.name)}" for one in taken
    )
    body = (
        f"(select {bindings.bind(arguments)}::json as json_data) pgrst_payload, "
        f"lateral (select {names} from json_to_record(json_data) as _({definitions})) pgrst_body, "
    )
    return body, f"{name}({passed})"


def argument_object(parameters: Iterable[tuple[str, str]], function: Function) -> dict[str, object]:
    """Return the arguments of a GET call; repeated parameters become a variadic argument."""
    variadic = {one.name for one in function.arguments if one.variadic}
    gathered: dict[str, object] = {}
    for name, value in parameters:
        if name in variadic:
            earlier = gathered.setdefault(name, [])
            assert isinstance(earlier, list)
            earlier.append(value)
        else:
            gathered[name] = value
    return gathered
