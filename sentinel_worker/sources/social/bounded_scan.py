"""Bounded scan of the folder that the post's process writes to."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import Final

MAX_ENTRIES: Final = 10_000
"""Limit of entries: empty files take no blocks, but they use up inodes."""


def is_overfull(folder: Path, limit_bytes: int) -> bool:
    """Return True if `folder` contains more than `limit_bytes` or `MAX_ENTRIES`, or if it cannot be scanned."""
    total = entries = 0
    waiting = [os.fspath(folder)]
    try:
        while waiting:
            with suppress(FileNotFoundError), os.scandir(waiting.pop()) as found:
                for entry in found:
                    entries += 1
                    with suppress(FileNotFoundError):
                        total += entry.stat(follow_symlinks=False).st_blocks * 512
                    if total > limit_bytes or entries > MAX_ENTRIES:
                        return True
                    if entry.is_dir(follow_symlinks=False):
                        waiting.append(entry.path)
    except OSError:
        return True
    return False
