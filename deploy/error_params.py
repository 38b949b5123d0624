"""The values that the worker passes with each code of a failed request, read from its source."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import Final

SOURCE: Final = Path(__file__).parents[1] / "sentinel_worker"
RAISED: Final = frozenset({"Permanent", "Transient"})
KINDS: Final = {
    "asked": "MediaKind",
    "cpu_seconds": "number",
    "crashes": "number",
    "detector": "string | null",
    "found": "string",
    "host": "string",
    "limit": "number",
    "limit_seconds": "number",
    "media_kind": "MediaKind",
    "seconds": "number",
    "stage": "Stage",
    "status": "number",
}
"""Types of the values, by key."""


FROM_SQL: Final = {
    "detector_unavailable": {"detector", "media_kind"},
    "no_worker": {"detector", "media_kind"},
    "worker_lost": {"crashes"},
}
"""Keys that the database passes."""


def params_by_code() -> dict[str, dict[str, str]]:
    """Return the TypeScript type of each key that every error of a code carries, by code.

    A key that only some of a code's errors carry is optional: its name ends with `?`. Raises LookupError for a key
    that is not in KINDS.
    """
    found: dict[str, list[set[str]]] = {code: [keys] for code, keys in FROM_SQL.items()}
    for path in sorted(SOURCE.rglob("*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        for code, keys in _raised(tree):
            found.setdefault(code, []).append(keys)
    named: dict[str, dict[str, str]] = {}
    for code, passed in found.items():
        always = set.intersection(*passed)
        keys = set.union(*passed)
        if unknown := keys - KINDS.keys():
            raise LookupError(f"name a type in KINDS for {sorted(unknown)}, which errors with the code {code} carry")
        if keys:
            named[code] = {key if key in always else f"{key}?": KINDS[key] for key in keys}
    return named


def _raised(tree: ast.Module) -> Iterator[tuple[str, set[str]]]:
    assigned = dict(_assigned(tree))
    for node in ast.walk(tree):
        match node:
            case ast.Call(func=ast.Name(id=name), args=[ast.Constant(value=str(code)), *_], keywords=keywords) if (
                name in RAISED
            ):
                given = next((keyword.value for keyword in keywords if keyword.arg == "params"), None)
                yield code, _keys(given, assigned)


def _keys(given: ast.expr | None, assigned: dict[str, ast.Dict]) -> set[str]:
    if isinstance(given, ast.Name):
        given = assigned.get(given.id)
    if not isinstance(given, ast.Dict):
        return set()
    return {str(key.value) for key in given.keys if isinstance(key, ast.Constant)}


def _assigned(tree: ast.Module) -> Iterator[tuple[str, ast.Dict]]:
    for node in ast.walk(tree):
        match node:
            case ast.Assign(targets=[ast.Tuple(elts=names)], value=ast.Tuple(elts=values)):
                pairs = list(zip(names, values, strict=False))
            case ast.Assign(targets=[name], value=value):
                pairs = [(name, value)]
            case _:
                continue
        for name, value in pairs:
            if isinstance(name, ast.Name) and isinstance(value, ast.Dict):
                yield name.id, value
