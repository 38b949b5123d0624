"""Removing a folder that something hostile may have filled."""

import itertools
import os
import tempfile
from contextlib import suppress
from pathlib import Path


def clear(folder: Path) -> None:
    """Remove it once what wrote there is dead, however deep it is and whatever rights are in it.

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
