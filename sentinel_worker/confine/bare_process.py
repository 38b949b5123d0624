"""Python processes without an environment, and with no descriptor but the standard ones and, at most, a socket.

The worker starts every process here, so the machine's refusal of one has one meaning: `Transient('memory_exhausted')`.
"""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

from sentinel_worker.domain.machine_errors import start_errors_translated


def program(module: str, before: str = "") -> str:
    """Source text of a bare process: `before`, then `main(descriptor of the socket, pid of the worker)` of `module`."""
    return (
        # -I keeps the environment and the current folder out; the worker's own search path is passed on instead.
        "import json, sys; sys.path[:] = json.loads(sys.argv[3]); "
        f"{before}from {module} import main; main(int(sys.argv[1]), int(sys.argv[2]))"
    )


def start(text: str, connection: socket.socket, cwd: Path, *, stderr: int | None = None) -> subprocess.Popen[bytes]:
    """Start `text`, a `program`, in its own session. It takes a millisecond: vfork and exec.

    Raises `Transient('memory_exhausted')` or `Transient('descriptors_exhausted')` if the machine refuses it.
    """
    search_path = json.dumps([entry for entry in sys.path if Path(entry).is_absolute()])
    arguments = [str(connection.fileno()), str(os.getpid()), search_path]
    return _popen(
        ["-X", "utf8", "-c", text, *arguments],
        cwd=cwd,
        stdout=subprocess.DEVNULL,
        stderr=stderr,
        pass_fds=[connection.fileno()],
        start_new_session=True,
    )


def output(text: str = "", *arguments: str) -> str:
    """Run the program `text`, which may import only the standard library; return what it printed.

    Raises as `start` does. It takes about 10 ms.
    """
    running = _popen(["-S", "-c", text, *arguments], cwd=Path("/"), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    return running.communicate()[0].decode()


def _popen(arguments: list[str], **more: Any) -> subprocess.Popen[bytes]:
    with start_errors_translated():
        return subprocess.Popen(
            [sys.executable, "-I", *arguments], env={}, stdin=subprocess.DEVNULL, close_fds=True, **more
        )
