"""The layers themselves, tested from inside by a process that has put them up."""

import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

PRELUDE = """
import errno, json, os, resource, socket, sys, threading
from pathlib import Path
from sentinel_worker.confine import sandbox
from sentinel_worker.confine.layers import Limits, Walls

def attempt(work):
    try:
        work()
    except OSError as error:
        return errno.errorcode[error.errno]
    except MemoryError:
        return "MemoryError"
    return "done"

def connect(family, address):
    with socket.socket(family) as connection:
        connection.connect(address)

folder = Path(sys.argv[1])
"""
TRIES = """
limits = Limits(3 * 1024**3, 600, 64 * 1024**2)
offered = open("/proc/self/oom_score_adj", "rb")  # once the walls are up it cannot be opened
layers = sandbox.apply(Walls(folder, limits, writable=(folder,))).in_force
print(json.dumps({
    "layers": layers,
    "tcp": attempt(lambda: connect(socket.AF_INET, ("127.0.0.1", int(sys.argv[2])))),
    "unix": attempt(lambda: connect(socket.AF_UNIX, sys.argv[3])),
    "fork": attempt(os.fork),
    "exec": attempt(lambda: os.execv("/bin/true", ["true"])),
    "kill": attempt(lambda: os.kill(os.getppid(), 0)),
    "environment of the worker": attempt(Path(f"/proc/{os.getppid()}/environ").read_bytes),
    "thread": attempt(lambda: threading.Thread(target=int).start()),
    "4 GiB": attempt(lambda: bytearray(4 * 1024**3)),
    "65 MiB file": attempt(lambda: Path("big").write_bytes(bytes(65 * 1024**2))),
    "64 files": attempt(lambda: [os.open(".", os.O_RDONLY) for _ in range(64)]),
    "core": resource.getrlimit(resource.RLIMIT_CORE)[0],
    "folder": os.getcwd(),
    "offered to the OOM killer": int(offered.read()),
}))
"""

WITHOUT_NAMESPACES = "from tests.integration.media.poor_kernel import refuse\nrefuse(['namespaces'])\n"


@pytest.fixture
def listeners(tmp_path: Path) -> Iterator[list[str]]:
    """A TCP port and a Unix socket that would accept a connection."""
    tcp, unix = socket.create_server(("127.0.0.1", 0)), socket.socket(socket.AF_UNIX)
    path = str(tmp_path / "listener")
    unix.bind(path)
    unix.listen()
    with tcp, unix:
        yield [str(tcp.getsockname()[1]), path]


def inside(script: str, *arguments: str) -> dict[str, Any]:
    ran = subprocess.run(
        [sys.executable, "-c", PRELUDE + script, *arguments], capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stderr
    answer: dict[str, Any] = json.loads(ran.stdout)
    return answer


def test_nothing_gets_out(tmp_path: Path, listeners: list[str]) -> None:
    found = inside(TRIES, str(tmp_path), *listeners)
    layers = found.pop("layers")
    assert {"resource_limits", "no_new_privileges"} <= set(layers)
    assert {"network_namespace", "seccomp"} & set(layers)
    assert found["tcp"] in ("EPERM", "ENETUNREACH", "ECONNREFUSED")
    if "seccomp" in layers:
        assert [found[what] for what in ("tcp", "unix", "fork", "exec", "kill")] == ["EPERM"] * 5
    if "user_namespace" in layers:
        assert found["environment of the worker"] == "EACCES"
    assert found["4 GiB"] == "MemoryError"
    assert found["65 MiB file"] == "EFBIG"
    assert found["64 files"] == "EMFILE"
    assert (found["core"], found["folder"], found["thread"]) == (0, str(tmp_path), "done")
    assert found["offered to the OOM killer"] == 1000
    assert (tmp_path / "big").stat().st_mode & 0o777 == 0o600


def test_a_kernel_without_namespaces_still_has_the_filter(tmp_path: Path, listeners: list[str]) -> None:
    found = inside(WITHOUT_NAMESPACES + TRIES, str(tmp_path), *listeners)
    assert not {"user_namespace", "network_namespace"} & set(found["layers"])
    assert "seccomp" in found["layers"]
    assert (found["tcp"], found["unix"]) == ("EPERM", "EPERM")


def test_without_any_network_layer_the_child_refuses(tmp_path: Path) -> None:
    script = """
sandbox.seccomp.install_filter = lambda *_: "none here"
try:
    sandbox.apply(Walls(folder, Limits(3 * 1024**3, 600)))
except sandbox.SandboxError as error:
    print(json.dumps({"refused": str(error)}))
"""
    assert "neither" in inside(WITHOUT_NAMESPACES + script, str(tmp_path))["refused"]


def test_a_child_whose_parent_is_gone_leaves(tmp_path: Path) -> None:
    ran = subprocess.run(
        [sys.executable, "-c", PRELUDE + "sandbox.die_with_parent(1); print('still here')", str(tmp_path)],
        capture_output=True,
        text=True,
        check=True,
    )
    assert ran.stdout == ""
    assert os.getpid() != 1
