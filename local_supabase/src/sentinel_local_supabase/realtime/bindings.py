"""Strict parsing of a postgres_changes binding: event, schema, table and filter.

The grammar and the error messages are those of the real server (2.128).
"""

import json
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

COMPARISONS: Final = ("eq", "neq", "lt", "lte", "gt", "gte", "in", "is", "isdistinct")
PATTERNS: Final = ("like", "ilike", "match", "imatch")
OPERATORS: Final = COMPARISONS + PATTERNS
EVENTS: Final = ("INSERT", "UPDATE", "DELETE")
UNREADABLE: Final = "Error parsing `filter` params"
NO_LIST: Final = 'Error parsing `select` params: expected a list of column name strings, e.g. select: ["col1", "col2"]'
NO_TABLE: Final = (
    "Column selection is not supported for wildcard subscriptions. Provide an explicit schema and table name."
)


class BadBinding(ValueError):
    """Invalid binding; the message is sent to the client."""


@dataclass(frozen=True, slots=True)
class Filter:
    """Filter `column op value`, negated by `not.`; the value of `in` is a PostgreSQL array literal."""

    column: str
    op: str
    value: str
    negate: bool

    def as_json(self) -> dict[str, Any]:
        """Convert to the form that the database functions take."""
        return {"column": self.column, "op": self.op, "value": self.value, "negate": self.negate}


@dataclass(frozen=True, slots=True)
class Binding:
    """One binding of a subscription. `schema` and `table` may be `*`; events carry its `id`.

    `select` names the columns to send besides the primary key; None: all.
    """

    id: int
    event: str
    schema: str
    table: str
    filters: tuple[Filter, ...]
    select: tuple[str, ...] | None = None

    def matches(self, schema: str, table: str) -> bool:
        """Return True if the binding covers changes of this table."""
        return self.schema in {"*", schema} and self.table in {"*", table}

    def filters_json(self) -> str:
        """Serialize the filters in the form that the database functions take."""
        return json.dumps([f.as_json() for f in self.filters])

    def __str__(self) -> str:
        filters = ", ".join(
            "{" + ", ".join((_quote(f.column), _quote(f.op), _quote(f.value), str(f.negate).lower())) + "}"
            for f in self.filters
        )
        where = f"schema: {self.schema}, table: {self.table}"
        select = "nil" if self.select is None else "[" + ", ".join(map(_quote, self.select)) + "]"
        return f"event: {self.event}, {where}, filters: [{filters}], select: {select}"


def binding_id(wish: Mapping[str, Any]) -> int:
    """Return the id of a binding: equal bindings have equal ids, in every connection."""
    return zlib.crc32(json.dumps(wish, sort_keys=True).encode()) % 2**27


def read_binding(wish: Mapping[str, Any]) -> Binding:
    """Parse one element of `config.postgres_changes`. Raises BadBinding."""
    select = _read_select(wish.get("select"))
    schema, table = wish.get("schema"), wish.get("table")
    named = [name for name in (schema, table) if name is not None]
    if (
        not named
        or not all(isinstance(name, str) for name in named)
        or ("filter" in wish and not (isinstance(wish["filter"], str) and schema and table))
    ):
        raise BadBinding(
            "No subscription params provided. Please provide at least a `schema` or `table` to subscribe to: "
            + _inspect(wish)
        )
    if select is not None and "*" in (schema, table or "*"):
        raise BadBinding(NO_TABLE)
    event = str(wish.get("event", "*")).upper()
    return Binding(
        id=binding_id(wish),
        event=event if event in EVENTS else "*",
        schema=schema or "public",
        table=table or "*",
        filters=tuple(_read_filter(part) for part in _split(wish.get("filter", "").strip()) if part),
        select=select,
    )


def _read_select(columns: object) -> tuple[str, ...] | None:
    if isinstance(columns, str):
        raise BadBinding(NO_LIST)
    chosen = {column for column in columns if isinstance(column, str)} if isinstance(columns, list) else set()
    return tuple(sorted(chosen)) or None


def _read_filter(text: str) -> Filter:
    column, equals, rest = text.strip().partition("=")
    if not equals:
        raise BadBinding(f"{UNREADABLE}: [{_quote(column)}]")
    negate = rest.startswith("not.")
    op, dot, value = rest.removeprefix("not.").partition(".")
    if not dot or op not in OPERATORS:
        parts = ", ".join(_quote(part) for part in ([op, value] if dot else [op]))
        raise BadBinding(f"{UNREADABLE}: [{parts}]")
    if op == "in":
        if not (value.startswith("(") and value.endswith(")")):
            raise BadBinding(f"{UNREADABLE}: `in` filter value must be wrapped by parentheses")
        value = "{" + value[1:-1] + "}"
    elif len(value) > 1 and value.startswith('"') and value.endswith('"'):
        value = value[1:-1].replace('\\"', '"').replace("\\\\", "\\")
    return Filter(column, op, value, negate)


def _split(text: str) -> list[str]:
    """Split at commas outside parentheses and quotes."""
    parts, depth, quoted, start = [], 0, False, 0
    for index, character in enumerate(text):
        if character == '"' and (quoted or text[index - 1 : index] in {".", "(", ","}):
            quoted = not quoted
        elif not quoted:
            depth += (character == "(") - (character == ")")
            if character == "," and depth == 0:
                parts.append(text[start:index])
                start = index + 1
    parts.append(text[start:])
    return parts


def _quote(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


def _inspect(wish: Mapping[str, Any]) -> str:
    """Format a binding as Elixir prints a map, which clients see in messages."""
    values = ", ".join(
        f"{_quote(key)} => {'nil' if value is None else json.dumps(value, ensure_ascii=False)}"
        for key, value in sorted(wish.items())
    )
    return "%{" + values + "}"
