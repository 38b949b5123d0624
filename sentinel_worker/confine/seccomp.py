"""A system call filter without a library.

A decoder has a list of calls that it may make. A program that keeps sockets, writes or forks has a list of calls that
it may not make: a wrong allow list would break it on the next C library. Calls that are refused for good reason fail
with EPERM; calls unknown here fail with ENOSYS, on which a C library falls back to an older call.
"""

from __future__ import annotations

import ctypes
import errno
import os
import platform
import struct
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from sentinel_worker.confine.layers import Walls
from sentinel_worker.confine.system_calls import BY_ARGUMENT, DECODING, PROGRAMS, REFUSED, SOCKETS

_AUDIT_ARCH: Final = {"x86_64": (0, 0xC000003E), "aarch64": (1, 0xC00000B7)}
_X32_BIT: Final = 0x40000000
_CLONE_THREAD: Final = 0x00010000
_CLONE_NEW_NAMESPACES: Final = 0x7E020000
_AF_UNIX, _AF_INET, _AF_INET6 = 1, 2, 10
# SOCK_STREAM, with SOCK_NONBLOCK and SOCK_CLOEXEC.
_STREAMS: Final = (0x1, 0x801, 0x80001, 0x80801)
_SERVING: Final = ("bind", "listen", "accept", "accept4")

_PR_SET_SECCOMP, _MODE_FILTER = 22, 2
_LOAD, _EQUAL, _AT_LEAST, _BITS, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_ALLOW, _KILL, _ERRNO = 0x7FFF0000, 0x80000000, 0x00050000
_NR, _ARCH, _ARGUMENTS = 0, 4, 16


@dataclass(frozen=True, slots=True)
class _Rule:
    """Values that the low 32 bits of a call's argument must have, or must not have."""

    argument: int
    values: tuple[int, ...]
    allowed: bool = True


# Descriptors can send signals too: F_SETOWN, F_SETSIG and F_SETOWN_EX; FIOSETOWN and SIOCSPGRP. TIOCSTI and TIOCLINUX
# type on a terminal.
_PROGRAM_RULES: Final = {
    "fcntl": _Rule(1, (8, 10, 15), allowed=False),
    "ioctl": _Rule(1, (0x8901, 0x8902, 0x5412, 0x541C), allowed=False),
}
# F_DUPFD, F_GETFD, F_SETFD, F_GETFL, F_SETFL, F_DUPFD_CLOEXEC; TCGETS, FIONREAD, FIONBIO, FIONCLEX, FIOCLEX;
# PR_SET_NAME, PR_GET_NAME and PR_SET_VMA, which name threads and memory.
_DECODER_RULES: Final = {
    "fcntl": _Rule(1, (0, 1, 2, 3, 4, 1030)),
    "ioctl": _Rule(1, (0x5401, 0x541B, 0x5421, 0x5450, 0x5451)),
    "prctl": _Rule(0, (15, 16, 0x53564D41)),
}


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.c_char_p))


def install_filter(libc: ctypes.CDLL, walls: Walls) -> str | None:
    """Put the filter in force for this process for ever; returns the reason if that is not possible.

    `PR_SET_NO_NEW_PRIVS` must be set before.
    """
    known = _AUDIT_ARCH.get(platform.machine())
    if known is None:
        return f"no table of system calls for {platform.machine()}"
    code = b"".join(_program(walls, *known))
    program = _Program(len(code) // 8, code)
    if libc.prctl(_PR_SET_SECCOMP, _MODE_FILTER, ctypes.byref(program), 0, 0) != 0:
        return os.strerror(ctypes.get_errno())
    return None


def _program(walls: Walls, column: int, arch: int) -> list[bytes]:
    """Return the filter as BPF instructions; conditional jumps count the instructions they skip."""
    decoder = walls.network == "none" and not walls.may_fork and not walls.writable
    program = [
        _instruction(_LOAD, _ARCH),
        _instruction(_EQUAL, arch, 1, 0),
        _instruction(_RETURN, _KILL),
        _instruction(_LOAD, _NR),
        _instruction(_AT_LEAST, _X32_BIT, 0, 1),
        _REFUSE,
        # glibc falls back to clone(), whose flags a filter can read, when clone3() is unknown.
        *_answer([BY_ARGUMENT["clone3"][column]], _UNKNOWN),
    ]
    refused = dict(REFUSED)
    if walls.network == "none":
        refused |= SOCKETS
    if walls.network == "shared":
        refused.update({name: SOCKETS[name] for name in _SERVING})
    if not walls.may_fork:
        refused |= PROGRAMS
    program += _answer((numbers[column] for numbers in refused.values()), _REFUSE)
    program += _clone(BY_ARGUMENT["clone"][column], may_fork=walls.may_fork)
    for name, rules in _rules(walls, decoder=decoder).items():
        program += _decide({**BY_ARGUMENT, **SOCKETS}[name][column], *rules)
    if not decoder:
        return [*program, _PERMIT]
    return [*program, *_answer((numbers[column] for numbers in DECODING.values()), _PERMIT), _UNKNOWN]


def _rules(walls: Walls, *, decoder: bool) -> dict[str, tuple[_Rule, ...]]:
    """Return the rules by call; a call must keep all of its rules."""
    own = os.getpid()
    # abort() signals its own process, and a process may lower its own limits; other processes are out of bounds.
    rules: dict[str, tuple[_Rule, ...]] = {"tgkill": (_Rule(0, (own,)),), "prlimit64": (_Rule(0, (0, own)),)}
    if walls.network != "none":
        # Only TCP: no Unix sockets of others, no datagrams, none of the kernel's own protocols.
        rules["socket"] = (_Rule(0, (_AF_INET, _AF_INET6)), _Rule(1, _STREAMS))
        # A pair of datagram sockets could send to any Unix socket that has a path.
        rules["socketpair"] = (_Rule(0, (_AF_UNIX,)), _Rule(1, _STREAMS))
    return rules | {name: (rule,) for name, rule in (_DECODER_RULES if decoder else _PROGRAM_RULES).items()}


def _answer(numbers: Iterable[int], answer: bytes) -> list[bytes]:
    return [part for number in numbers if number >= 0 for part in (_instruction(_EQUAL, number, 0, 1), answer)]


def _clone(number: int, *, may_fork: bool) -> list[bytes]:
    """Allow threads, and forks if `may_fork`, but never a namespace."""
    flags = [
        _instruction(_LOAD, _ARGUMENTS),
        _instruction(_BITS, _CLONE_NEW_NAMESPACES, 0, 1),
        _REFUSE,
        *([] if may_fork else [_instruction(_BITS, _CLONE_THREAD, 1, 0), _REFUSE]),
        _PERMIT,
    ]
    return [_instruction(_EQUAL, number, 0, len(flags)), *flags]


def _decide(number: int, *rules: _Rule) -> list[bytes]:
    checks = [part for rule in rules for part in _check(rule)]
    return [_instruction(_EQUAL, number, 0, len(checks) + 1), *checks, _PERMIT]


def _check(rule: _Rule) -> list[bytes]:
    """Refuse, or continue after this check."""
    load, count = _instruction(_LOAD, _ARGUMENTS + 8 * rule.argument), len(rule.values)
    if not rule.allowed:
        return [load, *_answer(rule.values, _REFUSE)]
    onwards = [_instruction(_EQUAL, value, count - place) for place, value in enumerate(rule.values)]
    return [load, *onwards, _REFUSE]


def _instruction(code: int, value: int, if_true: int = 0, if_false: int = 0) -> bytes:
    return struct.pack("=HBBI", code, if_true, if_false, value)


_REFUSE: Final = _instruction(_RETURN, _ERRNO | errno.EPERM)
_UNKNOWN: Final = _instruction(_RETURN, _ERRNO | errno.ENOSYS)
_PERMIT: Final = _instruction(_RETURN, _ALLOW)
