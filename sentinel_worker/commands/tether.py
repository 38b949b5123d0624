"""Execute another program that ends when its parent does: `python -I -S tether.py PARENT_PID COMMAND …`.

The process keeps its id, so a signal sent to it reaches the program. The kernel sends the program SIGTERM when the
parent dies, even by SIGKILL.
"""

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1


def main(parent: int, command: list[str]) -> None:
    """Set the parent-death signal, then execute `command`; the setting survives the exec."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
    if os.getppid() != parent:  # it died before the signal was set
        sys.exit(1)
    os.execv(command[0], command)  # noqa: S606 - the argument list comes from our own parent


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2:])
