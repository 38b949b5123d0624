"""The zygote: a single-threaded process that has imported the decoder and forks one child per request.

It is started by exec with an empty environment, so neither it nor a child inherits a secret. It never touches media. It
ends with the worker, and its children end with it.

On its control socket (one JSON object per packet) it receives `{"fork": n, …}` with the child's socket attached and
`{"kill": n}`. It sends `ready` or `failed` once, then `forked` or `unforked`, and `exited` with an exit code and the
CPU seconds that the kernel counted.
"""

from __future__ import annotations

import contextlib
import errno
import importlib
import json
import os
import selectors
import signal
import socket
import traceback
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any, Final, NoReturn

from sentinel_worker.domain.machine_errors import passing_fault
from sentinel_worker.heavy_imports import heavy_imports
from sentinel_worker.observe import log_stream

PACKET_BYTES: Final = 64 * 1024
_SESSION_FD: Final = 3


def main(control_fd: int, parent: int) -> None:
    """Import the decoder, report that, then fork and reap until the worker closes the socket."""
    # systemd sends SIGTERM to every process of a service; requests that drain still need their children.
    for ignored in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(ignored, signal.SIG_IGN)
    log_stream.protect()  # a reader that no longer reads the worker's log would keep this process from ending
    control = socket.socket(fileno=control_fd)
    try:
        _warm_up(parent)
    except Exception as error:  # noqa: BLE001 any error of an import is reported to the worker, then this process ends
        detail, passing = traceback.format_exc(limit=-3), passing_fault(error) is not None
        _tell(control, {"event": "failed", "detail": detail, "passing": passing})
        return
    _tell(control, {"event": "ready", "pid": os.getpid()})
    _Zygote(control).serve()


def _warm_up(parent: int) -> None:
    # Read by OpenBLAS and OpenMP when they are loaded: a forked child has only the thread that forked.
    os.environ.update(OPENBLAS_NUM_THREADS="1", OMP_NUM_THREADS="1", MKL_NUM_THREADS="1")
    import gc

    with heavy_imports():
        import torch

        with _without_compiler(torch):
            from sentinel_worker.confine import sandbox
            from sentinel_worker.media import child_main

    torch.set_num_threads(1)
    torch.set_num_interop_threads(1)
    child_main.warm_up()
    os.environ.clear()
    sandbox.die_with_parent(parent)
    threads = len(os.listdir("/proc/self/task"))  # noqa: PTH208 counted, not walked
    if threads != 1:
        raise RuntimeError(f"the zygote has {threads} threads; a fork would copy their locks")
    # A collection in a child would touch, and so copy, every page of the imported modules.
    gc.collect()
    gc.freeze()


@contextlib.contextmanager
def _without_compiler(torch: ModuleType) -> Iterator[None]:
    """Keep torchcodec from importing torch's compiler, which it does only to exclude its operators from compilation.

    Nothing is compiled here, and the import takes two fifths of this process's start, and 70 MB (`bench/RESULTS.md`).
    """
    vars(torch)["_dynamo"] = _NoCompiler("torch._dynamo")
    try:
        yield
    finally:
        if isinstance(vars(torch)["_dynamo"], _NoCompiler):
            del vars(torch)["_dynamo"]  # later imports get the real one


class _NoCompiler(ModuleType):
    """The only function of torch's compiler that torchcodec calls; any other access imports the compiler itself."""

    @staticmethod
    def disallow_in_graph(operator: object) -> object:
        return operator

    def __getattr__(self, name: str) -> object:
        return getattr(importlib.import_module(self.__name__), name)


class _Zygote:
    def __init__(self, control: socket.socket) -> None:
        self._control = control
        self._numbers: dict[int, int] = {}

    def serve(self) -> None:
        wake_read, wake_write = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        signal.set_wakeup_fd(wake_write, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        with selectors.DefaultSelector() as selector:
            selector.register(self._control, selectors.EVENT_READ)
            selector.register(wake_read, selectors.EVENT_READ)
            try:
                while True:
                    ready = {key.fd for key, _ in selector.select()}
                    if wake_read in ready:
                        os.read(wake_read, PACKET_BYTES)
                        self._reap()
                    if self._control.fileno() in ready and not self._obey():
                        return
            finally:
                self._end_children()

    def _obey(self) -> bool:
        packet, descriptors, _, _ = socket.recv_fds(self._control, PACKET_BYTES, 1)
        if not packet:
            return False
        order: dict[str, Any] = json.loads(packet)
        if "fork" in order:
            if descriptors:
                self._fork(order, descriptors[0])
                os.close(descriptors[0])
            else:  # the kernel drops what this process has no descriptor for
                _tell(self._control, {"event": "unforked", "number": order["fork"], "errno": errno.EMFILE})
        else:
            for pid, number in self._numbers.items():
                if number == order["kill"]:
                    os.kill(pid, signal.SIGKILL)
        return True

    def _fork(self, order: dict[str, Any], session_fd: int) -> None:
        number, zygote = order["fork"], os.getpid()
        try:
            pid = os.fork()
        except OSError as error:
            _tell(self._control, {"event": "unforked", "number": number, "errno": error.errno})
            return
        if pid == 0:
            _become_child(order, session_fd, zygote)
        self._numbers[pid] = number
        _tell(self._control, {"event": "forked", "number": number, "pid": pid})

    def _reap(self) -> None:
        while self._numbers:
            pid, status, usage = os.wait4(-1, os.WNOHANG)
            if pid == 0:
                return
            number = self._numbers.pop(pid)
            code = os.waitstatus_to_exitcode(status)
            cpu_seconds = usage.ru_utime + usage.ru_stime
            _tell(self._control, {"event": "exited", "number": number, "code": code, "cpu_seconds": cpu_seconds})

    def _end_children(self) -> None:
        for pid in self._numbers:
            os.kill(pid, signal.SIGKILL)
        for pid in self._numbers:
            os.waitpid(pid, 0)


def _become_child(order: dict[str, Any], session_fd: int, zygote: int) -> NoReturn:
    """Run a child and never return into the zygote's loop."""
    code = 1
    try:
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        # The decoder library writes about hostile media to standard error; none of it may reach the log.
        os.dup2(0, 2)
        os.dup2(session_fd, _SESSION_FD)
        os.closerange(_SESSION_FD + 1, 1 << 20)

        from sentinel_worker.domain.media_facts import MediaLimits
        from sentinel_worker.media import child_main  # loaded already, by the zygote

        child_main.run(
            socket.socket(fileno=_SESSION_FD),
            zygote,
            Path(order["path"]),
            Path(order["directory"]),
            MediaLimits(**order["limits"]),
            order["mode"],
            order["profile"],
        )
        code = 0
    finally:
        os._exit(code)


def _tell(control: socket.socket, event: dict[str, Any]) -> None:
    try:
        control.sendall(json.dumps(event).encode())
    except OSError:
        # The worker is gone; the next read of the control socket says so.
        return
