"""A worker that is started without standard streams: `python -m tests.integration.daemon.closed_streams run`."""

import os
import sys

from sentinel_worker import cli

if __name__ == "__main__":
    for number in range(3):
        os.close(number)
    sys.stdin = sys.stdout = sys.stderr = None  # as Python finds them
    cli.main()
