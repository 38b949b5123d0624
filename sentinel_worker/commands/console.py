"""Printing and writing shared by the commands."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rich.markup import escape

from sentinel_worker.domain.errors import Fatal


def plain(text: object) -> str:
    """Escape `text` for rich: a file's name may look like markup or contain control characters or undecodable bytes."""
    shown = "".join(char if char.isprintable() or char == "\n" else ascii(char)[1:-1] for char in str(text))
    return escape(shown)


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Raise Fatal('report_unwritable') if the block cannot write to `path`."""
    try:
        yield
    except OSError as error:
        raise Fatal("report_unwritable", f"{path} cannot be written: {error.strerror}.") from error


@contextmanager
def needs_extra(name: str) -> Iterator[None]:
    """Raise Fatal('extra_missing') if the block imports a package of this extra that is not installed."""
    try:
        yield
    except ModuleNotFoundError as error:
        package = str(error.name).partition(".")[0]
        raise Fatal("extra_missing", f"{package} is not installed: pip install 'sentinel-worker[{name}]'") from error
