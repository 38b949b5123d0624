"""How a worker ends: 0, 2 or 75, and never with a traceback."""

import json
import os
import signal
from pathlib import Path
from typing import Any, Final

import psycopg
import pytest

from sentinel_local_supabase.stack import Stack
from tests.integration.daemon.conftest import START_SECONDS, StartWorker, Worker
from tests.integration.daemon.hungry import hungry_detector
from tests.machines import without_processes
from tests.memory import memory_left
from tests.waits import catches, is_stopped, until

pytestmark = pytest.mark.asyncio(loop_scope="session")

NOBODY: Final = "http://127.0.0.1:1"
"""An address at which no Supabase listens."""


async def said(worker: Worker, event: str) -> None:
    """Wait until the worker logs `event`."""
    await until(lambda: event in worker.said(), what=f"it says {event}", limit_seconds=START_SECONDS, log=worker.log)


async def end(worker: Worker, code: int) -> str:
    """Wait for the worker's end with this exit code; return its log, which has no traceback."""
    log = worker.log
    assert await worker.process.wait() == code, log.read_text()
    text = log.read_text()
    assert "Traceback" not in text
    assert '"exception"' not in text
    return text


def error_code(text: str) -> str:
    """Return the error code with which the worker's last line says why it ends."""
    last = json.loads(text.splitlines()[-1])
    assert last["event"] == "worker.broken"
    return str(last["error_code"])


@pytest.mark.parametrize("event", ["worker.starting", "detector.loaded", "worker.degraded"])
async def test_a_signal_at_each_stage_of_the_start_exits_0(stack: Stack, start_worker: StartWorker, event: str) -> None:
    worker = await start_worker(wait=False, SUPABASE_URL=NOBODY)
    await said(worker, event)
    worker.process.signal(signal.SIGINT if event == "detector.loaded" else signal.SIGTERM)
    await end(worker, 0)


async def test_a_signal_among_the_imports_exits_0(stack: Stack, start_worker: StartWorker) -> None:
    worker = await start_worker(wait=False, real=True)
    await until(lambda: catches(worker.pid, signal.SIGTERM), what="it catches SIGTERM", log=worker.log)
    worker.process.signal()
    assert await end(worker, 0) == ""


async def test_a_signal_while_the_process_ends_changes_no_exit_code(start_worker: StartWorker) -> None:
    worker = await start_worker(module="tests.integration.daemon.late_signals")
    worker.process.signal()
    await end(worker, 0)


@pytest.mark.parametrize(
    ("settings", "code"), [({}, 0), ({"SUPABASE_SECRET_KEY": "sb_secret_wrong"}, 2)], ids=["drained", "mistake"]
)
async def test_a_signal_ends_a_worker_that_a_thread_keeps_from_ending(
    start_worker: StartWorker, settings: dict[str, str], code: int
) -> None:
    worker = await start_worker(wait=not settings, module="tests.integration.daemon.stuck_thread", **settings)
    if settings:
        await said(worker, "worker.broken")
    else:
        worker.process.signal()
    # Only the worker itself and its start react to SIGHUP.
    await until(lambda: not catches(worker.pid, signal.SIGHUP), what="its exit code is decided", log=worker.log)
    worker.process.signal(signal.SIGINT if settings else signal.SIGTERM)
    await end(worker, code)


@pytest.mark.parametrize(
    ("settings", "code"),
    [
        ({"SENTINEL_WORK_DIR": "/nonexistent"}, "work_folder_unusable"),
        ({"SENTINEL_WORK_DIR": "/proc"}, "work_folder_unusable"),
        ({"SENTINEL_WORK_DIR": "/dev/null"}, "work_folder_unusable"),
        ({"SENTINEL_DETECTORS": "/proc/self/environ"}, "bad_detectors"),
        ({"SUPABASE_SECRET_KEY": "sb_secret_wrong"}, "access_refused"),
    ],
)
async def test_a_mistake_exits_2(stack: Stack, start_worker: StartWorker, settings: dict[str, str], code: str) -> None:
    assert error_code(await end(await start_worker(wait=False, **settings), 2)) == code


async def test_missing_migrations_exit_2(
    stack: Stack, start_worker: StartWorker, admin: psycopg.Connection[dict[str, Any]]
) -> None:
    admin.execute("alter function public.sentinel_maintain(jsonb) rename to sentinel_maintain_of_later")
    try:
        assert error_code(await end(await start_worker(wait=False), 2)) == "schema_missing"
    finally:
        admin.execute("alter function public.sentinel_maintain_of_later(jsonb) rename to sentinel_maintain")


async def test_a_checkpoint_that_does_not_load_exits_2(stack: Stack, start_worker: StartWorker, tmp_path: Path) -> None:
    detectors = hungry_detector(tmp_path)
    (tmp_path / "checkpoint" / "model.safetensors").write_bytes(b"no weights")
    assert error_code(await end(await start_worker(wait=False, **detectors), 2)) == "checkpoint_invalid"


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"SUPABASE_URL": "https://"}, "SUPABASE_URL: must name a host"),
        ({"SUPABASE_URL": "http://127.0.0.1:99999"}, "SUPABASE_URL: Port out of range"),
        ({"SENTINEL_DETECTORS": "/"}, "SENTINEL_DETECTORS: is not a file"),
        ({"SENTINEL_WORKER_JWT_FILE": "/"}, "SENTINEL_WORKER_JWT: / cannot be read: Is a directory"),
    ],
)
async def test_a_setting_that_is_a_mistake_exits_2_with_a_plain_line(
    stack: Stack, start_worker: StartWorker, settings: dict[str, str], sentence: str
) -> None:
    text = await end(await start_worker(wait=False, **settings), 2)
    assert text.startswith(f"error {sentence}")


async def test_a_zygote_that_is_killed_at_the_start_exits_75(start_worker: StartWorker) -> None:
    worker = await start_worker(wait=False, module="tests.integration.daemon.killed_zygote", SUPABASE_URL=NOBODY)
    assert error_code(await end(worker, 75)) == "decoder_unavailable"


async def test_a_machine_without_memory_at_the_start_exits_75(
    stack: Stack, start_worker: StartWorker, tmp_path: Path
) -> None:
    worker = await start_worker(wait=False, SUPABASE_URL=NOBODY, **hungry_detector(tmp_path))
    with memory_left(128 << 20, worker.pid):
        assert error_code(await end(worker, 75)) == "out_of_memory"


async def test_a_machine_without_processes_at_the_start_exits_75(stack: Stack, start_worker: StartWorker) -> None:
    worker = await start_worker(wait=False, module="tests.integration.daemon.stopped_start", SUPABASE_URL=NOBODY)
    await until(lambda: is_stopped(worker.pid), what="it has stopped", limit_seconds=START_SECONDS, log=worker.log)
    with without_processes(worker.pid):
        worker.process.signal(signal.SIGCONT)
        assert error_code(await end(worker, 75)) == "memory_exhausted"


async def test_a_machine_without_descriptors_at_the_start_exits_75(stack: Stack, start_worker: StartWorker) -> None:
    worker = await start_worker(wait=False, module="tests.integration.daemon.descriptors_used_up", SUPABASE_URL=NOBODY)
    assert error_code(await end(worker, 75)) == "descriptors_exhausted"


async def test_a_worker_whose_standard_streams_are_closed_works(start_worker: StartWorker) -> None:
    """Nothing that it opens takes their numbers."""
    worker = await start_worker(module="tests.integration.daemon.closed_streams")
    streams = [os.readlink(f"/proc/{worker.pid}/fd/{number}") for number in range(3)]  # noqa: PTH115
    assert streams == [os.devnull] * 3
    assert await worker.process.stop() == 0
