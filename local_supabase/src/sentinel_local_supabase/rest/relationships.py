"""Relationships of a table: the joins that its foreign keys and those of junction tables allow."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from sentinel_local_supabase.rest.schema import ForeignKey, Schema

_CARDINALITIES = ("one-to-many", "many-to-one", "one-to-one", "many-to-many")
"""Cardinalities in the order in which PostgREST lists ambiguous relationships."""

Pairs = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Junction:
    """A table whose primary key contains two foreign keys: one to the table here, one to the related table."""

    here: ForeignKey
    there: ForeignKey

    @property
    def schema(self) -> str:
        """The junction table's schema."""
        return self.here.schema

    @property
    def table(self) -> str:
        """The junction table's name."""
        return self.here.table


@dataclass(frozen=True, slots=True)
class Join:
    """The related table, and how to reach it: `columns` are the pairs (column here, column there) of a foreign key.

    Through a junction there are no such pairs, and `name` is the junction table instead of the foreign key.
    """

    schema: str
    table: str
    cardinality: str
    name: str
    columns: Pairs = ()
    key: ForeignKey | None = None
    junction: Junction | None = None

    @property
    def one(self) -> bool:
        """True if a row has at most one related row."""
        return self.cardinality in ("many-to-one", "one-to-one")

    @property
    def place(self) -> tuple[str, ...]:
        """Sort key among the joins that fit an embedding."""
        cardinality = str(_CARDINALITIES.index(self.cardinality))
        keys = (self.junction.here.name, self.junction.there.name) if self.junction else ()
        return (self.schema, self.table, cardinality, self.name, *keys)

    def described(self, table: str) -> dict[str, str]:
        """Return the join from `table` as PostgREST lists it among ambiguous ones."""
        if self.junction is None:
            here, there = (_listed(pair[side] for pair in self.columns) for side in (0, 1))
            relationship = f"{self.name} using {table}{here} and {self.table}{there}"
        else:
            keys = (self.junction.here, self.junction.there)
            relationship = f"{self.name} using " + " and ".join(f"{key.name}{_listed(key.columns)}" for key in keys)
        embedding = f"{table} with {self.table}"
        return {"cardinality": self.cardinality, "embedding": embedding, "relationship": relationship}


def joins_of(schema: Schema, here: str, table: str) -> list[Join]:
    """Return every join from `here.table`."""
    direct = [join for key in schema.foreign_keys for join in _directions(key, here, table)]
    return [*direct, *_through_junctions(schema, here, table)]


def _directions(key: ForeignKey, here: str, table: str) -> list[Join]:
    joins = []
    if (key.schema, key.table) == (here, table):
        pairs = tuple(zip(key.columns, key.target_columns, strict=True))
        cardinality = "one-to-one" if key.unique else "many-to-one"
        joins.append(Join(key.target_schema, key.target_table, cardinality, key.name, pairs, key))
    if (key.target_schema, key.target_table) == (here, table):
        pairs = tuple(zip(key.target_columns, key.columns, strict=True))
        cardinality = "one-to-one" if key.unique else "one-to-many"
        joins.append(Join(key.schema, key.table, cardinality, key.name, pairs, key))
    return joins


def _through_junctions(schema: Schema, here: str, table: str) -> Iterator[Join]:
    # As in PostgREST, a table is not embedded into itself through a junction.
    keys = [key for key in schema.foreign_keys if not key.unique]
    for near in keys:
        if (near.target_schema, near.target_table) != (here, table):
            continue
        primary_key = set(schema.relations[near.schema, near.table].primary_key)
        for far in keys:
            same = (far.schema, far.table) == (near.schema, near.table)
            itself = (far.target_schema, far.target_table) == (here, table)
            if same and not itself and {*near.columns, *far.columns} <= primary_key:
                junction = Junction(near, far)
                yield Join(far.target_schema, far.target_table, "many-to-many", near.table, junction=junction)


def _listed(columns: Iterator[str] | tuple[str, ...]) -> str:
    return f"({', '.join(columns)})"
