"""Landlock without a library: limits the files that a process may open and, on newer kernels, its connections and
signals.

Numbers are from the kernel's `linux/landlock.h`. A kernel reports the version (ABI) it knows, and is asked for no more.
"""

from __future__ import annotations

import ctypes
import os
import stat
import struct
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from sentinel_worker.confine.layers import Walls

TCP_ABI, SCOPES_ABI = 4, 6
"""First versions that can refuse TCP (4), and signals and abstract Unix sockets (6)."""

_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446
_ASK_VERSION: Final = 1
_PATH_BENEATH, _NET_PORT = 1, 2

_EXECUTE, _WRITE_FILE, _READ_FILE, _READ_DIR = 1 << 0, 1 << 1, 1 << 2, 1 << 3
_REMOVE_DIR, _REMOVE_FILE, _MAKE_DIR, _MAKE_REGULAR = 1 << 4, 1 << 5, 1 << 7, 1 << 8
_REFER, _TRUNCATE, _IOCTL_DEVICE, _CONNECT_UNIX = 1 << 13, 1 << 14, 1 << 15, 1 << 16
_FIRST_RIGHTS: Final = (1 << 13) - 1
_LATER_RIGHTS: Final = {2: _REFER, 3: _TRUNCATE, 5: _IOCTL_DEVICE, 9: _CONNECT_UNIX}
_OF_FILES: Final = _EXECUTE | _WRITE_FILE | _READ_FILE | _TRUNCATE
_READ: Final = _READ_FILE | _READ_DIR
_WRITE: Final = _WRITE_FILE | _REMOVE_DIR | _REMOVE_FILE | _MAKE_DIR | _MAKE_REGULAR | _REFER | _TRUNCATE
_BIND_TCP, _CONNECT_TCP = 1 << 0, 1 << 1
_ABSTRACT_UNIX, _SIGNAL = 1 << 0, 1 << 1


class LandlockError(Exception):
    """Landlock is missing from the kernel or disabled."""


def restrict(libc: ctypes.CDLL, walls: Walls) -> int:
    """Close the file system to this process for ever, except for what `walls` names; returns the kernel's ABI.

    `PR_SET_NO_NEW_PRIVS` must be set before. Raises `LandlockError`, and `OSError` for a path that does not exist.
    """
    abi = _call(libc, _CREATE_RULESET, None, 0, _ASK_VERSION)
    if abi < 1:
        raise LandlockError(os.strerror(ctypes.get_errno()))
    handled = _handled(abi, walls)
    ruleset = _checked(_call(libc, _CREATE_RULESET, handled, len(handled), 0))
    try:
        rights = _file_rights(abi)
        readable = _READ | (_EXECUTE if walls.may_fork else 0)
        _add(libc, ruleset, walls.readable, readable & rights)
        _add(libc, ruleset, walls.writable, (readable | _WRITE) & rights)
        if abi >= TCP_ABI and walls.network == "shared":
            _add_ports(libc, ruleset, walls.connect_ports)
        _checked(_call(libc, _RESTRICT_SELF, ruleset, 0))
    finally:
        os.close(ruleset)
    return abi


def _handled(abi: int, walls: Walls) -> bytes:
    tcp = _BIND_TCP | _CONNECT_TCP if abi >= TCP_ABI and walls.network != "own_namespace" else 0
    scopes = _ABSTRACT_UNIX | _SIGNAL if abi >= SCOPES_ABI else 0
    return struct.pack("=QQQ", _file_rights(abi), tcp, scopes)


def _file_rights(abi: int) -> int:
    """All rights that this kernel can refuse."""
    return _FIRST_RIGHTS | sum(right for since, right in _LATER_RIGHTS.items() if since <= abi)


def _add(libc: ctypes.CDLL, ruleset: int, paths: Iterable[Path], rights: int) -> None:
    for path in paths:
        descriptor = os.open(path, os.O_PATH | os.O_CLOEXEC)
        try:
            is_directory = stat.S_ISDIR(os.fstat(descriptor).st_mode)
            rule = struct.pack("=Qi", rights if is_directory else rights & _OF_FILES, descriptor)
            _checked(_call(libc, _ADD_RULE, ruleset, _PATH_BENEATH, rule, 0))
        finally:
            os.close(descriptor)


def _add_ports(libc: ctypes.CDLL, ruleset: int, ports: Iterable[int]) -> None:
    """Allow connections to `ports` at any address: Landlock knows only ports."""
    for port in ports:
        _checked(_call(libc, _ADD_RULE, ruleset, _NET_PORT, struct.pack("=QQ", _CONNECT_TCP, port), 0))


def _call(libc: ctypes.CDLL, number: int, *arguments: bytes | int | None) -> int:
    # A plain int would fill only half of the register.
    wide = [ctypes.c_long(value) if isinstance(value, int) else value for value in arguments]
    return int(libc.syscall(ctypes.c_long(number), *wide))


def _checked(result: int) -> int:
    if result < 0:
        raise OSError(ctypes.get_errno(), f"Landlock: {os.strerror(ctypes.get_errno())}")
    return result
