"""PostgREST's URL grammar: `select`, filters, `and`, `or` and `order`, parsed into the records of query."""

from __future__ import annotations

import re
from collections.abc import Callable

from sentinel_local_supabase.rest.query import (
    IS_VALUES,
    OPERATORS,
    TEXT_SEARCH,
    Embedded,
    Field,
    Filter,
    Logic,
    Order,
    Selected,
)
from sentinel_local_supabase.rest.rest_errors import RestError, left_out
from sentinel_local_supabase.rest.scanner import Scanner

_QUANTIFIED = ("eq", "gt", "gte", "lt", "lte", "like", "ilike", "match", "imatch")
_AGGREGATE = re.compile(r"\.(count|sum|avg|min|max)\(\)")
_OPERATOR = re.compile(r"(not\.)?([a-z]+)(?:\((\w+)\))?\.", re.DOTALL)
_ORDER = re.compile(r"(?:\.(asc|desc))?(?:\.(nullsfirst|nullslast))?(?=,|$)")
_SPREAD = re.compile(r" *\.\.\.")
_SELECT_EXPECTS = '"...", field name (* or [a..z0..9_$]), "*" or "count()"'


def parse_select(text: str) -> tuple[Selected | Embedded, ...]:
    """Parse a `select` parameter into items. Raises PGRST100."""
    scanner = Scanner(text, "select parameter", _SELECT_EXPECTS)
    if not text:
        return (Selected(Field("*")),)
    items = _select_items(scanner)
    if scanner.at < len(text):
        raise scanner.refuse()
    return items


def _select_items(scanner: Scanner) -> tuple[Selected | Embedded, ...]:
    items = [_select_item(scanner)]
    while scanner.take(","):
        items.append(_select_item(scanner))
    return tuple(items)


def _select_item(scanner: Scanner) -> Selected | Embedded:
    if scanner.match(_SPREAD):
        raise left_out(f"spread embedding ('...{scanner.name()}'): embed it as an object or array")
    alias, target = None, scanner.field()
    if scanner.text.startswith(":", scanner.at) and not scanner.text.startswith("::", scanner.at):
        scanner.need(":")
        alias, target = target.name, scanner.field()
    if scanner.match(_AGGREGATE) or (target == Field("count") and scanner.take("()")):
        raise RestError(400, "PGRST123", "Use of aggregate functions is not allowed")
    hints = []
    while scanner.take("!"):
        hints.append(scanner.name())
    if scanner.text.startswith("(", scanner.at):
        with scanner.nested():
            items = () if scanner.text.startswith(")", scanner.at) else _select_items(scanner)
        named = [hint for hint in hints if hint not in ("inner", "left")]
        return Embedded(target.name, alias, named[0] if named else None, "inner" in hints, items)
    cast = scanner.until(",)") if scanner.take("::") else None
    return Selected(target, alias, cast)


def parse_filter(name: str, text: str) -> Filter:
    """Parse a parameter `name=text` into a filter. Raises PGRST100."""
    scanner = Scanner(text, "filter", '"not" or operator (eq, gt, ...)')
    target = Scanner(name, "filter", "field name").field()
    return _filter(scanner, target, lambda: scanner.text[scanner.at :])


def is_condition(text: str) -> bool:
    """Return True if a parameter's value looks like a filter rather than a function argument."""
    found = _OPERATOR.match(text)
    return found is not None and found[2] in OPERATORS


def parse_logic(name: str, text: str) -> Logic:
    """Parse a parameter `and=(…)`, `or=(…)`, `not.and=(…)` or `not.or=(…)` into a tree. Raises PGRST100."""
    scanner = Scanner(text, "logic tree", "field name or logic operator")
    tree = _logic_children(scanner, name.removeprefix("not."), name.startswith("not."))
    if scanner.at < len(text):
        raise scanner.refuse("end of input")
    return tree


def _logic_children(scanner: Scanner, operator: str, negated: bool) -> Logic:
    with scanner.nested():
        children = [_logic_child(scanner)]
        while scanner.take(","):
            children.append(_logic_child(scanner))
    return Logic(operator, tuple(children), negated)


_NESTED = re.compile(r"(not\.)?(and|or)(?=\()")


def _logic_child(scanner: Scanner) -> Filter | Logic:
    nested = scanner.match(_NESTED)
    if nested is not None:
        return _logic_children(scanner, nested[2], nested[1] is not None)
    target = scanner.field()
    scanner.need(".")
    return _filter(scanner, target, lambda: _logic_value(scanner))


def _logic_value(scanner: Scanner) -> str:
    return scanner.quoted() if scanner.take('"') else scanner.until(",)")


def _filter(scanner: Scanner, target: Field, value: Callable[[], str]) -> Filter:
    start = scanner.at
    found = scanner.match(_OPERATOR)
    if found is None or found[2] not in OPERATORS:
        scanner.at = start
        raise scanner.refuse('"not" or operator (eq, gt, ...)')
    negated, operator, modifier = found[1] is not None, found[2], found[3]
    quantified = operator in _QUANTIFIED and modifier in ("any", "all")
    if modifier is not None and operator not in TEXT_SEARCH and not quantified:
        scanner.at = start
        raise scanner.refuse('"not" or operator (eq, gt, ...)')
    if operator == "in":
        return Filter(target, operator, _list(scanner), negated)
    text = value()
    if operator == "is" and text.lower() not in IS_VALUES:
        raise scanner.refuse("null, not_null, true, false or unknown")
    return Filter(target, operator, text, negated, modifier)


def _list(scanner: Scanner) -> tuple[str, ...]:
    scanner.need("(")
    items: list[str] = []
    while not scanner.take(")"):
        if scanner.at >= len(scanner.text):
            raise scanner.refuse('")"')
        items.append(scanner.quoted() if scanner.take('"') else scanner.until(",)", braces=False))
        scanner.take(",")
    return tuple(items)


def parse_order(text: str) -> tuple[Order, ...]:
    """Parse an `order` parameter into terms. Raises PGRST100."""
    if not text:
        return ()
    scanner = Scanner(text, "order", "asc, desc, nullsfirst or nullslast")
    terms = [_order_term(scanner)]
    while scanner.take(","):
        terms.append(_order_term(scanner))
    return tuple(terms)


def _order_term(scanner: Scanner) -> Order:
    target, relation = scanner.field(), None
    if scanner.take("("):
        relation, target = target.name, scanner.field()
        scanner.need(")")
    found = scanner.match(_ORDER)
    if found is None:
        raise scanner.refuse()
    nulls = found[2].removeprefix("nulls") if found[2] else None
    return Order(target, found[1] == "desc", nulls, relation)
