"""Imports all that a worker imports, and forks a worker at each order: `python -m tests.warm.worker_main`; see `forks`.

A fork runs the ordered module as `python -m` does. Modules read the environment while they are imported (`HF_HOME`,
`TRANSFORMERS_VERBOSITY`), and find it empty here. Tests start a real process if that matters, or if anything else does
that a fork shares with its parent.
"""

from __future__ import annotations

import atexit
import gc
import os
import runpy
import sys
import threading
from typing import NoReturn

from sentinel_worker.heavy_imports import heavy_imports
from tests.warm import zygote
from tests.warm.forks import Order, enter, serve


def warm_up() -> None:
    """Import what a worker and its zygote import."""
    with heavy_imports():
        from sentinel_worker import cli, daemon
        from sentinel_worker.commands import chosen_detectors
        from sentinel_worker.media import child_main
        from sentinel_worker.sources.social import catalogue

        child_main.warm_up()
        catalogue.find_extractors(())
    del cli, daemon, chosen_detectors
    assert len(os.listdir("/proc/self/task")) == 1, "a fork would copy the locks of other threads"  # noqa: PTH208
    gc.collect()
    gc.freeze()


def become_worker(order: Order) -> NoReturn:
    """Fork the first zygote, then run the ordered module."""
    first = zygote.forked()
    zygote.close_others(first.handover)
    zygote.hand_out(first)
    enter(order)
    sys.argv = [sys.argv[0], "run"]
    run(order["module"])


def run(module: str) -> NoReturn:
    """Run it as `python -m` does, and end as the interpreter does, without freeing the imports, which takes 0.4 s."""
    status: object = 0
    try:
        runpy.run_module(module, run_name="__main__", alter_sys=True)
    except SystemExit as end:
        status = end.code
    except BaseException:  # noqa: BLE001 - as the interpreter does for uncaught exceptions
        sys.excepthook(*sys.exc_info())
        status = 1
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:
            stream.flush()
    os._exit(status if isinstance(status, int) else bool(status))


if __name__ == "__main__":
    warm_up()
    if ordered := serve():
        become_worker(ordered)
