"""Meaning of the operating system's errors for the worker's own machine. No other module decides this.

Such an error says nothing about the file of the request that met it: every request would fail alike until somebody
frees space, raises a limit or brings a folder back.
"""

import errno
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Final

from sentinel_worker.domain.error_codes import Trait, with_trait
from sentinel_worker.domain.errors import CodedError, Transient

RETRY_SECONDS: Final = 5.0
"""Delay of a request that another worker can answer meanwhile; this worker claims nothing until its machine is fit."""

_ERRORS: Final[Mapping[str, Callable[[], Transient]]] = {
    "disk_full": lambda: Transient(
        "disk_full",
        "The worker's disk is full: it has no space or no inodes left.",
        retry_after_seconds=RETRY_SECONDS,
    ),
    "descriptors_exhausted": lambda: Transient(
        "descriptors_exhausted", "The worker has no file descriptors left.", retry_after_seconds=RETRY_SECONDS
    ),
    "memory_exhausted": lambda: Transient(
        "memory_exhausted", "The worker's machine refuses it memory or threads.", retry_after_seconds=RETRY_SECONDS
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
_REFUSALS: Final = frozenset({"can't start new thread", "could not create a primitive"})
"""Texts that are the only sign of what the system refused: Python's of a thread, for lack of memory or because of a
limit on processes; oneDNN's (torch on a CPU) of memory or a descriptor for code that it makes."""
_HIDING: Final = frozenset({"httpcore"})
"""Packages that raise an error again `from None` though nothing has been handled: httpcore's pool does so for each."""
_OF_MACHINE: Final = with_trait(Trait.OF_MACHINE)


def machine_error(error: BaseException) -> Transient | None:
    """Return the machine's error behind `error`, or None if nothing that led to it was one."""
    waiting: list[BaseException] = [error]
    while waiting:
        met = waiting.pop()
        if isinstance(met, Transient) and met.code in _OF_MACHINE:
            return met
        if isinstance(met, OSError) and met.errno in _CODES:
            return _ERRORS[_CODES[met.errno]]()
        if isinstance(met, RuntimeError) and str(met) in _REFUSALS:
            return _ERRORS["memory_exhausted"]()
        if isinstance(met, BaseExceptionGroup):
            waiting.extend(met.exceptions)
        if (led := _what_led_to(met)) is not None:
            waiting.append(led)
    return None


def _what_led_to(error: BaseException) -> BaseException | None:
    hides = error.__suppress_context__ and type(error).__module__.partition(".")[0] not in _HIDING
    return error.__cause__ or (None if hides else error.__context__)


def trial_error(error: OSError | MemoryError) -> Transient:
    """Return the machine's error for one that a trial of the work folder met: no file is at fault."""
    lacks_memory = isinstance(error, MemoryError) or (isinstance(error, OSError) and error.errno == errno.ENOMEM)
    code = "memory_exhausted" if lacks_memory else "work_folder_unusable"
    return machine_error(error) or _ERRORS[code]()


@contextmanager
def machine_errors_translated() -> Iterator[None]:
    """Translate the operating system's errors about the machine; everything else passes."""
    try:
        yield
    except (OSError, RuntimeError, ExceptionGroup) as error:
        if (fault := machine_error(error)) is None:
            raise
        raise fault from error


def is_of_machine(error: CodedError) -> bool:
    """True if the worker's machine is at fault, not the request and not Supabase."""
    return error.code in _OF_MACHINE
