"""Imports all that a worker imports, and becomes a worker at each order: `python -m tests.warm.template DESCRIPTOR`.

What a worker imports costs seconds, a fork of it milliseconds. The fork gets the environment, the folder, the standard
output and error that the order names, a session of its own, and runs the ordered module as `python -m` does; it gets
SIGTERM when this process ends, and this one ends with the process that holds the other end of its socket.

What modules make of the environment while they are imported (`HF_HOME`, `TRANSFORMERS_VERBOSITY`) they made of an empty
one; where that matters, and for what a fork has in common with its parent, a test starts a real process.
"""

from __future__ import annotations

import atexit
import ctypes
import gc
import json
import os
import runpy
import selectors
import signal
import socket
import sys
import threading
from typing import Any, Final, NoReturn

from sentinel_worker.heavy_imports import heavy_imports
from tests.warm import zygote

PACKET_BYTES: Final = 128 * 1024
ENVIRONMENT: Final = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
"""Of this process only: OpenBLAS and OpenMP start no threads, of which a fork would have none."""
_PR_SET_PDEATHSIG: Final = 1

Order = dict[str, Any]


def warm_up() -> None:
    """Import what a worker imports, and its zygote."""
    with heavy_imports():
        from sentinel_worker import cli, daemon
        from sentinel_worker.commands import chosen_detectors
        from sentinel_worker.media import child_main
        from sentinel_worker.sources.social import catalogue

        child_main.warm_up()
        catalogue.find_extractors(())
    del cli, daemon, chosen_detectors
    assert len(os.listdir("/proc/self/task")) == 1, "a fork would copy the locks of other threads"  # noqa: PTH208
    for name in ENVIRONMENT:
        del os.environ[name]
    gc.collect()
    gc.freeze()


class Template:
    """Forks at each order, and tells how each fork ended."""

    def __init__(self, control: socket.socket) -> None:
        self._control = control
        self._forks: set[int] = set()

    def serve(self) -> tuple[Order, list[int]] | None:
        """Returns in each fork, with its order and its standard output and error; and, with None, at the end."""
        wake_read, wake_write = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        signal.set_wakeup_fd(wake_write, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        self._tell({"event": "ready"})
        with selectors.DefaultSelector() as selector:
            selector.register(self._control, selectors.EVENT_READ)
            selector.register(wake_read, selectors.EVENT_READ)
            while True:
                ready = {key.fd for key, _ in selector.select()}
                if wake_read in ready:
                    os.read(wake_read, PACKET_BYTES)
                    self._reap()
                if self._control.fileno() in ready:
                    packet, descriptors, _, _ = socket.recv_fds(self._control, PACKET_BYTES, 2)
                    if not packet:
                        return None
                    if self._forked():
                        return json.loads(packet), descriptors
                    for descriptor in descriptors:
                        os.close(descriptor)

    def _forked(self) -> bool:
        parent = os.getpid()
        pid = os.fork()
        if pid:
            self._forks.add(pid)
            self._tell({"event": "started", "pid": pid})
            return False
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
        if os.getppid() != parent:  # it died before the signal was armed
            os._exit(1)
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        return True

    def _reap(self) -> None:
        while self._forks:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if pid == 0:
                return
            self._forks.remove(pid)
            self._tell({"event": "ended", "pid": pid, "status": os.waitstatus_to_exitcode(status)})

    def _tell(self, event: dict[str, Any]) -> None:
        self._control.sendall(json.dumps(event).encode())


def become(order: Order, descriptors: list[int]) -> None:
    """Take the place that the order names."""
    os.setsid()
    for number, descriptor in enumerate((os.open(os.devnull, os.O_RDONLY), *descriptors)):
        os.dup2(descriptor, number)
    first = zygote.forked()
    zygote.close_others(first.handover)
    zygote.hand_out(first)
    os.chdir(order["folder"])
    os.environ.clear()
    os.environ.update(order["environment"])
    sys.argv = [sys.argv[0], "run"]


def run(module: str) -> NoReturn:
    """Run it as `python -m` does, and end as the interpreter does, but for taking apart what was imported: 0.4 s."""
    status: object = 0
    try:
        runpy.run_module(module, run_name="__main__", alter_sys=True)
    except SystemExit as end:
        status = end.code
    except BaseException:  # noqa: BLE001 - whatever nobody caught, as the interpreter does
        sys.excepthook(*sys.exc_info())
        status = 1
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    os._exit(status if isinstance(status, int) else bool(status))


def main() -> None:
    """Serve; in a fork become a worker."""
    warm_up()
    ordered = Template(socket.socket(fileno=int(sys.argv[1]))).serve()
    if ordered is not None:
        become(*ordered)
        run(ordered[0]["module"])


if __name__ == "__main__":
    main()
