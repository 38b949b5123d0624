"""A system call filter without a library: what a decoder never needs is answered with EPERM.

A network namespace does not hide Unix sockets that lie in the file system, io_uring opens sockets without
`socket()`, and a fork would escape the limits on CPU time: the filter closes these. Threads stay allowed.
"""

from __future__ import annotations

import ctypes
import errno
import os
import platform
import struct
from typing import Final

from sentinel_worker.media.walls import Network

# Numbers from the kernel's tables: (x86_64, aarch64); -1 where an architecture lacks the call.
_REFUSED: Final[dict[str, tuple[int, int]]] = {
    "io_uring_setup": (425, 425),
    "ptrace": (101, 117),
    "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271),
    "kill": (62, 129),
    "tkill": (200, 130),
    "rt_sigqueueinfo": (129, 138),
    "rt_tgsigqueueinfo": (297, 240),
    "pidfd_open": (434, 434),
    "pidfd_send_signal": (424, 424),
    "pidfd_getfd": (438, 438),
    "unshare": (272, 97),
    "setns": (308, 268),
    "mount": (165, 40),
    "umount2": (166, 39),
    "chroot": (161, 51),
    "pivot_root": (155, 41),
    "bpf": (321, 280),
    "perf_event_open": (298, 241),
    "userfaultfd": (323, 282),
    "keyctl": (250, 219),
    "add_key": (248, 217),
    "request_key": (249, 218),
    "init_module": (175, 105),
    "finit_module": (313, 273),
    "kexec_load": (246, 104),
    "open_by_handle_at": (304, 265),
}
_SOCKETS: Final[dict[str, tuple[int, int]]] = {
    "socket": (41, 198),
    "socketpair": (53, 199),
    "connect": (42, 203),
    "bind": (49, 200),
    "listen": (50, 201),
    "accept": (43, 202),
    "accept4": (288, 242),
}
_FORKS: Final[dict[str, tuple[int, int]]] = {
    "fork": (57, -1),
    "vfork": (58, -1),
    "execve": (59, 221),
    "execveat": (322, 281),
}
_CLONE, _CLONE3, _TGKILL = (56, 220), (435, 435), (234, 131)
_AUDIT_ARCH: Final = {"x86_64": (0, 0xC000003E), "aarch64": (1, 0xC00000B7)}
_X32_BIT: Final = 0x40000000
_CLONE_THREAD: Final = 0x00010000

_PR_SET_SECCOMP, _MODE_FILTER = 22, 2
_LOAD, _EQUAL, _AT_LEAST, _BITS, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_ALLOW, _KILL, _ERRNO = 0x7FFF0000, 0x80000000, 0x00050000
_NR, _ARCH, _FIRST_ARGUMENT = 0, 4, 16


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.c_char_p))


def install_filter(libc: ctypes.CDLL, *, network: Network = "none", may_fork: bool = False) -> bool:
    """Put the filter in force for this process for ever; False where the kernel or architecture has none.

    `network` and `may_fork` are those of `Walls`.

    `PR_SET_NO_NEW_PRIVS` must be set before.
    """
    known = _AUDIT_ARCH.get(platform.machine())
    if known is None:
        return False
    column, arch = known
    refused = _REFUSED | (_SOCKETS if network == "none" else {}) | ({} if may_fork else _FORKS)
    numbers = [number[column] for number in refused.values() if number[column] >= 0]
    code = b"".join(_program(column, arch, numbers, may_fork=may_fork))
    program = _Program(len(code) // 8, code)
    return bool(libc.prctl(_PR_SET_SECCOMP, _MODE_FILTER, ctypes.byref(program), 0, 0) == 0)


def _program(column: int, arch: int, numbers: list[int], *, may_fork: bool) -> list[bytes]:
    """The filter as BPF instructions; conditional jumps count the instructions they skip."""
    refuse = _instruction(_RETURN, _ERRNO | errno.EPERM)
    allow = _instruction(_RETURN, _ALLOW)
    program = [
        _instruction(_LOAD, _ARCH),
        _instruction(_EQUAL, arch, 1, 0),
        _instruction(_RETURN, _KILL),
        _instruction(_LOAD, _NR),
        _instruction(_AT_LEAST, _X32_BIT, 0, 1),
        refuse,
        # glibc falls back to clone(), whose flags a filter can read, when clone3() is unknown.
        _instruction(_EQUAL, _CLONE3[column], 0, 1),
        _instruction(_RETURN, _ERRNO | errno.ENOSYS),
    ]
    for number in numbers:
        program += [_instruction(_EQUAL, number, 0, 1), refuse]
    if not may_fork:
        program += [
            _instruction(_EQUAL, _CLONE[column], 0, 4),
            _instruction(_LOAD, _FIRST_ARGUMENT),
            _instruction(_BITS, _CLONE_THREAD, 1, 0),
            refuse,
            allow,
        ]
    program += [
        # abort() signals its own process; nobody else's may be signalled.
        _instruction(_EQUAL, _TGKILL[column], 0, 3),
        _instruction(_LOAD, _FIRST_ARGUMENT),
        _instruction(_EQUAL, os.getpid(), 1, 0),
        refuse,
        allow,
    ]
    return program


def _instruction(code: int, value: int, if_true: int = 0, if_false: int = 0) -> bytes:
    return struct.pack("=HBBI", code, if_true, if_false, value)
