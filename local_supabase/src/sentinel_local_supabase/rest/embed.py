"""Choice of the foreign key that an embedded resource of a select list follows."""

from __future__ import annotations

from dataclasses import dataclass

from sentinel_local_supabase.rest.query import Embedded
from sentinel_local_supabase.rest.rest_errors import RestError
from sentinel_local_supabase.rest.schema import ForeignKey, Schema, nearest

_CARDINALITIES = ("one-to-many", "many-to-one", "one-to-one")
"""Cardinalities in the order in which PostgREST lists ambiguous relationships."""


@dataclass(frozen=True, slots=True)
class Join:
    """The related table, the pairs (column here, column there), and a flag for at most one row."""

    schema: str
    table: str
    columns: tuple[tuple[str, str], ...]
    one: bool
    key: ForeignKey
    outgoing: bool

    @property
    def cardinality(self) -> str:
        """The cardinality of the relationship, seen from here."""
        return "one-to-one" if self.key.unique else "many-to-one" if self.outgoing else "one-to-many"

    @property
    def place(self) -> tuple[str, str, int, str]:
        """Sort key among the joins that fit an embedding."""
        return self.schema, self.table, _CARDINALITIES.index(self.cardinality), self.key.name


def find_join(schema: Schema, here: str, table: str, item: Embedded) -> Join:
    """Return the only join that fits `item`. Raises PGRST200 (none) or PGRST201 (several)."""
    joins = [join for key in schema.foreign_keys for join in _directions(key, here, table)]
    fitting = sorted((join for join in joins if _fits(join, here, table, item)), key=lambda join: join.place)
    if not fitting:
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
        names = ", ".join(f"'{item.relation}!{join.key.name}'" for join in fitting)
        raise RestError(
            300,
            "PGRST201",
            f"Could not embed because more than one relationship was found for '{table}' and '{item.relation}'",
            details=[_described(join, table) for join in fitting],
            hint=f"Try changing '{item.relation}' to one of the following: {names}. "
            "Find the desired relationship in the 'details' key.",
        )
    return fitting[0]


def _directions(key: ForeignKey, here: str, table: str) -> list[Join]:
    joins = []
    if (key.schema, key.table) == (here, table):
        pairs = tuple(zip(key.columns, key.target_columns, strict=True))
        joins.append(Join(key.target_schema, key.target_table, pairs, one=True, key=key, outgoing=True))
    if (key.target_schema, key.target_table) == (here, table):
        pairs = tuple(zip(key.target_columns, key.columns, strict=True))
        joins.append(Join(key.schema, key.table, pairs, one=key.unique, key=key, outgoing=False))
    return joins


def _fits(join: Join, here: str, table: str, item: Embedded) -> bool:
    if (join.schema, join.table) == (here, table):
        return _fits_itself(join, item)
    return _is_named(join, item.relation) and (item.hint is None or _is_hinted(join, item.hint))


def _fits_itself(join: Join, item: Embedded) -> bool:
    """Resolve a self-reference: a table name means the rows that refer to this one, a column the row it refers to."""
    if item.hint is None and (item.relation,) == join.key.columns:
        return join.cardinality == "many-to-one"
    hinted = item.hint is None or (item.hint,) == join.key.columns
    return hinted and item.relation == join.table and join.cardinality == "one-to-many"


def _is_named(join: Join, relation: str) -> bool:
    return relation in (join.table, join.key.name) or (join.outgoing and (relation,) == join.key.columns)


def _described(join: Join, table: str) -> dict[str, str]:
    here, there = (", ".join(pair[side] for pair in join.columns) for side in (0, 1))
    return {
        "cardinality": join.cardinality,
        "embedding": f"{table} with {join.table}",
        "relationship": f"{join.key.name} using {table}({here}) and {join.table}({there})",
    }


def _is_hinted(join: Join, hint: str) -> bool:
    return hint in (join.key.name, join.table) or (hint,) == join.key.columns
