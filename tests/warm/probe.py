"""Prints the state that a process starts with, then ends as its environment says: `python -m tests.warm.probe`."""

from __future__ import annotations

import ctypes
import json
import os
import signal
import sys
import threading
from pathlib import Path
from typing import Any, Final

_PR_GET_PDEATHSIG: Final = 2


def found() -> dict[str, Any]:
    """No part of it differs between two starts of the same kind."""
    death = ctypes.c_int()
    ctypes.CDLL(None).prctl(_PR_GET_PDEATHSIG, ctypes.byref(death), 0, 0, 0)
    masked = signal.pthread_sigmask(signal.SIG_BLOCK, ())
    return {
        "arguments": sys.argv[1:],
        "program": Path(sys.argv[0]).name,
        "environment": dict(os.environ),
        "folder": str(Path.cwd()),
        "leads_its_session": os.getsid(0) == os.getpid(),
        "signal_at_the_death_of_its_parent": death.value,
        "signals": {number.name: str(signal.getsignal(number)) for number in signal.Signals if number not in masked},
        "masked": sorted(masked),
        "input": Path("/proc/self/fd/0").readlink().name,
        "descriptors": len([one for one in os.listdir("/proc/self/fd") if int(one) < 3]),  # noqa: PTH208
        "threads": threading.active_count(),
        "search_path": sys.path,
        "main": sys.modules["__main__"].__spec__.name,  # type: ignore[union-attr]
    }


if __name__ == "__main__":
    sys.stderr.write(json.dumps(found()))
    sys.stderr.flush()
    match os.environ["PROBE_END"]:
        case "exit":
            sys.exit(3)
        case "fault":
            raise ValueError
        case "wait":
            signal.pause()
