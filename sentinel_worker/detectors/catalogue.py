"""The operator's detectors: a TOML file that changes built-in detectors and adds others.

One error names every mistake in the file, as `detectors.KEY.FIELD: what is wrong`.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from sentinel_worker.detectors.catalogue_entry import Entry
from sentinel_worker.detectors.catalogue_spec import Mistakes, make_spec
from sentinel_worker.detectors.registry import DETECTORS, DetectorSpec
from sentinel_worker.domain.errors import Fatal
from sentinel_worker.domain.machine_errors import raise_if_passing

# The database accepts only these keys.
_KEY = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")


def read_detectors(path: Path | None) -> Mapping[str, DetectorSpec]:
    """Return the built-in detectors with the changes and additions of the file at `path`.

    Paths in the file are relative to it. Raises Fatal('bad_detectors') with one line for each mistake.
    """
    if path is None:
        return DETECTORS
    tables = _tables(path)
    specs, lines = dict(DETECTORS), list[str]()
    for key, table in tables.items():
        mistakes = Mistakes()
        spec = _read_entry(key, table, path.parent.resolve(), mistakes)
        if spec is not None:
            specs[key] = spec
        lines += [f"detectors.{key}{'.' if field else ''}{field}: {said}" for field, said in mistakes]
    if lines:
        raise Fatal("bad_detectors", "\n".join(lines))
    return specs


def _read_entry(key: str, table: Any, folder: Path, mistakes: Mistakes) -> DetectorSpec | None:
    if _KEY.fullmatch(key) is None:
        mistakes.add("", "a key has at most 64 lowercase letters, digits, dots, dashes and underscores")
    if not isinstance(table, dict):
        mistakes.add("", "is not a table")
        return None
    try:
        entry = Entry.model_validate(table)
    except ValidationError as error:
        for item in error.errors(include_url=False):
            mistakes.add(".".join(str(part) for part in item["loc"]), _sentence(item["type"], item["msg"]))
        return None
    return make_spec(key, entry, folder, mistakes)


def _tables(path: Path) -> dict[str, Any]:
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise_if_passing(error)
        raise Fatal("bad_detectors", f"The detectors file {path.name} cannot be read ({error.strerror}).") from error
    except ValueError as error:
        raise Fatal("bad_detectors", f"The detectors file {path.name} is not TOML: {error}.") from error
    tables = content.pop("detectors", {})
    if content or not isinstance(tables, dict):
        other = ", ".join(content) or "detectors"
        raise Fatal("bad_detectors", f"{other}: the file may hold only tables [detectors.KEY]")
    return tables


def _sentence(kind: str, message: str) -> str:
    if kind == "extra_forbidden":
        return "is not a known field"
    return message.removeprefix("Value error, ").removeprefix("Input ")
