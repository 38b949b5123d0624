"""Checks the surroundings that no file may change: outside files, processes left behind, growing memory."""

from __future__ import annotations

import gc
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from sentinel_worker.media.zygote import Zygote

_FLAT_BYTES = 32 * 1024**2


class Surroundings:
    """State before the first file, to compare with later states while no child runs."""

    def __init__(self, zygote: Zygote, folder: Path, watched: Sequence[Path]) -> None:
        assert zygote.pid is not None
        self._zygote = zygote
        self._pid = zygote.pid
        self._places = [folder, *watched]
        self._files = self._seen()
        self._descriptors = _descriptors()
        self._sizes: list[tuple[int, int]] = []

    def changes(self) -> list[str]:
        """Report files that appeared, processes and descriptors left over and a dead zygote; measure memory."""
        gc.collect()
        self._sizes.append((_own_bytes(os.getpid()), _own_bytes(self._zygote.pid or self._pid)))
        found = [f"a file outside the private folders: {name}" for name in sorted(self._seen() - self._files)]
        if self._zygote.restarts or self._zygote.pid != self._pid:
            found.append(f"the zygote died: {self._zygote.last_failure}")
        found += [f"process {pid} stayed" for pid in _session(self._pid) if pid != self._pid]
        if _descriptors() > self._descriptors:
            found.append("descriptors of the worker stayed open")
        return found

    def memory(self) -> str:
        """The latest measurement."""
        worker, zygote = self._sizes[-1]
        return f"own memory of the worker {worker / 2**20:.1f} MiB, of the zygote {zygote / 2**20:.1f} MiB"

    def growth(self) -> list[str]:
        """Name each process that grew after the first batch, which warms it up."""
        return [
            f"{name} grew from {first >> 20} to {last >> 20} MiB"
            for name, first, last in zip(("the worker", "the zygote"), self._sizes[0], self._sizes[-1], strict=True)
            if last - first > _FLAT_BYTES
        ]

    def left_over(self) -> list[str]:
        """Processes that outlived the zygote."""
        return [f"process {pid} outlived the zygote" for pid in _session(self._pid)]

    def _seen(self) -> set[tuple[str, int, int]]:
        found = set()
        for path in (path for place in self._places for path in place.rglob("*")):
            status = path.lstat()
            # A folder's time changes whenever an entry comes or goes.
            found.add((str(path), 0, 0) if path.is_dir() else (str(path), status.st_mtime_ns, status.st_size))
        return found


def _descriptors() -> int:
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


def _session(leader: int) -> Iterator[int]:
    """Processes in the zygote's session, which a child cannot leave."""
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                status = (entry / "stat").read_text("utf-8").rpartition(")")[2].split()
            except (FileNotFoundError, ProcessLookupError):
                continue
            if int(status[3]) == leader and status[0] != "Z":
                yield int(entry.name)


def _own_bytes(pid: int) -> int:
    """Anonymous memory: a share of the libraries' pages would grow when another process that maps them ends."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text("ascii").splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("Anonymous:"))
