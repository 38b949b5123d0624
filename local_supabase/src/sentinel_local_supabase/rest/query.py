"""Parsed queries as plain records: select lists, filters, and/or trees, orders and ranges."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace

from sentinel_local_supabase.rest.rest_errors import RestError

OPERATORS = {
    "eq": "=", "neq": "<>", "gt": ">", "gte": ">=", "lt": "<", "lte": "<=", "like": "like",
    "ilike": "ilike", "match": "~", "imatch": "~*", "cs": "@>", "cd": "<@", "ov": "&&", "sl": "<<",
    "sr": ">>", "nxr": "&<", "nxl": "&>", "adj": "-|-", "isdistinct": "is distinct from", "in": "= any",
    "is": "is", "fts": "to_tsquery", "plfts": "plainto_tsquery", "phfts": "phraseto_tsquery",
    "wfts": "websearch_to_tsquery",
}  # fmt: skip
IS_VALUES = ("null", "not_null", "true", "false", "unknown")
TEXT_SEARCH = ("fts", "plfts", "phfts", "wfts")


_INDEX = re.compile(r"-?\d{1,9}", re.ASCII)


def is_index(key: str) -> bool:
    """Return True if a key of a JSON path is an array index: a number that fits PostgreSQL's int."""
    return _INDEX.fullmatch(key) is not None


@dataclass(frozen=True, slots=True)
class Field:
    """A column and the JSON path into it: pairs of ('->' or '->>', key)."""

    name: str
    path: tuple[tuple[str, str], ...] = ()

    @property
    def label(self) -> str:
        """The name of the result: the last key of the path that is not an index."""
        keys = [key for _, key in self.path if not is_index(key)]
        return keys[-1] if keys else self.name


@dataclass(frozen=True, slots=True)
class Selected:
    """One column of a select list; the name `*` stands for all."""

    field: Field
    alias: str | None = None
    cast: str | None = None


@dataclass(frozen=True, slots=True)
class Embedded:
    """A related resource of a select list: `alias:relation!hint!inner(items)`."""

    relation: str
    alias: str | None
    hint: str | None
    inner: bool
    items: tuple[Selected | Embedded, ...]

    @property
    def label(self) -> str:
        """The name of the result, which the request's other parameters use."""
        return self.alias or self.relation


@dataclass(frozen=True, slots=True)
class Filter:
    """Filter `field.[not.]operator[(modifier)].value`; the modifier is any, all or a text search language."""

    field: Field
    operator: str
    value: str | tuple[str, ...]
    negated: bool = False
    modifier: str | None = None


@dataclass(frozen=True, slots=True)
class Logic:
    """Condition tree `[not.]and(…)` or `[not.]or(…)`."""

    operator: str
    children: tuple[Filter | Logic, ...]
    negated: bool = False


@dataclass(frozen=True, slots=True)
class Order:
    """One term of an order; `nulls` is 'first', 'last' or None for PostgreSQL's default.

    `relation` is the embedded resource (with at most one row) that has the field.
    """

    field: Field
    descending: bool
    nulls: str | None
    relation: str | None = None


@dataclass(slots=True)
class Query:
    """The parameters of a request for one resource; `embedded` holds those with a dotted prefix."""

    select: tuple[Selected | Embedded, ...] = (Selected(Field("*")),)
    conditions: list[Filter | Logic] = field(default_factory=list)
    order: tuple[Order, ...] = ()
    limit: int | None = None
    offset: int = 0
    embedded: dict[str, Query] = field(default_factory=dict)

    def of(self, item: Embedded) -> Query:
        """Return the query for an embedded resource."""
        return replace(self.embedded.get(item.label, Query()), select=item.items)

    def embedded_item(self, name: str) -> Embedded | None:
        """Return the embedded resource of the select list with this name."""
        items = (item for item in self.select if isinstance(item, Embedded))
        return next((item for item in items if item.label == name), None)

    def require_selected(self) -> None:
        """Raise PGRST108 for a filter, order or limit on a resource that is not selected."""
        for name, inner in self.embedded.items():
            item = self.embedded_item(name)
            if item is None:
                raise not_embedded(name)
            replace(inner, select=item.items).require_selected()


def not_embedded(name: str) -> RestError:
    """Return PGRST108: `name` is used as an embedded resource but is not one."""
    return RestError(
        400,
        "PGRST108",
        f"'{name}' is not an embedded resource in this request",
        hint=f"Verify that '{name}' is included in the 'select' query parameter.",
    )
