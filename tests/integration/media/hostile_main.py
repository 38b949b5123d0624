"""A zygote whose children run code from a test, like decoders that an upload has taken over.

It is the real zygote with the real sandbox. A child also answers the question `run`: it executes Python source inside
the sandbox, and returns the name of any error. Its file's name lists the layers to leave out; without
`threads`, a child dies when it starts one.
"""

from __future__ import annotations

import ctypes
import encodings.idna  # noqa: F401 for the source: a confined child can import nothing
import errno
import fcntl  # noqa: F401
import importlib.abc
import mmap  # noqa: F401
import os  # noqa: F401
import resource  # noqa: F401
import signal  # noqa: F401
import socket
import sys
import threading  # noqa: F401
import time  # noqa: F401
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from sentinel_worker.confine import landlock, namespaces, sandbox, seccomp
from sentinel_worker.media import zygote_main

DONE = "done"


def main(control_fd: int, parent: int) -> None:
    """Run the zygote's own `main`; once it is warm, replace its children's code."""
    warm_up = zygote_main._warm_up

    def warm_up_and_turn(parent: int) -> None:
        warm_up(parent)
        from sentinel_worker.media import child_main  # loaded by the zygote while it has few threads

        sys.meta_path.insert(0, _Sought())
        child_main._Session._dispatch = _dispatch(child_main._Session._dispatch)  # type: ignore[method-assign]
        child_main.run = _run(child_main.run)

    zygote_main._warm_up = warm_up_and_turn
    zygote_main.main(control_fd, parent)


def _dispatch(honest: Callable[..., None]) -> Callable[..., None]:
    def dispatch(session: Any, question: Mapping[str, Any]) -> None:
        if question["ask"] == "run":
            session.say({"answer": "ran", "outcome": _outcome(question["source"])})
        else:
            honest(session, question)

    return dispatch


def _outcome(source: str) -> str:
    scope = dict(globals())
    try:
        exec(source, scope)  # noqa: S102 that is what it is for
    except OSError as error:
        return errno.errorcode[error.errno or 0]
    except (MemoryError, ImportError) as error:
        return type(error).__name__
    return str(scope.get("outcome", DONE))


def _run(honest: Callable[..., None]) -> Callable[..., None]:
    def run(connection: socket.socket, parent: int, path: Path, *rest: Any) -> None:
        left_out = path.name.partition("without ")[2].split(",")
        for layer in filter(None, left_out):
            _LEAVE_OUT[layer]()
        if left_out != [""]:
            sandbox._check = lambda *_: None
        honest(connection, parent, path, *rest)

    return run


def _no_landlock(*_: Any) -> int:
    raise landlock.LandlockError("left out")


def _replace(module: Any, name: str, instead: Any) -> Callable[[], None]:
    return lambda: setattr(module, name, instead)


def _no_namespace(layer: str, flag: str) -> Callable[[], None]:
    def leave_out() -> None:
        honest = namespaces.enter

        def enter(libc: Any) -> tuple[list[str], dict[str, str]]:
            setattr(namespaces, flag, 0)
            held, missing = honest(libc)
            return [name for name in held if name != layer], missing | {layer: "left out"}

        namespaces.enter = enter

    return leave_out


_KILL = seccomp._instruction(seccomp._RETURN, seccomp._KILL)
_LEAVE_OUT: Mapping[str, Callable[[], None]] = {
    "resource_limits": _replace(sandbox, "_limit_resources", lambda _: None),
    "user_namespace": _no_namespace("user_namespace", "_CLONE_NEWUSER"),
    "network_namespace": _no_namespace("network_namespace", "_CLONE_NEWNET"),
    "landlock": _replace(landlock, "restrict", _no_landlock),
    "seccomp": _replace(seccomp, "install_filter", lambda *_: "left out"),
    "threads": _replace(seccomp, "_clone", lambda number, **_: seccomp._answer([number], _KILL)),
}


def system_call(number: int, argument: int) -> str:
    """Raise the kernel's error for a system call that Python does not offer."""
    libc = ctypes.CDLL(None, use_errno=True)
    return DONE if libc.syscall(number, argument) >= 0 else errno.errorcode[ctypes.get_errno()]


class _Sought(importlib.abc.MetaPathFinder):
    """Import hook that is asked first for every module not loaded yet."""

    def find_spec(self, fullname: str, path: object, target: object = None) -> None:
        sought.append(fullname)


sought: list[str] = []
"""Modules that a child tried to import, found or not."""
