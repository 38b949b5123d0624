"""Errors of the operating system that concern the worker's machine, however deep they are, and faults that pass."""

import errno
import os
import threading

import httpx
import pytest

from sentinel_worker.domain.errors import Permanent, Transient
from sentinel_worker.domain.machine_errors import (
    machine_error,
    machine_errors_translated,
    passing_fault,
    start_error,
    trial_error,
)
from sentinel_worker.sources.storage_removal import remove
from sentinel_worker.supabase_client.connections import network_errors
from tests.machines import without_descriptors
from tests.memory import no_new_threads

CODES = {
    errno.ENOSPC: "disk_full",
    errno.EDQUOT: "disk_full",
    errno.EFBIG: "disk_full",
    errno.EMFILE: "descriptors_exhausted",
    errno.ENFILE: "descriptors_exhausted",
}
FULL = OSError(errno.ENOSPC, "No space left on device")


def refused(number: int) -> OSError:
    return OSError(number, os.strerror(number))


def raised(error: Exception, cause: BaseException | None = None, context: Exception | None = None) -> Exception:
    """Return `error` as Python leaves it after `raise error from cause` while `context` was handled."""
    error.__context__ = context
    if cause is not None:  # None would hide the context
        error.__cause__ = cause
    return error


@pytest.mark.parametrize(("number", "code"), CODES.items())
def test_each_number_has_a_code(number: int, code: str) -> None:
    fault = machine_error(OSError(number, "…"))
    assert fault is not None
    assert fault.code == code


def test_a_refusal_that_torch_reports_only_as_a_text() -> None:
    """oneDNN needs memory, and a descriptor, for the code that it makes; nothing is wrong with the clip."""
    fault = machine_error(ExceptionGroup("tasks", [RuntimeError("could not create a primitive")]))
    assert fault is not None
    assert fault.code == "memory_exhausted"
    assert machine_error(RuntimeError("could not create a tensor")) is None


@pytest.mark.parametrize(
    "error",
    [
        raised(httpx.ConnectError("All connection attempts failed"), cause=FULL),
        raised(ValueError(), context=raised(KeyError(), cause=FULL)),
        ExceptionGroup("tasks", [ValueError(), ExceptionGroup("more", [raised(ValueError(), cause=FULL)])]),
        raised(Transient("storage_unreachable", "Storage is away."), cause=FULL),
    ],
)
def test_it_is_found_behind_others(error: Exception) -> None:
    fault = machine_error(error)
    assert fault is not None
    assert fault.code == "disk_full"


def test_an_error_that_has_its_code_stays_the_same() -> None:
    fault = Transient("disk_full", "The disk is full.", retry_after_seconds=60)
    assert machine_error(raised(ValueError(), cause=fault)) is fault


def test_errors_of_files_and_servers_are_not_the_machines() -> None:
    handled = raised(ValueError(), context=FULL)
    handled.__suppress_context__ = True
    for error in (FileNotFoundError(errno.ENOENT, "…"), Permanent("media_empty", "It is empty."), handled):
        assert machine_error(error) is None


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (FileNotFoundError(errno.ENOENT, "…"), "work_folder_unusable"),
        (OSError(errno.EROFS, "…"), "work_folder_unusable"),
        (FULL, "disk_full"),
        (MemoryError(), "memory_exhausted"),
        (OSError(errno.ENOMEM, "…"), "memory_exhausted"),
    ],
)
def test_whatever_a_trial_meets_is_the_machines(error: OSError | MemoryError, code: str) -> None:
    assert trial_error(error).code == code


@pytest.mark.parametrize(
    ("number", "code"),
    [
        (errno.EAGAIN, "memory_exhausted"),
        (errno.ENOMEM, "memory_exhausted"),
        (errno.EMFILE, "descriptors_exhausted"),
        (errno.ENOENT, None),
    ],
)
def test_what_the_machine_refuses_to_the_start_of_a_process(number: int, code: str | None) -> None:
    fault = start_error(refused(number))
    assert (fault.code if fault else None) == code


def test_a_wait_for_a_socket_is_no_refused_process() -> None:
    assert machine_error(refused(errno.EAGAIN)) is None
    assert passing_fault(refused(errno.EAGAIN)) is None


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (MemoryError(), "out_of_memory"),
        (RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory"), "out_of_memory"),
        (ImportError("libtorch.so: failed to map segment: Cannot allocate memory"), "out_of_memory"),
        (OSError(errno.ENOMEM, "Cannot allocate memory"), "out_of_memory"),
        (OSError(errno.EMFILE, "…"), "descriptors_exhausted"),
        (OSError(errno.ENFILE, "…"), "descriptors_exhausted"),
        (RuntimeError("can't start new thread"), "memory_exhausted"),
        (FULL, "disk_full"),
        (raised(ValueError(), cause=FULL), "disk_full"),
        (Transient("decoder_lost", "Gone."), "decoder_lost"),
        (ExceptionGroup("tasks", [MemoryError(), Transient("decoder_lost", "Gone.")]), "out_of_memory"),
        (ExceptionGroup("tasks", [ValueError(), FULL]), "disk_full"),
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
        OSError(errno.EACCES, "Permission denied"),
        TimeoutError(),
        RuntimeError("a bug"),
        ExceptionGroup("tasks", [MemoryError(), ValueError()]),
    ],
)
def test_what_does_not_pass(error: BaseException) -> None:
    assert passing_fault(error) is None


def test_a_thread_that_is_refused_is_the_machines() -> None:
    thread = threading.Thread(target=lambda: None)
    with no_new_threads(), pytest.raises(RuntimeError) as refused:
        thread.start()
    fault = machine_error(refused.value)
    assert fault is not None
    assert fault.code == "memory_exhausted"


def test_only_the_machines_errors_are_translated() -> None:
    with pytest.raises(Transient, match="disk_full") as translated, machine_errors_translated():
        raise FULL
    assert translated.value.__cause__ is FULL
    with pytest.raises(FileNotFoundError), machine_errors_translated():
        raise FileNotFoundError


def test_a_call_without_a_descriptor_or_a_thread_is_no_outage_of_supabase() -> None:
    with pytest.raises(Transient, match="descriptors_exhausted") as met, network_errors():
        raise httpx.ConnectError("…") from OSError(errno.EMFILE, "Too many open files")
    assert met.value.retry_after_seconds is None  # an outcome that waits is not sent later than after an outage
    with pytest.raises(Transient, match="memory_exhausted") as met, network_errors():
        raise RuntimeError("can't start new thread")
    assert met.value.retry_after_seconds is None


async def test_a_call_without_a_descriptor_is_no_outage_of_storage() -> None:
    async with httpx.AsyncClient(base_url="http://127.0.0.1:9") as http:
        with pytest.raises(Transient, match="storage_unreachable"):  # nobody listens; the next call imports nothing
            await remove(http, "derived", ["x"])
        with without_descriptors(0), pytest.raises(Transient, match="descriptors_exhausted"):
            await remove(http, "derived", ["x"])
