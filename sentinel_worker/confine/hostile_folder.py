"""Removal of a folder that hostile code may have filled."""

import itertools
import os
import tempfile
from contextlib import suppress
from pathlib import Path


def clear(folder: Path) -> None:
    """Remove `folder` once its writers are dead, however deep it is and whatever its permissions are.

    Subfolders are moved to the top first: paths, stacks and descriptors, of which `shutil.rmtree` takes one per level,
    run out before a chain of folders does.
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
