"""Faults of the machine that pass: at this moment it has no memory, process, thread, descriptor or space to give."""

from __future__ import annotations

import errno
from typing import Final

from sentinel_worker.domain.errors import Transient
from sentinel_worker.domain.machine_errors import machine_error

_MEMORY_SIGNS: Final = (
    "cannot allocate memory",
    "can't allocate memory",
    "bad_alloc",
    "not enough memory",
    "failed to allocate memory",
)
_DISK_FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT})


def out_of_memory(error: BaseException) -> bool:
    """True if `error` is one with which Python or a library under it reports that an allocation was refused."""
    return isinstance(error, MemoryError) or any(sign in str(error).lower() for sign in _MEMORY_SIGNS)


def passing_fault(error: BaseException) -> Transient | None:
    """Return the error for a fault that passes, None for any other. A group is one if each of its errors is."""
    match error:
        case Transient():
            return error
        case BaseExceptionGroup():
            found = [passing_fault(one) for one in error.exceptions]
            return found[0] if all(found) else None
        case OSError(errno=errno.EAGAIN):
            return Transient("resources_refused", f"The machine refused another process: {error.strerror}.")
        case OSError() if error.errno in _DISK_FULL:
            return Transient("disk_full", "The disk is full.")
    if out_of_memory(error):
        return machine_error(error) or Transient("out_of_memory", "The machine has too little free memory.")
    return machine_error(error)


def raise_if_passing(error: BaseException) -> None:
    """Raise the error for a fault that passes; call it before an error is taken for somebody's mistake."""
    if (passing := passing_fault(error)) is not None:
        raise passing from error
