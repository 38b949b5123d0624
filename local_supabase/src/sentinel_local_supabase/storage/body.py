"""Parsing of Storage's request bodies like the real server's schemas: values are converted or refused in its words.

A reader takes the path of a value (`body/limit`) and the value, and returns the converted value or raises
InvalidRequest. As with Ajv in Fastify, "7" becomes 7, null becomes "" or 0, and a value becomes an array of one.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from typing import Any

from starlette.requests import Request

from sentinel_local_supabase.json_input import LARGEST_BIGINT, NotJson, parse_json
from sentinel_local_supabase.storage.storage_errors import invalid_request

Reader = Callable[[str, Any], Any]
_DECIMAL = re.compile(r"[+-]?\d+(?:\.\d+)?(?:e[+-]?\d+)?", re.ASCII | re.IGNORECASE)
_LONGEST_DECIMAL = 400


async def read_body(request: Request, fields: Mapping[str, Reader], *required: str) -> dict[str, Any]:
    """Return those of `fields` that the request's body has. Raises InvalidRequest."""
    try:
        parsed = parse_json(await request.body() or b"{}")
    except NotJson as error:
        raise invalid_request("Body is not valid JSON") from error
    values: dict[str, Any] = part(fields, *required)("body", parsed)
    return values


def part(fields: Mapping[str, Reader], *required: str) -> Reader:
    """Return a reader of objects; keys other than `fields` are dropped."""

    def read(place: str, value: Any) -> dict[str, Any]:
        if not isinstance(value, dict):
            raise invalid_request(f"{place} must be object")
        for name in required:
            if name not in value:
                raise invalid_request(f"{place} must have required property '{name}'")
        return {name: reader(f"{place}/{name}", value[name]) for name, reader in fields.items() if name in value}

    return read


def text(place: str, value: Any) -> str:
    """Read a text."""
    value = _only(value)
    if value is None or isinstance(value, bool | int | float):
        return "" if value is None else json.dumps(value)
    if not isinstance(value, str):
        raise invalid_request(f"{place} must be string")
    return value


def choice(*allowed: str) -> Reader:
    """Return a reader of one of the texts `allowed`."""

    def read(place: str, value: Any) -> str:
        chosen = text(place, value)
        if chosen not in allowed:
            raise invalid_request(f"{place} must be equal to one of the allowed values")
        return chosen

    return read


def whole(least: int) -> Reader:
    """Return a reader of whole numbers from `least` to PostgreSQL's largest."""

    def read(place: str, value: Any) -> int:
        number = _number(_only(value))
        if number is None or number % 1:
            raise invalid_request(f"{place} must be integer")
        if number < least:
            raise invalid_request(f"{place} must be >= {least}")
        return min(int(number), LARGEST_BIGINT)

    return read


def flag(place: str, value: Any) -> bool:
    """Read a boolean."""
    value = _only(value)
    if isinstance(value, dict | list) or value not in (True, False, None, "true", "false"):
        raise invalid_request(f"{place} must be boolean")
    return value in (True, "true")


def texts(least: int = 0) -> Reader:
    """Return a reader of arrays of at least `least` texts."""

    def read(place: str, value: Any) -> list[str]:
        if isinstance(value, dict):
            raise invalid_request(f"{place} must be array")
        values = value if isinstance(value, list) else [value]
        if len(values) < least:
            raise invalid_request(f"{place} must NOT have fewer than {least} items")
        return [text(f"{place}/{index}", one) for index, one in enumerate(values)]

    return read


def or_null(reader: Reader) -> Reader:
    """Return `reader` extended to accept null as absent."""
    return lambda place, value: None if value is None else reader(place, value)


def _only(value: Any) -> Any:
    return value[0] if isinstance(value, list) and len(value) == 1 else value


def _number(value: Any) -> int | float | None:
    if value is None or isinstance(value, bool | int | float):
        return value or 0
    if not isinstance(value, str) or len(value) > _LONGEST_DECIMAL or not _DECIMAL.fullmatch(value):
        return None
    number = float(value)
    return number if abs(number) < float("inf") else None
