"""Entry point of `sentinel-worker` and of `python -m sentinel_worker`."""

import os
import signal
import sys
from types import FrameType


def main() -> None:
    """Import the commands, which takes half a second, and run one. A signal meanwhile ends the process quietly."""
    theirs = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    for number, handler in theirs.items():
        if handler is not signal.SIG_IGN:
            signal.signal(number, _end)
    from sentinel_worker.cli import main as run_command

    if not _is_worker():  # which soon sets handlers of its own
        for number, handler in theirs.items():
            signal.signal(number, handler)
    run_command()


def _end(number: int, _frame: FrameType | None) -> None:
    """Exit at once: a worker has nothing to hand back yet, and a command's shell expects the signal's number."""
    os._exit(0 if _is_worker() else 128 + number)


def _is_worker() -> bool:
    return sys.argv[1:2] == ["run"]


if __name__ == "__main__":
    main()
