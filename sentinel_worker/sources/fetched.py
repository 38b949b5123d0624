"""A file that has arrived in a request's private folder."""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

FILE_NAME: Final = "media"
"""Name of every fetched file: names chosen by users never reach a decoder."""


@dataclass(frozen=True, slots=True)
class Fetched:
    """A fetched file: its path, and its size and hash when it was read."""

    path: Path
    size_bytes: int
    sha256: str
    etag: str | None = None
    notice: str | None = None
    """A sentence for the evidence: the parts of the source that are missing from the file."""
    source_url: str | None = None
    """The requested URL without possible secrets; None for files that do not come from a URL."""
