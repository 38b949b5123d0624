"""Strict parsing of untrusted JSON, limited to a depth that can be written again."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable
from typing import Any

LEVELS = 500
"""Largest depth. Python uses one stack frame a level of JSON and has 1,000 frames."""

LARGEST_BIGINT = 2**63 - 1
_BIGINT_DIGITS = 19
_LONE_SURROGATE = re.compile("[\ud800-\udfff]")


class NotJson(ValueError):
    """Invalid JSON: bad syntax or encoding, or a number or depth that readers do not support."""


def parse_json(raw: bytes | str) -> Any:
    """Parse JSON into a value that can be written as JSON again. Raises NotJson.

    Lone surrogates become U+FFFD, as in Go and Node: UTF-8 cannot encode them.
    """
    text, value = _read(raw, int)
    if text.count("[") + text.count("{") > LEVELS and _is_deep(value):
        raise NotJson(f"more than {LEVELS} levels")
    return value


def parse_outline(raw: bytes | str) -> Any:
    """Parse JSON that PostgreSQL will parse again: to any readable depth, with None for whole numbers."""
    return _read(raw, lambda _: None)[1]


def _read(raw: bytes | str, read_whole: Callable[[str], Any]) -> tuple[str, Any]:
    try:
        text = raw if isinstance(raw, str) else raw.decode()
        value = json.loads(text, parse_int=read_whole, parse_float=_finite, parse_constant=_finite)
        if r"\u" in text and _LONE_SURROGATE.search(written := json.dumps(value, ensure_ascii=False)):
            value = json.loads(_LONE_SURROGATE.sub("\ufffd", written))
    except (ValueError, RecursionError) as error:
        raise NotJson(str(error)) from error
    return text, value


def bigint(digits: str) -> int:
    """Parse ASCII digits, capped at the largest bigint of PostgreSQL."""
    significant = digits.lstrip("0")
    if len(significant) > _BIGINT_DIGITS:
        return LARGEST_BIGINT
    return min(int(significant or "0"), LARGEST_BIGINT)


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"{text} is not a JSON number")
    return number


def _is_deep(value: Any) -> bool:
    level, depth = [value], 0
    while level:
        if depth == LEVELS:
            return True
        depth += 1
        level = [
            inner
            for one in level
            if isinstance(one, dict | list)
            for inner in (one.values() if isinstance(one, dict) else one)
            if isinstance(inner, dict | list)
        ]
    return False
