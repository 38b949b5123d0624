"""A worker that gets more signals when its loop has ended: `python -m tests.integration.daemon.late_signals run`."""

import atexit
import signal

from sentinel_worker import cli

if __name__ == "__main__":
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        atexit.register(signal.raise_signal, number)
    cli.main()
