"""Choice of the relationship that an embedded resource of a select list follows."""

from __future__ import annotations

from sentinel_local_supabase.rest.query import Embedded
from sentinel_local_supabase.rest.relationships import Join, joins_of
from sentinel_local_supabase.rest.rest_errors import RestError, left_out
from sentinel_local_supabase.rest.schema import Schema, nearest


def find_join(schema: Schema, here: str, table: str, item: Embedded) -> Join:
    """Return the only join that fits `item`. Raises PGRST200 (none), PGRST201 (several) and PGRST127 (left out)."""
    joins = joins_of(schema, here, table)
    fitting = sorted((join for join in joins if _fits(join, here, table, item)), key=lambda join: join.place)
    if not fitting:
        _refuse_what_is_left_out(schema, here, table, item.relation)
        near = nearest(item.relation, sorted({join.table for join in joins} - {item.relation}))
        hint = f" using the hint '{item.hint}'" if item.hint else ""
        raise RestError(
            400,
            "PGRST200",
            f"Could not find a relationship between '{table}' and '{item.relation}' in the schema cache",
            details=f"Searched for a foreign key relationship between '{table}' and '{item.relation}'{hint} "
            f"in the schema '{here}', but no matches were found.",
            hint=near and f"Perhaps you meant '{near}' instead of '{item.relation}'.",
        )
    if len(fitting) > 1:
        names = ", ".join(f"'{join.table}!{join.name}'" for join in fitting)
        raise RestError(
            300,
            "PGRST201",
            f"Could not embed because more than one relationship was found for '{table}' and '{item.relation}'",
            details=[join.described(table) for join in fitting],
            hint=f"Try changing '{item.relation}' to one of the following: {names}. "
            "Find the desired relationship in the 'details' key.",
        )
    return fitting[0]


def _refuse_what_is_left_out(schema: Schema, here: str, table: str, relation: str) -> None:
    """Raise PGRST127 if PostgREST might have found a relationship where this server does not look for one."""
    for name in (table, relation):
        found = schema.relations.get((here, name))
        if found is not None and found.is_view:
            raise left_out(f"embedding of or into views ('{name}'): embed its tables, or call a function")
    for function in schema.functions.get((here, relation), []):
        types = [argument.type for argument in function.arguments]
        if types in ([table], [f"{here}.{table}"]):
            raise left_out(f"computed relationships ('{relation}'): add a foreign key, or call the function")


def _fits(join: Join, here: str, table: str, item: Embedded) -> bool:
    if (join.schema, join.table) == (here, table):
        return _fits_itself(join, item)
    return _is_named(join, item.relation) and (item.hint is None or _is_hinted(join, item.hint))


def _fits_itself(join: Join, item: Embedded) -> bool:
    """Resolve a self-reference: a table name means the rows that refer to this one, a column the row it refers to."""
    columns = join.key.columns if join.key else ()
    if item.hint is None and (item.relation,) == columns:
        return join.cardinality == "many-to-one"
    hinted = item.hint is None or (item.hint,) == columns
    return hinted and item.relation == join.table and join.cardinality == "one-to-many"


def _is_named(join: Join, relation: str) -> bool:
    if relation == join.table:
        return True
    if join.key is None:
        return False
    outgoing = (join.key.target_schema, join.key.target_table) == (join.schema, join.table)
    return relation == join.name or (outgoing and (relation,) == join.key.columns)


def _is_hinted(join: Join, hint: str) -> bool:
    """Resolve a hint: the junction table, or the foreign key or one of its only two columns."""
    return hint == join.name or (len(join.columns) == 1 and hint in join.columns[0])
