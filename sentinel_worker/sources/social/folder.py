"""The folder that the post's process writes to; whatever it makes there, looking and removing come to an end."""

from __future__ import annotations

import itertools
import os
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Final

MAX_ENTRIES: Final = 10_000
"""Empty files take no blocks, but the disk has not many of them either."""


def is_overfull(folder: Path, limit_bytes: int) -> bool:
    """Whether more than `limit_bytes` or `MAX_ENTRIES` lie in it; what cannot be looked at counts as too much."""
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


def clear(folder: Path) -> None:
    """Remove it once the process is dead, however deep it is and whatever rights are in it.

    Folders are brought to the top first: paths, stacks and descriptors, of which `shutil.rmtree` takes one a level,
    come to an end before a chain of folders does.
    """
    with suppress(OSError), tempfile.TemporaryDirectory(dir=folder.parent, ignore_cleanup_errors=True) as top:
        names = itertools.count()
        waiting = [os.fspath(folder)]
        while waiting:
            emptied = waiting.pop()
            with os.scandir(emptied) as found:
                entries = list(found)
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    os.chmod(entry.path, 0o700)  # noqa: PTH101 the entry's own path
                    waiting.append(os.path.join(top, str(next(names))))  # noqa: PTH118
                    os.rename(entry.path, waiting[-1])  # noqa: PTH104
                else:
                    os.unlink(entry.path)  # noqa: PTH108
            os.rmdir(emptied)  # noqa: PTH106
