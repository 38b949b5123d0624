"""Each layer bites: a hijacked child tries with all layers, with each one only, and without those that bite."""

from __future__ import annotations

import contextlib
import os
import platform
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

import pytest

from sentinel_worker.confine import sandbox
from sentinel_worker.confine.system_calls import REFUSED
from sentinel_worker.domain.errors import CodedError, Permanent, Transient
from sentinel_worker.domain.media_facts import MediaLimits
from sentinel_worker.media.child_client import Child
from sentinel_worker.media.protocol import Profile
from sentinel_worker.media.zygote import Zygote
from tests.integration.media.hostile import DONE, hijacked, run_in
from tests.integration.media.processes import alive, processes

pytestmark = pytest.mark.asyncio(loop_scope="session")

SWITCHED = ("resource_limits", "user_namespace", "network_namespace", "landlock", "seccomp")
VICTIM = """
import ctypes, signal
from sentinel_worker.confine import namespaces
namespaces.drop_capabilities(ctypes.CDLL(None, use_errno=True))
print("ready", flush=True)
signal.pause()
"""


@dataclass(frozen=True)
class Attempt:
    """Code for a child to try, the layers that each refuse it on their own, and its result without those layers."""

    source: str
    refused_by: tuple[str, ...]
    otherwise: str = DONE


ATTEMPTS = {
    "connect by TCP": Attempt(
        "socket.create_connection(('127.0.0.1', {tcp}), 5)", ("network_namespace", "landlock", "seccomp")
    ),
    "listen on TCP": Attempt("socket.create_server(('127.0.0.1', 0))", ("landlock", "seccomp")),
    "send by UDP": Attempt(
        "socket.socket(type=socket.SOCK_DGRAM).sendto(b'x', ('127.0.0.1', {udp}))", ("network_namespace", "seccomp")
    ),
    "connect to a Unix socket in the file system": Attempt(
        "socket.socket(socket.AF_UNIX).connect({unix!r})", ("seccomp",)
    ),
    "connect to an abstract Unix socket": Attempt(
        "socket.socket(socket.AF_UNIX).connect(chr(0) + {abstract!r})", ("network_namespace", "landlock", "seccomp")
    ),
    "read /etc/passwd": Attempt("open('/etc/passwd').read()", ("landlock",)),
    "read another request's media": Attempt("open({neighbour!r}).read()", ("landlock",)),
    "list another request's folder": Attempt("os.listdir(os.path.dirname({neighbour!r}))", ("landlock",)),
    "read another process's environment": Attempt(
        "open('/proc/{victim}/environ').read()", ("user_namespace", "landlock")
    ),
    "fork": Attempt("os.fork() or os._exit(0)", ("seccomp",)),
    "run a program": Attempt("os.execv('/bin/true', ['true'])", ("landlock", "seccomp"), "decoder_lost"),
    "signal the worker": Attempt("os.kill({victim}, 0)", ("landlock", "seccomp")),
    "signal the worker through a descriptor": Attempt(
        # The signal itself arrives when the descriptor is ready.
        "fcntl.fcntl(3, fcntl.F_SETOWN, {victim}); fcntl.fcntl(3, fcntl.F_SETSIG, 9)",
        ("seccomp",),
    ),
    "lower the limits of the worker": Attempt(
        "resource.prlimit({victim}, resource.RLIMIT_NOFILE, (100, 100))", ("seccomp",)
    ),
    "10 GB of memory": Attempt(
        "mmap.mmap(-1, 10 * 1024**3, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | 0x4000)",
        ("resource_limits",),
    ),
    "a file with something in it": Attempt("open('big', 'wb').write(bytes(1024**2))", ("resource_limits", "landlock")),
    "an empty file": Attempt("open('empty', 'wb')", ("landlock",)),
    "a folder": Attempt("os.mkdir('folder')", ("landlock", "seccomp")),
    "a link": Attempt("os.symlink('/etc/passwd', 'link')", ("landlock", "seccomp")),
    "remove the media": Attempt("os.remove({own!r})", ("landlock", "seccomp")),
    "close the folder around it": Attempt("os.chmod('..', 0o500)", ("seccomp",)),
    "change the times of its media": Attempt("os.utime({own!r}, (1, 1))", ("seccomp",)),
    "memory that can be run": Attempt("os.memfd_create('program')", ("seccomp",)),
    "a new namespace": Attempt("outcome = system_call({unshare}, 0x10000000)", ("seccomp",)),
}


@pytest.fixture(scope="module")
def victim() -> Iterator[int]:
    """A process of the same user that stands for the worker; without capabilities, so that root behaves alike."""
    with subprocess.Popen([sys.executable, "-c", VICTIM], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline()
        yield process.pid
        process.kill()


@pytest.fixture
def targets(tmp_path: Path, victim: int) -> Iterator[dict[str, object]]:
    """Targets that a child must not reach, all of them present and accessible."""
    neighbour = tmp_path / "another request" / "media"
    neighbour.parent.mkdir()
    neighbour.write_bytes(b"another user's")
    with contextlib.ExitStack() as stack:
        tcp = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        udp = stack.enter_context(socket.socket(type=socket.SOCK_DGRAM))
        udp.bind(("127.0.0.1", 0))
        unix, abstract = (stack.enter_context(socket.socket(socket.AF_UNIX)) for _ in range(2))
        name = f"sentinel-test-{os.getpid()}"
        unix.bind(str(tmp_path / "listener"))
        abstract.bind("\0" + name)
        unix.listen()
        abstract.listen()
        yield {
            "tcp": tcp.getsockname()[1],
            "udp": udp.getsockname()[1],
            "unix": str(tmp_path / "listener"),
            "abstract": name,
            "neighbour": str(neighbour),
            "victim": victim,
            "unshare": REFUSED["unshare"][platform.machine() == "aarch64"],
        }


def folder_for(tmp_path: Path) -> tuple[Path, Path]:
    """A request's private folder and its media."""
    folder = tmp_path / "request"
    folder.mkdir(mode=0o700, exist_ok=True)
    media = folder / "media"
    media.write_bytes(b"media")
    return folder, media


@pytest.mark.parametrize("profile", get_args(Profile))
@pytest.mark.parametrize("name", ATTEMPTS)
async def test_a_hijacked_child(
    hostile_zygote: Zygote, tmp_path: Path, targets: dict[str, object], name: str, profile: Profile
) -> None:
    attempt = ATTEMPTS[name]
    missing = set(sandbox.LAYERS) - set(hostile_zygote.layers.in_force)
    if missing & {*attempt.refused_by, "landlock_tcp", "landlock_scopes"}:
        pytest.skip(f"this kernel lacks {', '.join(sorted(missing))}")
    outcomes = {}
    alone = [(layer, [other for other in SWITCHED if other != layer]) for layer in attempt.refused_by]
    for held, without in (("all", []), *alone, ("none that bites", [*attempt.refused_by])):
        folder, media = folder_for(tmp_path)
        async with hijacked(hostile_zygote, folder, without=without, profile=profile) as child:
            assert not (set(without) - {"resource_limits"}) & set(child.layers.in_force)
            outcomes[held] = await _outcome(child, attempt.source.format(own=str(media), **targets))
        if held != "none that bites":
            assert [path.name for path in folder.iterdir() if path.stat().st_size] == ["media"]
    print(f"{profile:8} {name:45} {outcomes}")  # noqa: T201 the table of docs/threat-model.md
    last = outcomes.pop("none that bites")
    assert not {DONE, attempt.otherwise} & set(outcomes.values()), outcomes
    assert last == attempt.otherwise
    assert hostile_zygote.pid is not None
    assert processes(hostile_zygote.pid) == set()


async def _outcome(child: Child, source: str) -> str:
    try:
        return await run_in(child, source)
    except Transient as error:
        return error.code


async def test_an_endless_loop_ends_at_its_cpu_limit(hostile_zygote: Zygote, tmp_path: Path) -> None:
    """Also when the child ignores the first signal."""
    folder, _ = folder_for(tmp_path)
    limits = MediaLimits(max_cpu_seconds=1)
    for source, error, code in (
        ("while True: pass", Permanent, "too_slow_to_analyze"),
        ("signal.signal(signal.SIGXCPU, signal.SIG_IGN)\nwhile True: pass", Permanent, "too_slow_to_analyze"),
    ):
        await _expect(hostile_zygote, folder, limits, source, error, code)


async def test_an_endless_loop_without_that_limit_ends_at_the_wall_clock_limit(
    hostile_zygote: Zygote, tmp_path: Path
) -> None:
    folder, _ = folder_for(tmp_path)
    limits = MediaLimits(max_wall_seconds=0.5)
    await _expect(
        hostile_zygote, folder, limits, "while True: pass", Transient, "decoder_timeout", without=["resource_limits"]
    )


async def _expect(
    running: Zygote,
    folder: Path,
    limits: MediaLimits,
    source: str,
    error: type[CodedError],
    code: str,
    without: list[str] | None = None,
) -> None:
    async with hijacked(running, folder, without=without or [], limits=limits) as child:
        with pytest.raises(error) as ended:
            await run_in(child, source)
    assert ended.value.code == code
    assert not alive(child.pid)


async def test_writing_100_gb_writes_nothing(hostile_zygote: Zygote, tmp_path: Path) -> None:
    """Not to new files, not to the media, not through a descriptor that another process could have left open."""
    folder, media = folder_for(tmp_path)
    source = "\n".join(
        [
            "refused = []",
            "for number in range(100):",
            "    for path in (f'part {{number}}', {media!r}):",
            "        try:",
            "            with open(path, 'ab') as file:",
            "                file.write(bytes(1024**3))",
            "        except OSError as error:",
            "            refused.append(errno.errorcode[error.errno])",
            "outcome = sorted(set(refused)), len(refused)",
        ]
    ).format(media=str(media))
    async with hijacked(hostile_zygote, folder) as child:
        assert await run_in(child, source) == "(['EACCES'], 200)"
    async with hijacked(hostile_zygote, folder, without=["landlock"]) as child:
        assert await run_in(child, source) == "(['EFBIG'], 200)"
    assert sum(path.stat().st_size for path in folder.iterdir()) == len(b"media")


async def test_what_a_decoder_needs_is_left_to_it(hostile_zygote: Zygote, tmp_path: Path) -> None:
    folder, _ = folder_for(tmp_path)
    source = """
thread = threading.Thread(target=time.sleep, args=(0.01,), name="worker of a codec")
thread.start()
thread.join(5)
with open("media", "rb") as file:
    mapped = mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ)
outcome = bytes(mapped), os.listdir(), len(os.urandom(8)), len(os.sched_getaffinity(0)) > 0, thread.is_alive()
"""
    async with hijacked(hostile_zygote, folder) as child:
        assert await run_in(child, source) == "(b'media', ['media'], 8, True, False)"


async def test_a_child_that_kills_the_zygote_or_itself(hostile_zygote: Zygote, tmp_path: Path) -> None:
    folder, _ = folder_for(tmp_path)
    async with hijacked(hostile_zygote, folder) as child, hijacked(hostile_zygote, folder) as other:
        assert await run_in(child, f"os.kill({hostile_zygote.pid}, {signal.SIGKILL})") == "EPERM"
        assert await run_in(child, f"os.kill({other.pid}, {signal.SIGKILL})") == "EPERM"
        with pytest.raises(Permanent, match="crashed"):
            await run_in(child, "os.abort()")
        assert await run_in(other, "pass") == DONE
    assert hostile_zygote.restarts == 0
