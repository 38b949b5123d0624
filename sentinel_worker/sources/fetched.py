"""A file that has arrived in a request's private folder."""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

FILE_NAME: Final = "media"
"""What every fetched file is called: a name of the user's reaches no decoder."""


@dataclass(frozen=True, slots=True)
class Fetched:
    """Where it lies, and what it was when it was read."""

    path: Path
    size_bytes: int
    sha256: str
    etag: str | None = None
    notice: str | None = None
    """A sentence for the evidence: what of the source is not in the file."""
    source_url: str | None = None
    """The URL that was asked for, without what may be a secret in it; None for files from elsewhere."""
