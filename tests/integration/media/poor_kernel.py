"""Runs a command with some system calls refused, as by container and service managers.

python -m tests.integration.media.poor_kernel namespaces,landlock sentinel-worker run
"""

from __future__ import annotations

import ctypes
import errno
import os
import platform
import sys
from collections.abc import Collection
from typing import Final

from sentinel_worker.confine import sandbox, seccomp
from sentinel_worker.confine.system_calls import REFUSED

_COLUMN: Final = platform.machine() == "aarch64"
_CALLS: Final = {"namespaces": REFUSED["unshare"][_COLUMN], "landlock": 444}
# The errors of Docker's and systemd's filters, and of a kernel without Landlock.
_ANSWERS: Final = {"namespaces": errno.EPERM, "landlock": errno.ENOSYS}
_RETURN_ERRNO: Final = 0x00050000


def refuse(what: Collection[str]) -> None:
    """Refuse these system calls to this process and all its children."""
    instructions = [seccomp._instruction(seccomp._LOAD, seccomp._NR)]
    for name in what:
        answer = seccomp._instruction(seccomp._RETURN, _RETURN_ERRNO | _ANSWERS[name])
        instructions += seccomp._answer([_CALLS[name]], answer)
    code = b"".join([*instructions, seccomp._PERMIT])
    program = seccomp._Program(len(code) // 8, code)
    sandbox._prctl(sandbox._PR_SET_NO_NEW_PRIVS, 1)
    assert sandbox._libc.prctl(seccomp._PR_SET_SECCOMP, seccomp._MODE_FILTER, ctypes.byref(program), 0, 0) == 0


if __name__ == "__main__":
    refuse(sys.argv[1].split(","))
    os.execvp(sys.argv[2], sys.argv[2:])  # noqa: S606 the tests' own command
