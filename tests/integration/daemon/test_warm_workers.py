"""A worker forked from the template starts and ends as a real process does."""

import json
import signal
from pathlib import Path

import pytest

from sentinel_worker.commands.dev import WorkerProcess
from tests.waits import until
from tests.warm.forks import Template
from tests.warm.worker import WarmWorker

pytestmark = pytest.mark.asyncio(loop_scope="session")
PROBE = "tests.warm.probe"


def both(template: Template, end: str, folder: Path) -> list[tuple[WorkerProcess, Path]]:
    """Run the probe forked and as a separate process; return both and their logs."""
    environment = {"PROBE_END": end, "LC_ALL": "C.UTF-8", "HOME": "/nowhere"}
    forked, real = folder / "forked.log", folder / "real.log"
    return [
        (WarmWorker(template, environment, log=forked, module=PROBE), forked),
        (WorkerProcess(environment, log=real, module=PROBE), real),
    ]


async def test_a_fork_finds_what_a_separate_process_finds(worker_template: Template, tmp_path: Path) -> None:
    found = []
    for worker, log in both(worker_template, "wait", tmp_path):
        async with worker:
            await until(lambda: log.read_text().endswith("}"), what="it told", log=log)  # noqa: B023
            found.append(json.loads(log.read_text()))
            worker.signal(signal.SIGSTOP)
            worker.signal(signal.SIGKILL)
            assert await worker.wait() == -signal.SIGKILL
    forked, real = found
    assert forked == real
    assert forked["environment"] == {"PROBE_END": "wait", "LC_ALL": "C.UTF-8", "HOME": "/nowhere"}
    assert forked["signal_at_the_death_of_its_parent"] == signal.SIGTERM


@pytest.mark.parametrize(("end", "status", "said"), [("exit", 3, ""), ("fault", 1, "ValueError"), ("return", 0, "")])
async def test_a_fork_ends_like_a_separate_process(
    worker_template: Template, tmp_path: Path, end: str, status: int, said: str
) -> None:
    for worker, log in both(worker_template, end, tmp_path):
        async with worker:
            assert await worker.wait() == status
        assert said in log.read_text().rpartition("}")[2]
