"""A user and a network namespace for one process, without a library."""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import os
import socket
import struct
from pathlib import Path
from typing import Final

_CLONE_NEWUSER, _CLONE_NEWNET, _CLONE_NEWIPC = 0x10000000, 0x40000000, 0x08000000
_CAPABILITY_VERSION_3: Final = 0x20080522
_SIOCSIFFLAGS: Final = 0x8914
_IFF_UP: Final = 1


def enter(libc: ctypes.CDLL) -> tuple[list[str], dict[str, str]]:
    """Leave the worker's namespaces; returns the layers now in force, and the reason for each missing one.

    A user namespace also hides the worker's environment: the kernel refuses to open its `/proc/<pid>/environ`.
    """
    user, group = os.geteuid(), os.getegid()
    if libc.unshare(_CLONE_NEWUSER | _CLONE_NEWNET | _CLONE_NEWIPC) == 0:
        _map_identity(user, group)
        return ["user_namespace", "network_namespace"], {}
    refused = {"user_namespace": os.strerror(ctypes.get_errno())}
    if libc.unshare(_CLONE_NEWNET) == 0:
        return ["network_namespace"], refused
    return [], refused | {"network_namespace": os.strerror(ctypes.get_errno())}


def enter_sharing_network(libc: ctypes.CDLL) -> tuple[list[str], dict[str, str]]:
    """Like `enter`, but stay in the machine's network."""
    user, group = os.geteuid(), os.getegid()
    missing = {"network_namespace": "not requested"}
    if libc.unshare(_CLONE_NEWUSER | _CLONE_NEWIPC) == 0:
        _map_identity(user, group)
        return ["user_namespace"], missing
    return [], missing | {"user_namespace": os.strerror(ctypes.get_errno())}


def raise_loopback() -> None:
    """Bring up `lo` in a new network namespace; call it before the capabilities are dropped."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        fcntl.ioctl(any_socket, _SIOCSIFFLAGS, struct.pack("16sH14x", b"lo", _IFF_UP))


def drop_capabilities(libc: ctypes.CDLL) -> None:
    """Drop all capabilities: the first process of a user namespace holds every one in it, and root holds all."""
    header = (ctypes.c_uint32 * 2)(_CAPABILITY_VERSION_3, 0)
    nothing = (ctypes.c_uint32 * 6)()
    if libc.capset(header, nothing) != 0:
        raise OSError(ctypes.get_errno(), "capset")


def _map_identity(user: int, group: int) -> None:
    """Map this user and group into the namespace. AppArmor's rules for user namespaces may refuse the files; an
    unmapped user is confined just as well."""
    with contextlib.suppress(PermissionError):
        Path("/proc/self/setgroups").write_bytes(b"deny")
        Path("/proc/self/uid_map").write_bytes(b"%d %d 1" % (user, user))
        Path("/proc/self/gid_map").write_bytes(b"%d %d 1" % (group, group))
