"""A file's bytes without reading them all: the parts that are looked at come from the kernel's cache."""

from __future__ import annotations

from mmap import ACCESS_READ, mmap
from pathlib import Path


def mapped(path: Path) -> mmap:
    """Map a file that is not empty; it is unmapped when nothing refers to the map any more."""
    with path.open("rb") as file:
        return mmap(file.fileno(), 0, access=ACCESS_READ)
