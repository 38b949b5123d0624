"""Overload resolution: choose a function by the names of the call's arguments."""

from __future__ import annotations

from sentinel_local_supabase.rest.rest_errors import RestError
from sentinel_local_supabase.rest.schema import Function, SchemaCache


async def find_function(cache: SchemaCache, schema: str, name: str, given: set[str]) -> Function:
    """Return the only function that takes the arguments `given`. Raises PGRST202 (none) or PGRST203 (several)."""
    fitting = await cache.overloads(schema, name, given)
    if not fitting:
        raise await _unknown(cache, schema, name, given)
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


async def _unknown(cache: SchemaCache, schema: str, name: str, given: set[str]) -> RestError:
    names = ", ".join(sorted(given))
    plural = "parameter" if len(given) == 1 else "parameters"
    searched = f"with {plural} {names}" if given else "without parameters"
    called = f"{schema}.{name}({names})" if given else f"{schema}.{name} without parameters"
    near = await cache.nearest_function(schema, name)
    return RestError(
        404,
        "PGRST202",
        f"Could not find the function {called} in the schema cache",
        details=f"Searched for the function {schema}.{name} {searched} or with a single unnamed "
        "json/jsonb parameter, but no matches were found in the schema cache.",
        hint=near and f"Perhaps you meant to call the function {schema}.{near}",
    )
