"""Compiler from parsed queries to SQL: names are quoted, values are bound, and PostgreSQL builds the JSON.

This is a query compiler, so its SQL is written here and not in a `.sql` file.
"""

# ruff: noqa: S608 - a query compiler: every name is quoted, every value is bound
from __future__ import annotations

import re
from dataclasses import dataclass, field

from sentinel_local_supabase.rest.embed import find_join
from sentinel_local_supabase.rest.query import (
    OPERATORS,
    TEXT_SEARCH,
    Embedded,
    Field,
    Filter,
    Logic,
    Order,
    Query,
    Selected,
    is_index,
    not_embedded,
)
from sentinel_local_supabase.rest.relationships import Join, Pairs
from sentinel_local_supabase.rest.rest_errors import RestError
from sentinel_local_supabase.rest.schema import Relation, Schema

MAX_ROWS = 1000
_TYPE_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_ ]*(\[\])*$")


def quote(name: str) -> str:
    """Quote an SQL identifier."""
    return '"' + name.replace('"', '""') + '"'


def literal(text: str) -> str:
    """Quote an SQL string literal (standard_conforming_strings is on)."""
    return "'" + text.replace("'", "''") + "'"


@dataclass(slots=True)
class Bindings:
    """Values of one statement, in the order of their `$n`."""

    values: list[str] = field(default_factory=list)

    def bind(self, value: str) -> str:
        """Bind a value and return its placeholder; PostgreSQL infers the type from its place."""
        self.values.append(value)
        return f"${len(self.values)}"


@dataclass(frozen=True, slots=True)
class Source:
    """A source of columns: the SQL name that qualifies them, and their types if known."""

    name: str
    schema: str
    table: str
    types: dict[str, str]

    @staticmethod
    def of(relation: Relation, name: str | None = None) -> Source:
        """Return the relation as a source, optionally under another `name`."""
        types = {column.name: column.type for column in relation.columns.values()}
        qualified = name or f"{quote(relation.schema)}.{quote(relation.name)}"
        return Source(qualified, relation.schema, relation.name, types)


class Compiler:
    """Compiles one request; its bindings belong to one statement."""

    def __init__(self, schema: Schema, bindings: Bindings) -> None:
        self._schema = schema
        self._bindings = bindings
        self._aliases = 0

    def column(self, source: Source, target: Field) -> str:
        """Compile a column, or the value at a JSON path in it."""
        text = f"{source.name}.{quote(target.name)}"
        if not target.path:
            return text
        if source.types.get(target.name) not in ("json", "jsonb"):
            text = f"to_jsonb({text})"
        for arrow, key in target.path:
            text += arrow + (key if is_index(key) else literal(key))
        return text

    def select_list(self, source: Source, query: Query) -> str:
        """Compile the columns and embedded resources of a SELECT."""
        # `relation()` selects nothing: it is only for joins and filters.
        items = [item for item in query.select if not isinstance(item, Embedded) or item.items]
        return ", ".join(self._selected(source, item, query) for item in items)

    def _selected(self, source: Source, item: Selected | Embedded, query: Query) -> str:
        if isinstance(item, Embedded):
            return f"{self._embedded(source, item, query)} as {quote(item.label)}"
        if item.field.name == "*":
            return f"{source.name}.*"
        text = self.column(source, item.field)
        if item.cast is not None:
            if _TYPE_NAME.match(item.cast) is None:
                raise RestError(400, "PGRST100", f"failed to parse the cast to {item.cast}")
            text = f"cast({text} as {item.cast})"
        return f"{text} as {quote(item.alias or item.field.label)}"

    def where(self, source: Source, query: Query, extra: tuple[str, ...] = ()) -> str:
        """Compile ` where …` from all conditions and the embedded resources that must exist; empty without any."""
        parts = [*extra, *(self._condition(source, one, query) for one in query.conditions)]
        parts += [
            self._exists(source, item, query) for item in query.select if isinstance(item, Embedded) and item.inner
        ]
        return " where " + " and ".join(parts) if parts else ""

    def order(self, source: Source, query: Query) -> str:
        """Compile ` order by …`; empty without an order."""
        texts = []
        for term in query.order:
            nulls = f" nulls {term.nulls}" if term.nulls else ""
            key = self._related(source, term, query) if term.relation else self.column(source, term.field)
            texts.append(f"{key} {'desc' if term.descending else 'asc'}{nulls}")
        return " order by " + ", ".join(texts) if texts else ""

    def _condition(self, source: Source, one: Filter | Logic, query: Query) -> str:
        if isinstance(one, Filter) and (item := query.embedded_item(one.field.name)) and _asks_for_null(one):
            return f"{'' if one.negated else 'not '}{self._exists(source, item, query)}"
        if isinstance(one, Logic):
            parts = [self._condition(source, child, query) for child in one.children]
            text = "(" + f" {one.operator} ".join(parts) + ")"
        else:
            text = self._comparison(self.column(source, one.field), one, source)
        return f"not {text}" if one.negated else text

    def _comparison(self, column: str, one: Filter, source: Source) -> str:
        operator = OPERATORS[one.operator]
        if isinstance(one.value, tuple):
            return f"{column} = any({self._bindings.bind(_array(one.value))})"
        if one.operator == "is":
            return f"{column} is {one.value.lower().replace('_', ' ')}"
        if one.operator in TEXT_SEARCH:
            language = f"{literal(one.modifier)}, " if one.modifier else ""
            is_vector = not one.field.path and source.types.get(one.field.name) == "tsvector"
            vector = column if is_vector else f"to_tsvector({language}{column})"
            return f"{vector} @@ {operator}({language}{self._bindings.bind(one.value)})"
        value = one.value.replace("*", "%") if one.operator in ("like", "ilike") else one.value
        placeholder = self._bindings.bind(value)
        if one.modifier in ("any", "all"):
            placeholder = f"{one.modifier}({placeholder})"
        return f"{column} {operator} {placeholder}"

    def _embedded(self, source: Source, item: Embedded, outer: Query) -> str:
        related, query = self._joined(source, item), outer.of(item)
        text = f"select {self.select_list(related.source, query)} from {related.tables}"
        text += self.where(related.source, query, related.conditions) + self.order(related.source, query)
        if related.join.one:
            return f"(select row_to_json(_row) from ({text} limit 1) _row)"
        return f"(select coalesce(json_agg(_row), '[]'::json) from ({text}{row_range(query)}) _row)"

    def _exists(self, source: Source, item: Embedded, outer: Query) -> str:
        related = self._joined(source, item)
        where = self.where(related.source, outer.of(item), related.conditions)
        return f"exists (select from {related.tables}{where})"

    def _related(self, source: Source, term: Order, query: Query) -> str:
        """Compile a column of an embedded resource that orders the parent rows."""
        item = query.embedded_item(term.relation or "")
        if item is None:
            raise not_embedded(term.relation or "")
        related = self._joined(source, item)
        if not related.join.one:
            raise RestError(
                400,
                "PGRST118",
                f"A related order on '{item.label}' is not possible",
                details=f"'{source.table}' and '{item.label}' do not form a many-to-one or one-to-one relationship",
            )
        column = self.column(related.source, term.field)
        where = self.where(related.source, query.of(item), related.conditions)
        return f"(select {column} from {related.tables}{where})"

    def _joined(self, source: Source, item: Embedded) -> _Related:
        join = find_join(self._schema, source.schema, source.table, item)
        self._aliases += 1
        relation = self._schema.relations[join.schema, join.table]
        inner = Source.of(relation, quote(f"{join.table}_{self._aliases}"))
        tables = f"{quote(join.schema)}.{quote(join.table)} as {inner.name}"
        if join.junction is None:
            return _Related(join, inner, tables, _equal(source.name, inner.name, join.columns))
        near, far = join.junction.here, join.junction.there
        between = quote(f"{near.table}_{self._aliases}_between")
        tables += f", {quote(near.schema)}.{quote(near.table)} as {between}"
        pairs = (tuple(zip(key.target_columns, key.columns, strict=True)) for key in (near, far))
        conditions = [_equal(one, between, pair) for one, pair in zip((source.name, inner.name), pairs, strict=True)]
        return _Related(join, inner, tables, (*conditions[0], *conditions[1]))


@dataclass(frozen=True, slots=True)
class _Related:
    """An embedded resource: its join and source, and the text after `from` with the conditions that join it."""

    join: Join
    source: Source
    tables: str
    conditions: tuple[str, ...]


def _equal(here: str, there: str, columns: Pairs) -> tuple[str, ...]:
    return tuple(f"{there}.{quote(right)} = {here}.{quote(left)}" for left, right in columns)


def row_range(query: Query) -> str:
    """Compile ` limit … offset …`, at most MAX_ROWS."""
    limit = MAX_ROWS if query.limit is None else min(query.limit, MAX_ROWS)
    return f" limit {limit}" + (f" offset {query.offset}" if query.offset else "")


def _asks_for_null(one: Filter) -> bool:
    return one.operator == "is" and isinstance(one.value, str) and one.value.lower() == "null"


def _array(values: tuple[str, ...]) -> str:
    escaped = (value.replace("\\", "\\\\").replace('"', '\\"') for value in values)
    return "{" + ",".join(f'"{value}"' for value in escaped) + "}"
