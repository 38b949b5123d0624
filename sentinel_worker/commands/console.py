"""What commands that print and write about files have in common."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rich.markup import escape

from sentinel_worker.domain.errors import Fatal


def plain(text: object) -> str:
    """`text` for rich: a file's name is no markup, moves no cursor, and may hold bytes that are no text."""
    shown = "".join(char if char.isprintable() or char == "\n" else ascii(char)[1:-1] for char in str(text))
    return escape(shown)


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Raises Fatal('report_unwritable') where the block cannot write to `path`."""
    try:
        yield
    except OSError as error:
        raise Fatal("report_unwritable", f"{path} cannot be written: {error.strerror}.") from error


@contextmanager
def needs_extra(name: str) -> Iterator[None]:
    """Raises Fatal('extra_missing') where the block imports what only this extra of the package installs."""
    try:
        yield
    except ModuleNotFoundError as error:
        package = str(error.name).partition(".")[0]
        raise Fatal("extra_missing", f"{package} is missing: pip install 'sentinel-worker[{name}]'") from error
