"""Removal of a folder that hostile code may have filled."""

import os
from contextlib import suppress
from pathlib import Path
from uuid import uuid4


def clear(folder: Path) -> None:
    """Remove `folder` once its writers are dead, however deep it is and whatever its permissions are.

    Files go first and nothing is made, so a disk without space or inodes does not stop it. Deeper folders are moved to
    the top: paths, stacks and descriptors, of which `shutil.rmtree` takes one per level, run out before a chain of
    folders does.
    """
    top = os.fspath(folder)
    with suppress(OSError):
        waiting = _without_files(top)
        while waiting:
            emptied = waiting.pop()
            for deeper in _without_files(emptied):
                waiting.append(os.path.join(top, uuid4().hex))  # noqa: PTH118
                os.rename(deeper, waiting[-1])  # noqa: PTH104
            os.rmdir(emptied)  # noqa: PTH106
        os.rmdir(top)  # noqa: PTH106


def _without_files(folder: str) -> list[str]:
    """Remove what is not a folder; return the folders, which can be entered and moved."""
    folders = []
    with os.scandir(folder) as found:
        entries = list(found)
    for entry in entries:
        if entry.is_dir(follow_symlinks=False):
            os.chmod(entry.path, 0o700)  # noqa: PTH101 the entry's own path
            folders.append(entry.path)
        else:
            os.unlink(entry.path)  # noqa: PTH108
    return folders
