"""Python processes without an environment or current folder, and with only one descriptor: a socket."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path


def program(module: str, before: str = "") -> str:
    """Source text of a bare process: `before`, then `main(descriptor of the socket, pid of the worker)` of `module`."""
    return (
        # -I keeps the environment and the current folder out; the worker's own search path is passed on instead.
        "import json, sys; sys.path[:] = json.loads(sys.argv[3]); "
        f"{before}from {module} import main; main(int(sys.argv[1]), int(sys.argv[2]))"
    )


def start(text: str, connection: socket.socket, cwd: Path, *, stderr: int | None = None) -> subprocess.Popen[bytes]:
    """Start `text`, a `program`, in its own session. It takes a millisecond: vfork and exec."""
    search_path = json.dumps([entry for entry in sys.path if Path(entry).is_absolute()])
    arguments = [str(connection.fileno()), str(os.getpid()), search_path]
    return subprocess.Popen(
        [sys.executable, "-I", "-X", "utf8", "-c", text, *arguments],
        env={},
        cwd=cwd,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=stderr,
        close_fds=True,
        pass_fds=[connection.fileno()],
        start_new_session=True,
    )
