"""Mounts an empty private /tmp, so that every file found there later was left by the run."""

from __future__ import annotations

import ctypes
import os
import sys
from pathlib import Path

PLACES = (Path("/tmp"), Path("/var/tmp"), Path("/dev/shm"))

_CLONE_NEWNS, _CLONE_NEWUSER = 0x00020000, 0x10000000
_MS_REC, _MS_PRIVATE = 0x4000, 1 << 18


def have_own_tmp() -> bool:
    """Cover `PLACES` for this process and its children. False if the kernel or the program's location forbids it.

    Call it while the process has only one thread.
    """
    program = [Path(place).resolve() for place in (sys.prefix, sys.base_prefix, __file__)]
    if any(place.is_relative_to(covered) for place in program for covered in PLACES):
        return False
    libc = ctypes.CDLL(None, use_errno=True)
    user, group = os.geteuid(), os.getegid()
    if libc.unshare(_CLONE_NEWNS) != 0:
        if libc.unshare(_CLONE_NEWUSER | _CLONE_NEWNS) != 0:
            return False
        Path("/proc/self/setgroups").write_text("deny", "ascii")
        Path("/proc/self/uid_map").write_text(f"{user} {user} 1", "ascii")
        Path("/proc/self/gid_map").write_text(f"{group} {group} 1", "ascii")
    if libc.mount(b"none", b"/", None, _MS_REC | _MS_PRIVATE, None) != 0:
        return False
    return all(libc.mount(b"tmpfs", os.fsencode(place), b"tmpfs", 0, None) == 0 for place in PLACES if place.is_dir())
