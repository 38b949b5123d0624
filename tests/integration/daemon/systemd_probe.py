"""Runs as the unit's ExecStartPre: tries what the unit must refuse and must allow, and prints one JSON line."""

import ctypes
import json
import os
import platform
import socket
from collections.abc import Callable
from pathlib import Path

_libc = ctypes.CDLL(None, use_errno=True)
_NEW_USER, _NEW_NET, _NEW_IPC = 0x10000000, 0x40000000, 0x08000000
_NEW_MOUNT, _NEW_PID = 0x00020000, 0x20000000
_MOUNT, _PTRACE, _BPF = (165, 101, 321) if platform.machine() == "x86_64" else (40, 117, 280)
_LANDLOCK_CREATE_RULESET, _LANDLOCK_VERSION = 444, 1


def call(number: int, *arguments: int | bytes | None) -> None:
    """Make a system call that the standard library lacks. Raises OSError; ENOSYS is no refusal, but an unknown call."""
    if _libc.syscall(number, *arguments) < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


def unshare(flags: int) -> None:
    """Call `unshare` in a child process, which then ends."""
    child = os.fork()
    if child == 0:
        os._exit(0 if _libc.unshare(flags) == 0 else 1)
    if os.waitpid(child, 0)[1]:
        raise PermissionError("unshare")


def opened(path: str) -> None:
    os.close(os.open(path, os.O_RDONLY))


def written(path: str) -> None:
    Path(path).write_text("x", encoding="ascii")


def spoken(family: int) -> None:
    socket.socket(family, socket.SOCK_RAW if family == socket.AF_PACKET else socket.SOCK_DGRAM).close()


ATTEMPTS: dict[str, Callable[[], None]] = {
    "write its cache": lambda: written("/var/cache/sentinel-worker/x"),
    "write its /tmp": lambda: written("/tmp/x"),
    "read randomness": lambda: opened("/dev/urandom"),
    "speak IPv4": lambda: spoken(socket.AF_INET),
    "speak to neighbours": lambda: spoken(socket.AF_UNIX),
    "confine a child": lambda: unshare(_NEW_USER | _NEW_NET | _NEW_IPC),
    "ask for Landlock": lambda: call(_LANDLOCK_CREATE_RULESET, None, 0, _LANDLOCK_VERSION),
    "write the system": lambda: written("/usr/x"),
    "write the settings": lambda: written("/etc/x"),
    "write the weights": lambda: written("/var/lib/x"),
    "write another's cache": lambda: written("/var/cache/x"),
    "write the kernel's settings": lambda: written("/proc/sys/kernel/hostname"),
    "write control groups": lambda: written("/sys/fs/cgroup/x"),
    "open a virtual machine": lambda: opened("/dev/kvm"),
    "open a file system": lambda: opened("/dev/fuse"),
    "speak to the kernel": lambda: spoken(socket.AF_NETLINK),
    "speak raw": lambda: spoken(socket.AF_PACKET),
    "change an owner": lambda: os.chown("/tmp/x", 0, 0),
    "become root": lambda: os.setuid(0),
    "leave a setuid file": lambda: Path("/tmp/x").chmod(0o4755),
    "trace": lambda: call(_PTRACE, 0, 0, 0, 0),
    "load a program into the kernel": lambda: call(_BPF, 0, 0, 0),
    "mount": lambda: call(_MOUNT, b"x", b"/tmp", b"tmpfs", 0, 0),
    "have own mounts": lambda: unshare(_NEW_USER | _NEW_MOUNT),
    "have own processes": lambda: unshare(_NEW_USER | _NEW_PID),
    "see other processes": lambda: opened("/proc/1/status"),
}


def refused() -> list[str]:
    """Return the names of the attempts that failed."""
    found = []
    for name, attempt in ATTEMPTS.items():
        try:
            attempt()
        except OSError:
            found.append(name)
    return found


if __name__ == "__main__":
    print(json.dumps({"event": "probe", "refused": refused()}), flush=True)  # noqa: T201
