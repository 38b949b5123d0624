"""Runs processes out of memory: by their own limit, or by a control group's, where the kernel kills."""

import asyncio
import re
import resource
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from uuid import uuid4

CONTROL_GROUPS = Path("/sys/fs/cgroup")
ROOM_BYTES = 16 << 20
BALLAST = """
import re, sys
from pathlib import Path
counter, processes = map(Path, sys.argv[1:])
processes.write_text("0")
held = []
for _ in range(128):
    held.append(b"x" * (1 << 20))
    if not re.search("^oom_kill 0$", counter.read_text(), re.MULTILINE):
        sys.exit(0)
sys.exit("nothing was killed")
"""
"""Takes memory page by page until the kernel kills a process. It stays smaller than a worker, to be spared."""


@contextmanager
def memory_left(free_bytes: int, pid: int = 0) -> Iterator[None]:
    """Refuse a process (0: this one) allocations of more than `free_bytes` beyond its present size."""
    status = Path(f"/proc/{pid or 'self'}/status").read_text("ascii")
    [kilobytes] = re.findall(r"^VmData:\s+(\d+) kB$", status, re.MULTILINE)
    hard = resource.prlimit(pid, resource.RLIMIT_DATA)[1]
    before = resource.prlimit(pid, resource.RLIMIT_DATA, (int(kilobytes) * 1024 + free_bytes, hard))
    try:
        yield
    finally:
        with suppress(ProcessLookupError):  # it may have ended for lack of memory
            resource.prlimit(pid, resource.RLIMIT_DATA, before)


@contextmanager
def no_new_threads() -> Iterator[None]:
    """Refuse this process threads: their stacks do not fit, and no stack of a thread that has ended is as large."""
    before = threading.stack_size(64 << 20)
    try:
        with memory_left(16 << 20):
            yield
    finally:
        threading.stack_size(before)


class MemoryGroup:
    """A control group of version 1 or 2, without a limit yet. Raises `OSError` if none can be made."""

    def __init__(self) -> None:
        parent = group_of_version_1("memory")
        self._first_version = parent is not None
        self.folder = (parent or CONTROL_GROUPS) / f"sentinel-test-{uuid4().hex}"
        self.folder.mkdir()
        try:
            self._write("memory.swappiness" if self._first_version else "memory.swap.max", "0")
        except OSError:
            self.folder.rmdir()
            raise

    @property
    def kills(self) -> int:
        """Number of processes that the kernel has killed for lack of memory."""
        return int(re.findall(r"^oom_kill (\d+)$", self._counter.read_text(), re.MULTILINE)[0])

    def add(self, pid: int) -> None:
        """Move a process into the group; its later memory and its later children count."""
        self._write("cgroup.procs", str(pid))

    async def run_out(self) -> None:
        """Use up the group's memory until the kernel has killed a process, then free it."""
        used = int((self.folder / ("memory.usage_in_bytes" if self._first_version else "memory.current")).read_text())
        self._limit(str(used + ROOM_BYTES))
        ballast = await asyncio.create_subprocess_exec(
            *(sys.executable, "-I", "-S", "-c", BALLAST, str(self._counter), str(self.folder / "cgroup.procs")),
            stderr=asyncio.subprocess.PIPE,
        )
        _, said = await ballast.communicate()
        self._limit("-1" if self._first_version else "max")
        assert ballast.returncode == 0, said.decode()

    async def remove(self) -> None:
        """Remove the group, once its processes have ended."""
        async with asyncio.timeout(30):
            while (self.folder / "cgroup.procs").read_text():
                await asyncio.sleep(0.05)  # the kernel announces no change of a process's memory
        self.folder.rmdir()

    @property
    def _counter(self) -> Path:
        return self.folder / ("memory.oom_control" if self._first_version else "memory.events")

    def _limit(self, value: str) -> None:
        self._write("memory.limit_in_bytes" if self._first_version else "memory.max", value)

    def _write(self, name: str, value: str) -> None:
        (self.folder / name).write_text(value)


def group_of_version_1(controller: str, pid: int | str = "self") -> Path | None:
    """Return the control group of a process, or None where groups of version 2 have that controller."""
    for line in Path(f"/proc/{pid}/cgroup").read_text().splitlines():
        _, controllers, path = line.split(":", 2)
        if controller in controllers.split(","):
            return CONTROL_GROUPS / controller / path.lstrip("/")
    return None
