"""The walls around a process that touches what strangers sent, put up before it reads the first byte.

Every wall is a layer with a name. Network is the one that must not fail: either the process has its own
empty network namespace, or a system call filter refuses sockets; `apply` raises where neither holds.
"""

from __future__ import annotations

import ctypes
import os
import resource
import signal
from typing import Final

from sentinel_worker.media import namespaces, seccomp
from sentinel_worker.media.walls import Layers, Limits, Walls

LAYERS: Final = ("resource_limits", "user_namespace", "network_namespace", "no_new_privileges", "seccomp")
"""Every layer, in the order in which they are put up."""

_PR_SET_PDEATHSIG, _PR_SET_DUMPABLE, _PR_SET_NO_NEW_PRIVS = 1, 4, 38

_libc = ctypes.CDLL(None, use_errno=True)


class SandboxError(Exception):
    """The kernel grants too few layers."""


def apply(walls: Walls) -> Layers:
    """Confine this process for ever; says which layers hold.

    Call it once, in a single-threaded process, after the last file descriptor was opened. Raises
    `SandboxError` when nothing keeps it off the network as `walls` ask.
    """
    os.umask(0o077)
    os.chdir(walls.directory)
    _limit_resources(walls.limits)
    in_force = ["resource_limits"]
    entered, missing = namespaces.enter(_libc)
    in_force += entered
    if walls.network == "own_namespace" and "network_namespace" in entered:
        namespaces.raise_loopback()
    namespaces.drop_capabilities(_libc)
    _prctl(_PR_SET_NO_NEW_PRIVS, 1)
    in_force.append("no_new_privileges")
    if seccomp.install_filter(_libc, network=walls.network, may_fork=walls.may_fork):
        in_force.append("seccomp")
    else:
        missing["seccomp"] = "this kernel or architecture has no filter"
    layers = Layers(tuple(in_force), missing)
    _check(walls, layers)
    return layers


def hide_memory() -> None:
    """Close this process's memory and environment to others of its user, so that a child cannot read a key there."""
    _prctl(_PR_SET_DUMPABLE, 0)


def die_with_parent(parent: int) -> None:
    """Ask the kernel to kill this process when `parent` ends; leave at once if it already has.

    The request is dropped by a change of credentials, so it comes after every other layer.
    """
    _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(0)


def _check(walls: Walls, layers: Layers) -> None:
    if "network_namespace" in layers.in_force:
        return
    if walls.network == "own_namespace":
        raise SandboxError("a network namespace of its own is not permitted here")
    if "seccomp" not in layers.in_force:
        raise SandboxError("neither a network namespace nor a system call filter is permitted here")


def _limit_resources(limits: Limits) -> None:
    """RLIMIT_NPROC is left out: it counts all processes of the user; the system call filter forbids forks."""
    for name, soft, hard in (
        (resource.RLIMIT_AS, limits.memory_bytes, limits.memory_bytes),
        (resource.RLIMIT_CPU, limits.cpu_seconds, limits.cpu_seconds + 1),
        (resource.RLIMIT_FSIZE, limits.file_bytes, limits.file_bytes),
        (resource.RLIMIT_NOFILE, limits.open_files, limits.open_files),
        (resource.RLIMIT_CORE, 0, 0),
    ):
        ceiling = resource.getrlimit(name)[1]
        if ceiling == resource.RLIM_INFINITY:
            ceiling = hard
        resource.setrlimit(name, (min(soft, ceiling), min(hard, ceiling)))


def _prctl(option: int, value: int) -> None:
    if _libc.prctl(option, ctypes.c_ulong(value), 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl")
