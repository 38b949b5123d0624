"""Machines that lack something: a small disk, and a process that gets no more descriptors."""

from __future__ import annotations

import os
import resource
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


@contextmanager
def small_disk(folder: Path, *, megabytes: int = 16, inodes: int = 200) -> Iterator[Path]:
    """Mount a memory file system of that size on `folder`; skips the test where nothing may be mounted."""
    folder.mkdir(exist_ok=True)
    options = f"size={megabytes}m,nr_inodes={inodes},mode=0700"
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
