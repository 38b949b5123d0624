"""Error exit of a command: one line per mistake on standard error, and the exit code."""

import errno
import fcntl
import os
import sys
from collections.abc import Callable
from typing import NoReturn

import typer
from rich.console import Console

from sentinel_worker.commands.console import plain
from sentinel_worker.domain.errors import CodedError, Fatal, Transient
from sentinel_worker.domain.machine_errors import OF_PATHS, passing_fault
from sentinel_worker.observe.masking import mask

EXIT_UNREAD = 1
"""The reader of the output ended before the output did, as `head` does."""
EXIT_CONFIGURATION = 2
EXIT_TEMPORARY = 75

errors = Console(stderr=True, highlight=False, emoji=False)


def exit_code(error: CodedError) -> int:
    """Return 75 for a failure that may pass by itself, and 2 for what somebody has to fix."""
    return EXIT_TEMPORARY if isinstance(error, Transient) else EXIT_CONFIGURATION


def fail(error: CodedError) -> NoReturn:
    """Print `error` and exit."""
    raise typer.Exit(_printed(error))


def run_to_its_end(command: Callable[[], object]) -> None:
    """Run `command`; what it did not expect from the machine ends it as any error does, with a line and an exit code.

    An error that is neither of the machine, nor of a file, nor of this package is a bug, and is raised.
    """
    try:
        try:
            command()
        finally:
            if sys.stdout is not None:
                sys.stdout.flush()  # at the interpreter's exit an error would be a traceback
    except BrokenPipeError:
        sys.stdout = None
        sys.exit(EXIT_UNREAD)
    except Exception as error:
        met = _explained(error)
        if met is None:
            raise
        sys.stdout = None
        sys.exit(_printed(met))


def _explained(error: Exception) -> CodedError | None:
    if isinstance(error, CodedError):
        return error
    if (passing := passing_fault(error)) is not None:
        return passing
    return _of_file(error) if isinstance(error, OSError) else None


def _of_file(error: OSError) -> Fatal | None:
    """Return the error for a file that the system refuses; None for anything else, such as a connection that broke."""
    if isinstance(error.filename, str) and error.errno in OF_PATHS:
        return Fatal("file_refused", f"{error.filename}: {error.strerror}")
    if error.errno == errno.EBADF and _output_is_only_readable():
        return Fatal("file_refused", f"The output cannot be written: {error.strerror}")
    return None


def _output_is_only_readable() -> bool:
    return fcntl.fcntl(1, fcntl.F_GETFL) & os.O_ACCMODE == os.O_RDONLY


def _printed(error: CodedError) -> int:
    """Print `error`, and return its exit code."""
    for line in mask(error.message).splitlines():
        errors.print(f"[red]error[/red] {plain(line)}", soft_wrap=True)
    return exit_code(error)
