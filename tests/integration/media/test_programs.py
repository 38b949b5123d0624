"""The sandbox of a program that has its own network, writes files, and perhaps forks."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from sentinel_worker.confine import sandbox
from sentinel_worker.confine.layers import Layers, Limits, Walls

PRELUDE = """
import encodings.idna, errno, fcntl, json, os, resource, socket, subprocess, sys, threading
from pathlib import Path
from sentinel_worker.confine import sandbox
from sentinel_worker.confine.layers import Limits, Walls

def attempt(work):
    try:
        return work() or "done"
    except OSError as error:
        return errno.errorcode[error.errno]

def converse():
    with socket.create_server(("127.0.0.1", 0)) as server:
        with socket.create_connection(server.getsockname()) as client:
            client.sendall(b"hello")
            with server.accept()[0] as accepted:
                return accepted.recv(5).decode()

def fork():
    if os.fork() == 0:
        os._exit(0)
    os.wait()

folder, port = Path(sys.argv[1]), int(sys.argv[2])
limits = Limits(2 * 1024**3, 60, file_bytes=1024**2)
"""
TRIES = """
print(json.dumps({
    "own loopback": attempt(converse),
    "the machine's loopback": attempt(lambda: socket.create_connection(("127.0.0.1", port), 5)),
    "netlink": attempt(lambda: socket.socket(socket.AF_NETLINK, socket.SOCK_RAW)),
    "write": attempt(lambda: (folder / "part").write_bytes(bytes(1024**2)) and None),
    "write too much": attempt(lambda: (folder / "part").write_bytes(bytes(1024**2 + 1)) and None),
    "rename": attempt(lambda: os.rename("part", "whole")),
    "thread": attempt(lambda: threading.Thread(target=int).start()),
    "write elsewhere": attempt(lambda: (folder.parent / "elsewhere").write_bytes(b"x") and None),
    "read elsewhere": attempt(lambda: Path("/etc/passwd").read_text() and None),
    "link": attempt(lambda: os.symlink("/etc/passwd", "link")),
    "kill": attempt(lambda: os.kill(os.getppid(), 0)),
    "limits of others": attempt(lambda: resource.prlimit(os.getppid(), resource.RLIMIT_NOFILE, (9, 9))),
    "owner of a descriptor": attempt(lambda: fcntl.fcntl(0, fcntl.F_SETOWN, os.getppid()) and None),
    "leave the group": attempt(lambda: os.setsid() and None),
    "memory with a name": attempt(lambda: os.memfd_create("x") and None),
    "fork": attempt(fork),
    "program": attempt(lambda: subprocess.run(["/bin/true"], check=True) and None),
}))
"""
REFUSED_TO_ALL = {
    "write elsewhere": "EACCES",
    "read elsewhere": "EACCES",
    "link": "EACCES",
    "netlink": "EPERM",
    "kill": "EPERM",
    "limits of others": "EPERM",
    "owner of a descriptor": "EPERM",
    "leave the group": "EPERM",
    "memory with a name": "EPERM",
}
"""`subprocess` reads Python's own files before the sandbox is up."""


def inside(script: str, folder: Path, port: int) -> dict[str, Any]:
    command = [sys.executable, "-c", PRELUDE + script, str(folder), str(port)]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    answer: dict[str, Any] = json.loads(ran.stdout)
    return answer


@pytest.fixture(scope="module", autouse=True)
def _needs_every_layer(tmp_path_factory: pytest.TempPathFactory) -> None:
    script = "print(json.dumps(dict(sandbox.apply(Walls(folder, limits)).missing)))"
    missing = inside(script, tmp_path_factory.mktemp("probe"), 0)
    if missing:
        pytest.skip(f"this kernel lacks {', '.join(missing)}")


@pytest.mark.parametrize("may_fork", [False, True])
def test_a_program_has_its_own_network(tmp_path: Path, may_fork: bool) -> None:
    folder = tmp_path / "own"
    folder.mkdir()
    readable = "readable=tuple(map(Path, ('/bin', '/usr', '/lib', '/lib64', '/dev/null')))"
    walls = f"Walls(folder, limits, {readable}, writable=(folder,), network='own_namespace', may_fork={may_fork})"
    with socket.create_server(("127.0.0.1", 0)) as server:
        found = inside(f"sandbox.apply({walls})\n{TRIES}", folder, server.getsockname()[1])
        server.settimeout(0)
        with pytest.raises(BlockingIOError):
            server.accept()
    assert {name: found[name] for name in REFUSED_TO_ALL} == REFUSED_TO_ALL
    assert found["own loopback"] == "hello"
    assert found["the machine's loopback"] == "ECONNREFUSED"
    assert (found["write"], found["write too much"], found["rename"], found["thread"]) == (
        "done",
        "EFBIG",
        "done",
        "done",
    )
    allowed = "done" if may_fork else "EPERM"
    assert (found["fork"], found["program"]) == (allowed, allowed)
    assert [path.name for path in folder.iterdir()] == ["whole"]


def test_a_fork_cannot_leave_through_a_namespace(tmp_path: Path) -> None:
    """Nor by clone(), whose flags are checked."""
    script = """
import ctypes, platform
from sentinel_worker.confine.system_calls import BY_ARGUMENT
sandbox.apply(Walls(folder, limits, network="own_namespace", may_fork=True))
libc = ctypes.CDLL(None, use_errno=True)
number = BY_ARGUMENT["clone"][platform.machine() == "aarch64"]
def clone(flags):
    pid = libc.syscall(number, ctypes.c_long(flags), None, None, None, None)
    if pid == 0:
        os._exit(0)
    return "done" if pid > 0 else errno.errorcode[ctypes.get_errno()]
print(json.dumps({"fork": clone(17), **{hex(flag): clone(flag | 17) for flag in
    (0x20000, 0x2000000, 0x4000000, 0x8000000, 0x10000000, 0x20000000, 0x40000000)}}))
"""
    found = inside(script, tmp_path, 0)
    assert found.pop("fork") == "done"
    assert set(found.values()) == {"EPERM"}


def test_a_fork_bomb_ends_at_its_namespaces_limit(tmp_path: Path) -> None:
    """The limit does not bind root, so root becomes another user first."""
    script = """
if os.geteuid() == 0:
    os.setgroups([])
    os.setresgid(65534, 65534, 65534)
    os.setresuid(65534, 65534, 65534)
layers = sandbox.apply(Walls(Path("/"), limits, network="own_namespace", may_fork=True))
held, free = os.pipe()
forks, refused = 0, None
while forks < 1000 and refused is None:
    try:
        pid = os.fork()
    except OSError as error:
        refused = errno.errorcode[error.errno]
    else:
        if pid == 0:
            os.close(free)
            os.read(held, 1)  # until the first of them is gone
            os._exit(0)
        forks += 1
os.close(free)
for _ in range(forks):
    os.wait()
print(json.dumps({"forks": forks, "refused": refused, "layers": layers.in_force}))
"""
    found = inside(script, tmp_path, 0)
    assert "user_namespace" in found["layers"]
    assert (found["forks"], found["refused"]) == (63, "EAGAIN")


def test_a_network_namespace_is_never_the_machines_own(tmp_path: Path) -> None:
    script = """
sandbox.namespaces.enter = lambda *_, **__: ([], {"user_namespace": "no", "network_namespace": "no"})
try:
    sandbox.apply(Walls(folder, limits, network="own_namespace"))
except sandbox.SandboxError as error:
    print(json.dumps({"refused": str(error)}))
"""
    assert "network namespace" in inside(script, tmp_path, 0)["refused"]


def test_why_names_layers_with_one_reason_together() -> None:
    layers = Layers(("resource_limits",), {"user_namespace": "x", "network_namespace": "x", "landlock_tcp": "y"})
    said = sandbox.why(layers.missing, layers)
    assert said.startswith("user_namespace, network_namespace (x; commonly blocked by Docker's")
    assert said.endswith("; landlock_tcp (y)")
    assert Walls(Path("/"), Limits(1, 1)).limits.file_bytes == 0
