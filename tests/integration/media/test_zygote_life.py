"""The zygote itself: it dies, is replaced and ends, and affects requests as little as possible."""

import asyncio
import os
import select
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, AsyncExitStack
from pathlib import Path

import pytest
import structlog
from structlog.typing import EventDict

from sentinel_worker.domain.errors import CodedError, Fatal, Transient
from sentinel_worker.domain.media_facts import MediaLimits
from sentinel_worker.media import zygote_process
from sentinel_worker.media.zygote import Zygote
from sentinel_worker.media.zygote_process import RunningZygote
from tests.integration.media.processes import addresses, alive, processes
from tests.machines import without_descriptors, without_processes
from tests.memory import no_new_threads
from tests.waits import until

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.usefixtures("nothing_is_left_over")]

LIMITS = MediaLimits()
WARMING = """
import sys; sys.path[:] = __import__("json").loads(sys.argv[3])
from sentinel_worker.media import zygote_main
def fail(_): raise {fault}
zygote_main._warm_up = fail
zygote_main.main(int(sys.argv[1]), int(sys.argv[2]))
"""


async def test_a_lost_zygote_is_started_again(request_folder: Path) -> None:
    mortal = Zygote()
    await mortal.start()
    try:
        first = mortal.pid
        assert first is not None
        async with AsyncExitStack() as stack:
            media = request_folder / "media"
            children = [await stack.enter_async_context(mortal.open(media, request_folder, LIMITS)) for _ in range(3)]
            for child in children:
                os.kill(child.pid, signal.SIGSTOP)
            os.kill(first, signal.SIGKILL)
            for child in children:
                with pytest.raises(Transient) as lost:
                    await child.probe()
                assert lost.value.code == "decoder_lost"
        async with mortal.open(media, request_folder, LIMITS) as child:
            assert (await child.probe()).has_video
        assert mortal.pid not in (None, first)
        assert mortal.restarts == 1
        assert not any(alive(child.pid) for child in children)
    finally:
        last = mortal.pid
        await mortal.stop()
    assert last is not None
    assert not alive(last)
    with pytest.raises(Transient):
        mortal._say(b"{}")


async def test_a_lost_zygote_is_started_again_though_no_thread_could_reap_it() -> None:
    """Memory runs out: the kernel kills the zygote, and refuses the worker a thread."""
    zygote, loop, free = Zygote(), asyncio.get_running_loop(), threading.Event()
    await zygote.start()
    lost = zygote.pid
    assert lost is not None
    loop.set_default_executor(ThreadPoolExecutor(2))
    try:
        waiting = loop.run_in_executor(None, free.wait)
        with no_new_threads():
            os.kill(lost, signal.SIGKILL)
            await until(lambda: not Path(f"/proc/{lost}").exists(), what="it is reaped")
        async with asyncio.timeout(60):
            await zygote._ready.wait()
        assert zygote.running
        assert zygote.restarts == 1
    finally:
        free.set()
        await waiting
        loop.set_default_executor(ThreadPoolExecutor())
        await zygote.stop()


async def test_why_the_decoder_does_not_start_is_logged(monkeypatch: pytest.MonkeyPatch) -> None:
    failed, zygote = asyncio.Event(), Zygote()

    def hear(_logger: object, _level: str, line: EventDict) -> EventDict:
        if line["event"] == "decoder.not_started":
            failed.set()
        return line

    await zygote.start()
    try:
        monkeypatch.setattr(zygote_process, "_BOOT", "raise SystemExit(3)")
        assert zygote.pid is not None
        with structlog.testing.capture_logs([hear]) as lines:
            os.kill(zygote.pid, signal.SIGKILL)
            async with asyncio.timeout(60):
                await failed.wait()
        monkeypatch.undo()
        async with asyncio.timeout(60):
            await zygote._ready.wait()
    finally:
        await zygote.stop()
    said = [(line["event"], line["error"]) for line in lines]
    assert said[0] == ("decoder.lost", "the zygote ended with status -9")
    assert set(said[1:]) == {("decoder.not_started", "it ended at once")}


@pytest.mark.parametrize(
    ("program", "error", "said"),
    [
        ("import os; os.kill(os.getpid(), 9)", Transient, "it was killed by signal 9"),
        ("import os; os.kill(os.getpid(), 11)", Fatal, "it was killed by signal 11"),
        ("raise SystemExit(3)", Fatal, "it ended at once"),
        (WARMING.format(fault="MemoryError"), Transient, "MemoryError"),
        (WARMING.format(fault="ImportError"), Fatal, "ImportError"),
    ],
)
async def test_a_start_that_may_succeed_later_is_told_from_one_that_cannot(
    monkeypatch: pytest.MonkeyPatch, program: str, error: type[CodedError], said: str
) -> None:
    monkeypatch.setattr(zygote_process, "_BOOT", program)
    with pytest.raises(error, match=said) as refused:
        await Zygote().start()
    assert refused.value.code == "decoder_unavailable"


@pytest.mark.parametrize(
    ("lacking", "code"),
    [(without_descriptors, "descriptors_exhausted"), (without_processes, "memory_exhausted")],
    ids=["descriptors", "processes"],
)
async def test_a_machine_that_lacks_something_may_have_it_later(
    lacking: Callable[[int], AbstractContextManager[None]], code: str
) -> None:
    zygote = Zygote()
    with lacking(os.getpid()), pytest.raises(Transient) as refused:
        await zygote.start()
    assert refused.value.code == code


async def test_after_many_children_another_zygote_takes_over_unnoticed(request_folder: Path) -> None:
    zygote = Zygote(renew_after=3)
    await zygote.start()
    try:
        media, first = request_folder / "media", zygote.pid
        assert first is not None
        watched = os.pidfd_open(first)
        async with zygote.open(media, request_folder, LIMITS) as child:
            before = addresses(child.pid)
            async with zygote.open(media, request_folder, LIMITS):
                pass
            async with zygote.open(media, request_folder, LIMITS) as other:  # one too many, and not idle
                assert addresses(other.pid) == before
            assert (await child.probe()).has_video
        async with asyncio.timeout(60):
            while zygote.pid == first:  # children meanwhile, too
                async with zygote.open(media, request_folder, LIMITS) as child:
                    assert zygote.running
                    assert (await child.probe()).has_video
        async with zygote.open(media, request_folder, LIMITS) as child:
            assert addresses(child.pid).isdisjoint(before)
            assert (await child.probe()).has_video
        assert zygote.restarts == 0
        assert await asyncio.to_thread(select.select, [watched], [], [], 10) == ([watched], [], [])
        os.close(watched)
    finally:
        last = zygote.pid
        await zygote.stop()
    assert last is not None
    assert not alive(last)


async def test_a_zygote_that_died_while_it_waited_does_not_take_over(request_folder: Path) -> None:
    zygote = Zygote(renew_after=1)
    await zygote.start()
    try:
        media, first = request_folder / "media", zygote.pid
        async with zygote.open(media, request_folder, LIMITS), asyncio.timeout(60):
            assert zygote._renewal is not None  # a child was forked at the start, and is the last one
            await zygote._renewal
            assert zygote._next is not None
            dead = zygote._next.process.pid
            os.kill(dead, signal.SIGKILL)
            await asyncio.to_thread(os.waitid, os.P_PID, dead, os.WEXITED | os.WNOWAIT)
        assert zygote.pid == first
        assert zygote._renewal is not None  # it was found dead when the last child had ended
        await zygote._renewal
        assert zygote.pid not in (first, dead)
        async with zygote.open(media, request_folder, LIMITS) as child:
            assert (await child.probe()).has_video
        assert zygote.restarts == 0
    finally:
        await zygote.stop()


async def test_a_zygote_that_is_stopped_while_another_one_starts_leaves_none() -> None:
    before = processes(os.getpid())
    zygote = Zygote(renew_after=1)
    await zygote.start()  # a child is forked at the start, and is the last one
    assert zygote._renewal is not None
    await asyncio.wait([zygote._renewal], timeout=0)  # the other one has started
    assert len(processes(os.getpid()) - before) == 2
    await zygote.stop()
    assert processes(os.getpid()) == before


async def test_a_zygote_that_is_stopped_in_the_moment_of_taking_over_leaves_none() -> None:
    before = processes(os.getpid())
    zygote = Zygote(renew_after=1)
    await zygote.start()
    assert zygote._renewal is not None
    first = zygote.pid
    await zygote._renewal
    assert zygote.pid != first
    await zygote.stop()
    assert processes(os.getpid()) == before


async def test_children_end_with_the_worker(request_folder: Path) -> None:
    """Killing a worker takes the zygote and its children along."""
    script = (
        "import asyncio, sys; from pathlib import Path\n"
        "from sentinel_worker.media.zygote import Zygote\n"
        "from sentinel_worker.domain.media_facts import Clip, FaceSearch, MediaLimits, Skipped, SoundGeometry\n"
        "async def main():\n"
        "    zygote = Zygote(); await zygote.start()\n"
        "    folder = Path(sys.argv[1])\n"
        "    async with zygote.open(folder / 'media', folder, MediaLimits()) as child:\n"
        "        print(zygote.pid, child.pid, flush=True); await asyncio.Event().wait()\n"
        "asyncio.run(main())\n"
    )
    worker = await asyncio.create_subprocess_exec(
        sys.executable, "-c", script, str(request_folder), stdout=asyncio.subprocess.PIPE
    )
    assert worker.stdout is not None
    pids = [int(pid) for pid in (await worker.stdout.readline()).split()]
    watched = [os.pidfd_open(pid) for pid in pids]
    worker.kill()
    await worker.wait()
    for descriptor in watched:
        loop = asyncio.get_running_loop()
        ended = loop.create_future()
        loop.add_reader(descriptor, ended.cancel)
        async with asyncio.timeout(10):
            await asyncio.wait([ended])
        loop.remove_reader(descriptor)
        os.close(descriptor)


@pytest.mark.parametrize("packet", [b"{", b"[1]", b"1" * 4400, b"[" * 60_000, b"{}", b"\xff"], ids=range(6))
async def test_an_invalid_event_ends_the_zygote(packet: bytes) -> None:
    """It is then stopped and started again."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    ours.setblocking(False)
    with ours, theirs, subprocess.Popen(["true"]) as process:  # noqa: ASYNC220 - it ends at once
        running = RunningZygote(process, ours)
        theirs.send(packet)
        assert await running.hear() is None
        theirs.send(b'{"event": "ready"}')
        assert await running.hear() == {"event": "ready"}
