"""The walls around a decoding child, put up after the fork and before the first byte of media is read.

Every wall is a layer with a name. Network is the one that must not fail: either the child has its own
empty network namespace, or a system call filter refuses sockets; `apply` raises where neither holds.
"""

from __future__ import annotations

import ctypes
import os
import resource
import signal
from pathlib import Path
from typing import Final

from sentinel_worker.media.facts import MediaLimits
from sentinel_worker.media.seccomp import install_filter

NETWORK_LAYERS: Final = frozenset({"network_namespace", "seccomp"})

_MAX_FILE_BYTES: Final = 64 * 1024**2
_MAX_OPEN_FILES: Final = 64
_PR_SET_PDEATHSIG, _PR_SET_DUMPABLE, _PR_SET_NO_NEW_PRIVS = 1, 4, 38
_CLONE_NEWUSER, _CLONE_NEWNET, _CLONE_NEWIPC = 0x10000000, 0x40000000, 0x08000000
_CAPABILITY_VERSION_3: Final = 0x20080522

_libc = ctypes.CDLL(None, use_errno=True)


class SandboxError(Exception):
    """The kernel grants no way to keep the child off the network."""


def apply(limits: MediaLimits, directory: Path, *, allow_network: bool = False) -> list[str]:
    """Confine this process to `directory` and `limits`; returns the names of the layers in force.

    Call it once, in a single-threaded process, after the last file descriptor was opened. Raises
    `SandboxError` when no network layer holds, unless `allow_network`.
    """
    os.umask(0o077)
    os.chdir(directory)
    layers = [_limit_resources(limits), *_enter_namespaces()]
    _prctl(_PR_SET_NO_NEW_PRIVS, 1)
    layers.append("no_new_privileges")
    if install_filter(_libc):
        layers.append("seccomp")
    if not allow_network and NETWORK_LAYERS.isdisjoint(layers):
        raise SandboxError("neither a network namespace nor a system call filter is permitted here")
    return layers


def hide_memory() -> None:
    """Close this process's memory and environment to others of its user, so that a child cannot read a key there.

    Nor does a crash write them into a core dump.
    """
    _prctl(_PR_SET_DUMPABLE, 0)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def die_with_parent(parent: int) -> None:
    """Ask the kernel to kill this process when `parent` ends; leave at once if it already has.

    The request is dropped by a change of credentials, so it comes after every other layer.
    """
    _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(0)


def _limit_resources(limits: MediaLimits) -> str:
    """RLIMIT_NPROC is left out: it counts all processes of the user; the system call filter forbids forks."""
    for name, soft, hard in (
        (resource.RLIMIT_AS, limits.max_memory_bytes, limits.max_memory_bytes),
        (resource.RLIMIT_CPU, limits.max_cpu_seconds, limits.max_cpu_seconds + 1),
        (resource.RLIMIT_FSIZE, _MAX_FILE_BYTES, _MAX_FILE_BYTES),
        (resource.RLIMIT_NOFILE, _MAX_OPEN_FILES, _MAX_OPEN_FILES),
        (resource.RLIMIT_CORE, 0, 0),
    ):
        ceiling = resource.getrlimit(name)[1]
        if ceiling == resource.RLIM_INFINITY:
            ceiling = hard
        resource.setrlimit(name, (min(soft, ceiling), min(hard, ceiling)))
    return "resource_limits"


def _enter_namespaces() -> list[str]:
    """A user namespace also hides the worker's environment: another's `/proc/<pid>/environ` is refused."""
    user, group = os.geteuid(), os.getegid()
    if _libc.unshare(_CLONE_NEWUSER | _CLONE_NEWNET | _CLONE_NEWIPC) == 0:
        _map_identity(user, group)
        _drop_capabilities()
        return ["user_namespace", "network_namespace"]
    if _libc.unshare(_CLONE_NEWNET) == 0:
        return ["network_namespace"]
    return []


def _map_identity(user: int, group: int) -> None:
    Path("/proc/self/setgroups").write_text("deny", "ascii")
    Path("/proc/self/uid_map").write_text(f"{user} {user} 1", "ascii")
    Path("/proc/self/gid_map").write_text(f"{group} {group} 1", "ascii")


def _drop_capabilities() -> None:
    """The first process of a user namespace holds every capability in it; give them back."""
    header = (ctypes.c_uint32 * 2)(_CAPABILITY_VERSION_3, 0)
    nothing = (ctypes.c_uint32 * 6)()
    if _libc.capset(header, nothing) != 0:
        raise OSError(ctypes.get_errno(), "capset")


def _prctl(option: int, value: int) -> None:
    if _libc.prctl(option, ctypes.c_ulong(value), 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl")
