"""Faults of the machine that pass, and errors that only look alike."""

import errno
import os

import pytest

from sentinel_worker.domain.errors import Transient
from sentinel_worker.domain.passing_faults import passing_fault


def refused(number: int) -> OSError:
    return OSError(number, os.strerror(number))


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (MemoryError(), "out_of_memory"),
        (RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory"), "out_of_memory"),
        (ImportError("libtorch.so: failed to map segment: Cannot allocate memory"), "out_of_memory"),
        (refused(errno.ENOMEM), "out_of_memory"),
        (refused(errno.EAGAIN), "resources_refused"),
        (refused(errno.EMFILE), "descriptors_exhausted"),
        (refused(errno.ENFILE), "descriptors_exhausted"),
        (RuntimeError("can't start new thread"), "memory_exhausted"),
        (refused(errno.ENOSPC), "disk_full"),
        (Transient("decoder_lost", "Gone."), "decoder_lost"),
        (ExceptionGroup("tasks", [MemoryError(), refused(errno.EAGAIN)]), "out_of_memory"),
    ],
)
def test_what_passes(error: BaseException, code: str) -> None:
    found = passing_fault(error)
    assert found is not None
    assert found.code == code


@pytest.mark.parametrize(
    "error",
    [
        ValueError(),
        refused(errno.EACCES),
        RuntimeError("a bug"),
        ExceptionGroup("tasks", [MemoryError(), ValueError()]),
    ],
)
def test_what_does_not(error: BaseException) -> None:
    assert passing_fault(error) is None
