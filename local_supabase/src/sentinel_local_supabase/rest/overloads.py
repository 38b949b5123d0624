"""Overload resolution: choose a function by the names of the call's arguments."""

from __future__ import annotations

from sentinel_local_supabase.rest.request import RestRequest
from sentinel_local_supabase.rest.rest_errors import RestError
from sentinel_local_supabase.rest.schema import Function, SchemaCache


async def find_function(cache: SchemaCache, name: str, asked: RestRequest) -> Function:
    """Return the only function that fits a call's arguments or body. Raises PGRST202 (none) or PGRST203 (several)."""
    types = asked.body_types
    if asked.has_raw_body:
        fitting = await cache.overloads(asked.schema, name, None, types)
        searched, called = f"with a single unnamed {types[0]} parameter", f"{asked.schema}.{name}"
    else:
        given = asked.given
        fitting = await cache.overloads(asked.schema, name, given, types)
        searched, called = _by_names(asked.schema, name, given)
        searched += f" or with a single unnamed {'/'.join(types)} parameter" if types else ""
    if not fitting:
        near = None if asked.has_raw_body else await cache.nearest_function(asked.schema, name)
        raise _unknown(f"{asked.schema}.{name}", called, searched, near and f"{asked.schema}.{near}")
    if len(fitting) > 1:
        raise _ambiguous(fitting)
    return fitting[0]


def _ambiguous(fitting: list[Function]) -> RestError:
    signatures = [
        f"{one.schema}.{one.name}({', '.join(f'{argument.name} => {argument.type}' for argument in one.arguments)})"
        for one in fitting
    ]
    return RestError(
        300,
        "PGRST203",
        f"Could not choose the best candidate function between: {', '.join(signatures)}",
        hint="Try renaming the parameters or the function itself in the database so function "
        "overloading can be resolved",
    )


def _by_names(schema: str, name: str, given: set[str]) -> tuple[str, str]:
    if not given:
        return "without parameters", f"{schema}.{name} without parameters"
    names = ", ".join(sorted(given))
    plural = "parameter" if len(given) == 1 else "parameters"
    return f"with {plural} {names}", f"{schema}.{name}({names})"


def _unknown(function: str, called: str, searched: str, near: str | None) -> RestError:
    return RestError(
        404,
        "PGRST202",
        f"Could not find the function {called} in the schema cache",
        details=f"Searched for the function {function} {searched}, but no matches were found in the schema cache.",
        hint=near and f"Perhaps you meant to call the function {near}",
    )
