"""Which errors of a command end it with a line, and which are raised as bugs."""

import errno
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from sentinel_worker.commands.exits import run_to_its_end
from sentinel_worker.domain.errors import Fatal, Transient

FILE = Path("/nonexistent/file")


def raises(error: Exception) -> Callable[[], object]:
    def command() -> object:
        raise error

    return command


@pytest.fixture(autouse=True)
def output(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", sys.stdout)  # which a failed command loses


@pytest.mark.parametrize(
    ("command", "code", "line"),
    [
        (FILE.read_text, 2, "error /nonexistent/file: No such file or directory\n"),
        (Path("/").read_text, 2, "error /: Is a directory\n"),
        (Path("/dev/null/file").mkdir, 2, "error /dev/null/file: Not a directory\n"),
        (raises(OSError(errno.EROFS, "Read-only file system", "/file")), 2, "error /file: Read-only file system\n"),
        (raises(Fatal("bad_detectors", "It has a mistake.")), 2, "error It has a mistake.\n"),
        (raises(Transient("hub_unreachable", "It is away.")), 75, "error It is away.\n"),
        (raises(OSError(errno.EMFILE, "Too many open files", "/file")), 75, "error No file descriptors are left.\n"),
    ],
)
def test_a_mistake_and_a_fault_that_passes_are_one_line(
    command: Callable[[], object], code: int, line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        run_to_its_end(command)
    assert (ended.value.code, capsys.readouterr().err) == (code, line)


@pytest.mark.parametrize(
    "error",
    [
        TimeoutError(errno.ETIMEDOUT, "Connection timed out"),
        TimeoutError(),
        ConnectionResetError(errno.ECONNRESET, "Connection reset by peer"),
        BlockingIOError(errno.EAGAIN, "Resource temporarily unavailable"),
        FileNotFoundError(errno.ENOENT, "No such file or directory"),  # of a socket, which names no path
        OSError(errno.EBADF, "Bad file descriptor"),
        OSError("a library's"),
        ValueError("a bug"),
    ],
)
def test_any_other_error_is_raised(error: Exception) -> None:
    with pytest.raises(type(error)) as raised:
        run_to_its_end(raises(error))
    assert raised.value is error
