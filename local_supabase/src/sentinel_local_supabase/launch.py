"""Run one program that dies with its parent, as an unprivileged account if this process is root.

Started as `python -I -S launch.py SPEC`. When the parent closes standard input, deliberately or by dying, the
program gets SIGINT (PostgreSQL's fast shutdown), then SIGQUIT, then SIGKILL. If this process itself is killed,
the kernel sends the SIGINT.

SPEC is JSON: `command` (argument list), `account` ([uid, gid] to switch to, or null), `capability` (the number
of a Linux capability to keep across that switch, or null), `remove` (a folder to remove at the end, or null).
"""

import ctypes
import json
import os
import select
import shutil
import signal
import sys
from typing import Any

PR_SET_PDEATHSIG, PR_SET_SECUREBITS, PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE = 1, 28, 47, 2
SECBIT_NO_SETUID_FIXUP = 1 << 2
CAPABILITY_VERSION_3 = 0x20080522
GRACE_SECONDS = 6.0


def become(uid: int, gid: int, capability: int | None) -> None:
    """Drop root permanently, keeping at most one capability for this process and the programs it executes."""
    libc = ctypes.CDLL(None, use_errno=True)
    if capability is not None:
        # Keep the capability across setuid and make access(2) honour it: PostgreSQL checks its programs that way.
        libc.prctl(PR_SET_SECUREBITS, SECBIT_NO_SETUID_FIXUP, 0, 0, 0)
    os.setgroups([])
    os.setgid(gid)
    os.setuid(uid)
    if capability is None:
        return
    bit = 1 << capability
    header = (ctypes.c_uint32 * 2)(CAPABILITY_VERSION_3, 0)
    sets = (ctypes.c_uint32 * 6)(bit, bit, bit, 0, 0, 0)
    kept = libc.capset(header, sets) == 0
    if not (kept and libc.prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, capability, 0, 0) == 0):
        raise OSError(ctypes.get_errno(), f"capability {capability} could not be kept")


def spawn(command: list[str]) -> int:
    """Fork and execute `command` with an empty standard input; return its process id."""
    launcher = os.getpid()
    child = os.fork()
    if child:
        return child
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGINT, 0, 0, 0)
    if os.getppid() != launcher:  # the parent died before the signal was set up
        os._exit(1)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    try:
        os.execv(command[0], command)  # noqa: S606 - the argument list comes from our own parent
    except OSError as error:
        os.write(2, f"{command[0]}: {error.strerror}\n".encode())
        os._exit(127)


def wait(child: int) -> int:
    """Wait until the program ends or the parent closes standard input; return an exit status."""
    ended = os.pidfd_open(child)
    readable, _, _ = select.select([0, ended], [], [])
    if ended not in readable:
        for number in (signal.SIGINT, signal.SIGQUIT, signal.SIGKILL):
            signal.pidfd_send_signal(ended, number)
            if select.select([ended], [], [], GRACE_SECONDS)[0]:
                break
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def main(spec: dict[str, Any]) -> int:
    """Run one SPEC (see the module docstring) and return the program's exit status."""
    if spec["account"] is not None:
        uid, gid = spec["account"]
        become(uid, gid, spec["capability"])
    status = wait(spawn(spec["command"]))
    if spec["remove"] is not None:
        shutil.rmtree(spec["remove"], ignore_errors=True)
    return status if status >= 0 else 128 - status


if __name__ == "__main__":
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)  # standard input decides; Ctrl+C in a terminal is for the parent
    sys.exit(main(json.loads(sys.argv[1])))
