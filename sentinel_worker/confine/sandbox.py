"""Walls around a process that handles untrusted input, put up before it reads the first byte.

Every wall is a layer with a name (docs/architecture.md). The network layer must not fail: either the process has its
own empty network namespace, or a system call filter refuses sockets; `apply` raises if neither holds, unless the
operator has chosen a shared network. A process with a network also needs Landlock, because it could send what it can
read.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import resource
import signal
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from sentinel_worker.confine import landlock, namespaces, seccomp
from sentinel_worker.confine.layers import Layers, Limits, Mode, Walls

_WITHOUT_NAMESPACES: Final = (
    "commonly blocked by Docker's default seccomp profile, by systemd's RestrictNamespaces=, or by the sysctls "
    "kernel.unprivileged_userns_clone and kernel.apparmor_restrict_unprivileged_userns"
)
REQUIRED: Final = {
    "resource_limits": "",
    "user_namespace": _WITHOUT_NAMESPACES,
    "network_namespace": _WITHOUT_NAMESPACES,
    "no_new_privileges": "",
    "landlock": "needs Linux 5.13 with landlock among its security modules (lsm=)",
    "seccomp": "needs a kernel with CONFIG_SECCOMP_FILTER on x86_64 or aarch64",
}
"""Layers that `require` insists on, in the order in which they are put up, with what commonly blocks each."""

LAYERS: Final = (*REQUIRED, "landlock_tcp", "landlock_scopes")
"""Every layer. On newer kernels the last two repeat what namespaces and seccomp refuse."""

_PROCESSES: Final = 64
_PR_SET_PDEATHSIG, _PR_SET_DUMPABLE, _PR_SET_NO_NEW_PRIVS = 1, 4, 38

_libc = ctypes.CDLL(None, use_errno=True)


class SandboxError(Exception):
    """The kernel grants too few layers."""


def apply(walls: Walls, *, mode: Mode = "auto", parent: int | None = None) -> Layers:
    """Confine this process for ever; returns the layers in force.

    Call it once, in a single-threaded process, after the last file descriptor was opened. With `parent`, the process id
    of its parent, this process ends when the parent ends. Raises `SandboxError` if nothing keeps it off the network as
    `walls` require, if it has a network but no Landlock, or, with `require`, if any of `REQUIRED` is missing; `OSError`
    for a path that does not exist.
    """
    _offer_to_the_oom_killer()
    os.umask(0o077)
    os.chdir(walls.directory)
    _limit_resources(walls.limits)
    in_force = ["resource_limits"]
    shared = walls.network == "shared"
    entered, missing = namespaces.enter_sharing_network(_libc) if shared else namespaces.enter(_libc)
    in_force += entered
    if "user_namespace" in entered:
        _limit_processes()
    if walls.network == "own_namespace" and "network_namespace" in entered:
        namespaces.raise_loopback()
    namespaces.drop_capabilities(_libc)
    _prctl(_PR_SET_NO_NEW_PRIVS, 1)
    in_force.append("no_new_privileges")
    try:
        in_force += _landlock_layers(landlock.restrict(_libc, walls), missing)
    except landlock.LandlockError as error:
        missing |= dict.fromkeys(("landlock", "landlock_tcp", "landlock_scopes"), str(error))
    if parent is not None:
        die_with_parent(parent)
    refused = seccomp.install_filter(_libc, walls)
    if refused is None:
        in_force.append("seccomp")
    else:
        missing["seccomp"] = refused
    layers = Layers(tuple(in_force), missing)
    _check(walls, layers, mode)
    return layers


def why(absent: Iterable[str], layers: Layers) -> str:
    """Format missing layers with the kernel's reason and what commonly blocks them; layers with one reason are grouped.

    ```
    user_namespace, network_namespace (Operation not permitted; commonly blocked by …); landlock (…)
    ```
    """
    reasons: dict[str, list[str]] = {}
    for name in absent:
        hint = REQUIRED.get(name)
        reasons.setdefault(f"{layers.missing[name]}; {hint}" if hint else layers.missing[name], []).append(name)
    return "; ".join(f"{', '.join(names)} ({reason})" for reason, names in reasons.items())


def hide_memory() -> None:
    """Close this process's memory and environment to the user's other processes, so that a child cannot read a key
    there.

    A crash does not write them into a core dump either.
    """
    _prctl(_PR_SET_DUMPABLE, 0)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def die_with_parent(parent: int) -> None:
    """Ask the kernel to kill this process when `parent` ends; exit at once if it has already ended.

    A change of credentials cancels this, so call it after entering the namespaces.
    """
    _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(0)


def _offer_to_the_oom_killer() -> None:
    """Let the kernel end this process before the worker when memory runs out: one request is lost instead of all."""
    with contextlib.suppress(OSError):  # a container may hide or protect the file; then the largest process ends first
        Path("/proc/self/oom_score_adj").write_bytes(b"1000")  # text would load a codec in every child


def _landlock_layers(abi: int, missing: dict[str, str]) -> list[str]:
    held = ["landlock"]
    for layer, since in (("landlock_tcp", landlock.TCP_ABI), ("landlock_scopes", landlock.SCOPES_ABI)):
        if abi >= since:
            held.append(layer)
        else:
            missing[layer] = f"this kernel has Landlock version {abi}, but version {since} is needed"
    return held


def _check(walls: Walls, layers: Layers, mode: Mode) -> None:
    absent = [name for name in REQUIRED if name not in layers.in_force]
    if mode == "require" and absent:
        raise SandboxError(f"SENTINEL_SANDBOX=require needs every layer, but these are missing: {why(absent, layers)}")
    if walls.network != "none" and "landlock" not in layers.in_force:
        raise SandboxError(
            f"a process with a network must not read every file, but this layer is missing: {why(['landlock'], layers)}"
        )
    if "network_namespace" in layers.in_force or walls.network == "shared":
        return
    if walls.network == "own_namespace":
        raise SandboxError(
            f"the process needs its own network namespace, which is not permitted here ({_WITHOUT_NAMESPACES})"
        )
    if "seccomp" not in layers.in_force:
        raise SandboxError("neither a network namespace nor a system call filter is permitted here")


def mapped_bytes() -> int:
    """Address space that this process takes up now, as `RLIMIT_AS` counts it."""
    return int(Path("/proc/self/statm").read_bytes().split()[0]) * resource.getpagesize()


def _limit_resources(limits: Limits) -> None:
    for name, soft, hard in (
        (resource.RLIMIT_AS, limits.memory_bytes, limits.memory_bytes),
        (resource.RLIMIT_CPU, limits.cpu_seconds, limits.cpu_seconds + 1),
        (resource.RLIMIT_FSIZE, limits.file_bytes, limits.file_bytes),
        (resource.RLIMIT_NOFILE, limits.open_files, limits.open_files),
        (resource.RLIMIT_CORE, 0, 0),
    ):
        _limit(name, soft, hard)


def _limit_processes() -> None:
    """Limit processes, only in a user namespace: elsewhere all processes of the user are counted. Root is not
    limited."""
    _limit(resource.RLIMIT_NPROC, _PROCESSES, _PROCESSES)


def _limit(name: int, soft: int, hard: int) -> None:
    ceiling = resource.getrlimit(name)[1]
    if ceiling == resource.RLIM_INFINITY:
        ceiling = hard
    resource.setrlimit(name, (min(soft, ceiling), min(hard, ceiling)))


def _prctl(option: int, value: int) -> None:
    if _libc.prctl(option, ctypes.c_ulong(value), 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl")
