"""Meaning of the operating system's errors for the worker's own machine. No other module decides this.

Such an error says nothing about the file of the request that met it: every request would fail alike until somebody
frees space, raises a limit or brings a folder back. At the start, and in a command, the next try may succeed.
"""

import errno
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Final

from sentinel_worker.domain.error_codes import Trait, with_trait
from sentinel_worker.domain.errors import CodedError, Transient

RETRY_SECONDS: Final = 5.0
"""Delay of a request that another worker can answer meanwhile; this worker claims nothing until its machine is fit."""
OF_PATHS: Final = frozenset(
    {
        errno.ENOENT,
        errno.ENOTDIR,
        errno.EISDIR,
        errno.EACCES,
        errno.EPERM,
        errno.EROFS,
        errno.EEXIST,
        errno.ENOTEMPTY,
        errno.ELOOP,
        errno.ENAMETOOLONG,
        errno.ENXIO,
        errno.ENODEV,
        errno.EBUSY,
        errno.ETXTBSY,
    }
)
"""Numbers of errors about a path: whoever chose it made a mistake, and the next try fails alike."""

_ERRORS: Final[Mapping[str, Callable[[], Transient]]] = {
    "disk_full": lambda: Transient(
        "disk_full",
        "The machine's disk is full: it has no space or no inodes left.",
        retry_after_seconds=RETRY_SECONDS,
    ),
    "descriptors_exhausted": lambda: Transient(
        "descriptors_exhausted", "No file descriptors are left.", retry_after_seconds=RETRY_SECONDS
    ),
    "memory_exhausted": lambda: Transient(
        "memory_exhausted", "The machine refuses memory, processes or threads.", retry_after_seconds=RETRY_SECONDS
    ),
    "work_folder_unusable": lambda: Transient(
        "work_folder_unusable",
        "The worker's folder for media is gone, or cannot be written.",
        retry_after_seconds=RETRY_SECONDS,
    ),
}
_CODES: Final[Mapping[int | None, str]] = {
    errno.ENOSPC: "disk_full",
    errno.EDQUOT: "disk_full",
    errno.EFBIG: "disk_full",  # a limit on the size of files
    errno.EMFILE: "descriptors_exhausted",
    errno.ENFILE: "descriptors_exhausted",
}
_NO_PROCESS: Final = frozenset({errno.EAGAIN, errno.ENOMEM})
_REFUSALS: Final = frozenset({"can't start new thread", "could not create a primitive"})
"""Texts that are the only sign of what the system refused: Python's of a thread, for lack of memory or because of a
limit on processes; oneDNN's (torch on a CPU) of memory or a descriptor for code that it makes."""
_HIDING: Final = frozenset({"httpcore"})
"""Packages that raise an error again `from None` though nothing has been handled: httpcore's pool does so for each."""
_MEMORY_SIGNS: Final = (
    "cannot allocate memory",
    "can't allocate memory",
    "bad_alloc",
    "not enough memory",
    "failed to allocate memory",
)
_OF_MACHINE: Final = with_trait(Trait.OF_MACHINE)


def fault_of_machine(code: str) -> Transient:
    """Return the error for `code`, one of the machine's."""
    return _ERRORS[code]()


def machine_error(error: BaseException) -> Transient | None:
    """Return the machine's error behind `error`, or None if nothing that led to it was one."""
    for met in _led_to(error):
        if isinstance(met, Transient) and is_of_machine(met):
            return met
        if isinstance(met, OSError) and met.errno in _CODES:
            return fault_of_machine(_CODES[met.errno])
        if isinstance(met, RuntimeError) and str(met) in _REFUSALS:
            return fault_of_machine("memory_exhausted")
    return None


def passing_fault(error: BaseException) -> Transient | None:
    """Return the error for a fault that passes, None for any other.

    It is the machine's, another that is transient, or a lack of memory. A group passes if each of its errors does.
    """
    if (fault := machine_error(error)) is not None:
        return fault
    match error:
        case Transient():
            return error
        case BaseExceptionGroup():
            found = [passing_fault(one) for one in error.exceptions]
            return found[0] if all(found) else None
    return Transient("out_of_memory", "The machine has too little free memory.") if out_of_memory(error) else None


def raise_if_passing(error: BaseException) -> None:
    """Raise the error for a fault that passes; call it before an error is taken for somebody's mistake."""
    if (passing := passing_fault(error)) is not None:
        raise passing from error


def out_of_memory(error: BaseException) -> bool:
    """True if `error` is one with which Python or a library under it reports that an allocation was refused."""
    return isinstance(error, MemoryError) or any(sign in str(error).lower() for sign in _MEMORY_SIGNS)


def start_error(error: OSError) -> Transient | None:
    """Return the machine's error for one that the start of a process met, or None if it is about something else.

    Only there do two numbers mean that the machine refuses a process: elsewhere EAGAIN asks to wait.
    """
    return fault_of_machine("memory_exhausted") if error.errno in _NO_PROCESS else machine_error(error)


def trial_error(error: OSError | MemoryError) -> Transient:
    """Return the machine's error for one that a trial of the work folder met: no file is at fault."""
    lacks_memory = isinstance(error, MemoryError) or (isinstance(error, OSError) and error.errno == errno.ENOMEM)
    return machine_error(error) or fault_of_machine("memory_exhausted" if lacks_memory else "work_folder_unusable")


@contextmanager
def machine_errors_translated() -> Iterator[None]:
    """Translate the operating system's errors about the machine; everything else passes."""
    try:
        yield
    except (OSError, RuntimeError, ExceptionGroup) as error:
        if (fault := machine_error(error)) is None:
            raise
        raise fault from error


@contextmanager
def start_errors_translated() -> Iterator[None]:
    """Translate what the machine refuses to the start of a process; everything else passes."""
    try:
        yield
    except OSError as error:
        if (fault := start_error(error)) is None:
            raise
        raise fault from error


def is_of_machine(error: CodedError) -> bool:
    """True if the worker's machine is at fault, not the request and not Supabase."""
    return error.code in _OF_MACHINE


def _led_to(error: BaseException) -> Iterator[BaseException]:
    """Yield `error`, the members of a group, and what caused each or was being handled when it was raised."""
    waiting = [error]
    while waiting:
        met = waiting.pop()
        yield met
        if isinstance(met, BaseExceptionGroup):
            waiting.extend(met.exceptions)
        hides = met.__suppress_context__ and type(met).__module__.partition(".")[0] not in _HIDING
        if (led := met.__cause__ or (None if hides else met.__context__)) is not None:
            waiting.append(led)
