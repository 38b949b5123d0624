"""Loader for named queries in the package's `.sql` files: each begins with a line `-- name: some_name`."""

from __future__ import annotations

import re
from importlib import resources

_NAME = re.compile(r"^-- name: (\w+)$", re.MULTILINE)


def load_queries(file_name: str) -> dict[str, str]:
    """Return the queries of `file_name` by name, with `$1`, `$2`, … as parameters."""
    text = (resources.files(__package__) / file_name).read_text()
    pieces = _NAME.split(text)[1:]
    return dict(zip(pieces[::2], (query.strip().rstrip(";") for query in pieces[1::2]), strict=True))
