"""Machines that lack something: a small disk, and a process that gets no more descriptors or processes."""

from __future__ import annotations

import os
import resource
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from uuid import uuid4

import pytest

from tests.memory import CONTROL_GROUPS, group_of_version_1


@contextmanager
def small_disk(folder: Path, *, kibibytes: int = 16 << 10, inodes: int = 200) -> Iterator[Path]:
    """Mount a memory file system of that size on `folder`; skips the test where nothing may be mounted."""
    folder.mkdir(exist_ok=True)
    options = f"size={kibibytes}k,nr_inodes={inodes},mode=0700"
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", options, "tmpfs", folder], capture_output=True, text=True, check=False
    )
    if mounted.returncode != 0:
        pytest.skip(f"a small file system cannot be mounted here: {mounted.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True)


@contextmanager
def filled(disk: Path, *, spare_bytes: int = 0) -> Iterator[None]:
    """Leave `spare_bytes` on the disk."""
    ballast = disk / "bytes"
    status = os.statvfs(disk)
    try:
        with ballast.open("wb") as file:
            os.posix_fallocate(file.fileno(), 0, status.f_bavail * status.f_frsize - spare_bytes)
        yield
    finally:
        ballast.unlink(missing_ok=True)


@contextmanager
def without_inodes(disk: Path, *, spare: int = 0) -> Iterator[None]:
    """Leave `spare` inodes on the disk."""
    ballast = disk / "inodes"
    ballast.mkdir()
    try:
        for number in range(os.statvfs(disk).f_favail - spare):
            (ballast / str(number)).touch()
        yield
    finally:
        shutil.rmtree(ballast)


@contextmanager
def without_descriptors(pid: int, *, spare: int = 0) -> Iterator[None]:
    """Leave a process (0: this one) `spare` more descriptors than it has."""
    before = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    listed = list(Path(f"/proc/{pid or 'self'}/fd").iterdir())
    used = {int(entry.name) for entry in listed if entry.is_symlink()}  # without the one that listed them
    free = (number for number in range(len(used) + spare + 1) if number not in used)
    limit = next(number for index, number in enumerate(free) if index == spare)
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (limit, before[1]))
    try:
        yield
    finally:
        resource.prlimit(pid, resource.RLIMIT_NOFILE, before)


@contextmanager
def without_processes(pid: int, *, spare: int = 0) -> Iterator[None]:
    """Leave a process and its descendants `spare` more processes and threads than they have, as `TasksMax=` does.

    Skips the test where no control group can limit them.
    """
    parent = group_of_version_1("pids", pid) or CONTROL_GROUPS
    group = parent / f"sentinel-test-{uuid4().hex}"
    try:
        group.mkdir()
    except OSError as error:
        pytest.skip(f"a control group that limits processes cannot be made here: {error}")
    try:
        if not (group / "pids.max").exists():
            pytest.skip("no control group limits processes here")
        for one in (pid, *descendants(pid)):
            _move(one, group)
        # Without a spare one, the end of a thread makes no room either.
        (group / "pids.max").write_text(str(int((group / "pids.current").read_text()) + spare if spare else 0))
        yield
    finally:
        with suppress(FileNotFoundError):
            (group / "pids.max").write_text("max")
        while members := (group / "cgroup.procs").read_text().split():  # any of them may fork meanwhile
            for member in members:
                _move(int(member), parent)
        group.rmdir()


def descendants(pid: int) -> Iterator[int]:
    """Yield the ids of the processes below a process."""
    for children in Path(f"/proc/{pid}/task").glob("*/children"):
        with suppress(FileNotFoundError, ProcessLookupError):  # a thread that has just ended
            for child in map(int, children.read_text().split()):
                yield child
                yield from descendants(child)


def _move(pid: int, group: Path) -> None:
    with suppress(ProcessLookupError):  # it has ended
        (group / "cgroup.procs").write_text(str(pid))
