"""Sentences for pictures that cannot be read."""

from __future__ import annotations

from typing import Final

from sentinel_worker.domain.errors import Permanent

MAX_MISSING: Final = 0.05
"""Share of a picture that may be missing: it is analyzed, and called truncated."""


def cut_off() -> Permanent:
    """Return the error for a file that ends before its picture does."""
    return Permanent("media_truncated", "The picture ends too early: the upload was cut off.")


def damaged() -> Permanent:
    """Return the error for a file that is not what its format says."""
    return Permanent("media_unreadable", "The picture is damaged and cannot be decoded.")


def not_supported(what: str) -> Permanent:
    """Return the error for a valid picture of a kind that nothing here decodes ("a lossless JPEG")."""
    return Permanent(
        "media_not_supported", f"The picture cannot be analyzed: {what} is not supported.", params={"found": what}
    )


def check_missing(share: float) -> float:
    """Return the share of a picture that is missing; refuse it as cut off if that is too much."""
    if share > MAX_MISSING:
        raise cut_off()
    return share
