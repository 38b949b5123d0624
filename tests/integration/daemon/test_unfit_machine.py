"""A worker's machine lacks room, descriptors or processes: no request loses an attempt, and others answer meanwhile."""

import shutil
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from sentinel_local_supabase.stack import Stack
from sentinel_worker.commands.dev import worker_environment
from tests.integration.daemon.conftest import QUICK, StartWorker, User, Worker
from tests.integration.daemon.costs import Costs, printed_costs
from tests.integration.daemon.queries import history, row_when
from tests.machines import filled, small_disk, without_descriptors, without_inodes, without_processes
from tests.memory import memory_left
from tests.seeds import Seeds
from tests.waits import until
from tests.warm.forks import Template
from tests.warm.worker import WarmWorker

pytestmark = pytest.mark.asyncio(loop_scope="session")
Fault = Callable[[Worker, Path], AbstractContextManager[None]]


@contextmanager
def work_folder_gone(_: Worker, disk: Path) -> Iterator[None]:
    [own] = disk.glob("sentinel-worker-*")
    shutil.rmtree(own)
    yield


@contextmanager
def work_folder_replaced(_: Worker, disk: Path) -> Iterator[None]:
    """Somebody else's file lies where the folder was, so the worker cannot make it again."""
    [own] = disk.glob("sentinel-worker-*")
    shutil.rmtree(own)
    own.touch()
    yield
    own.unlink()


FAULTS: dict[str, tuple[Fault, str]] = {
    "no space": (lambda _, disk: filled(disk), "disk_full"),
    "no inodes": (lambda _, disk: without_inodes(disk), "disk_full"),
    "work folder gone": (work_folder_gone, "work_folder_unusable"),
    "work folder replaced": (work_folder_replaced, "work_folder_unusable"),
    "no descriptors": (lambda worker, _: without_descriptors(worker.pid), "descriptors_exhausted"),
    "no processes": (lambda worker, _: without_processes(worker.pid), "memory_exhausted"),
}


@pytest.fixture(scope="module")
def disk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    with small_disk(tmp_path_factory.mktemp("small") / "disk") as mounted:
        yield mounted


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def worker(
    shared_stack: Stack,
    seeds: Seeds,
    worker_template: Template,
    disk: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> AsyncIterator[Worker]:
    """One worker, whose folder is on the small disk, for all tests."""
    await seeds.restore()
    log = tmp_path_factory.mktemp("worker") / "worker.log"
    environment = worker_environment(shared_stack, {**QUICK, "SENTINEL_WORK_DIR": str(disk), "SENTINEL_SLOTS": "2"})
    async with WarmWorker(worker_template, environment, log=log) as process:
        await process.ready()
        yield Worker(process, log)


class Lines:
    """Lines that a worker has logged since this was made, or since the line `before`."""

    def __init__(self, worker: Worker, before: int | None = None) -> None:
        self._worker = worker
        self._before = len(worker.events()) if before is None else before

    def named(self, event: str) -> list[dict[str, Any]]:
        return [line for line in self._worker.events()[self._before :] if line["event"] == event]

    @property
    def unfit(self) -> bool:
        return len(self.named("machine.unfit")) > len(self.named("machine.fit"))


@pytest.mark.parametrize("fault", FAULTS)
async def test_a_request_keeps_its_attempt_and_is_answered_when_the_machine_is_fit_again(
    worker: Worker, disk: Path, user: User, clips: dict[str, Path], fault: str
) -> None:
    broken, code = FAULTS[fault]
    path, lines = await user.upload(clips["carphone_pristine.mp4"]), Lines(worker)
    with broken(worker, disk):
        asked = [await user.insert(path) for _ in range(3)]
        await until(lambda: lines.named("machine.unfit"), what="it noticed", log=worker.log)
        first = await row_when(user.stack, asked[0], lambda row: row["status"] != "running")
    rows = [await user.answer(request_id) for request_id in asked]
    await until(lambda: lines.named("machine.fit"), what="it recovered", log=worker.log)
    assert (first["attempt"], first["crashes"]) == (0, 0)
    assert [(row["status"], row["attempt"], row["crashes"]) for row in rows] == [("succeeded", 1, 0)] * 3
    ends = {outcome for request_id in asked for _, outcome, _ in history(user.stack, request_id)}
    assert ends == {"snoozed", "succeeded"}
    [unfit], [fit], [degraded] = map(lines.named, ("machine.unfit", "machine.fit", "worker.degraded"))
    assert (unfit["error_code"], fit["error_code"], degraded["reason"]) == (code, code, unfit["error"])
    assert not lines.named("request.crashed")
    assert not [left for own in disk.glob("sentinel-worker-*") for left in own.iterdir()]


def spare_descriptors(spare: int, worker: Worker, _: Path) -> AbstractContextManager[None]:
    return without_descriptors(worker.pid, spare=spare)


NEARLY: dict[str, Fault] = {
    "a film does not fit": lambda _, disk: filled(disk, spare_bytes=2 << 20),
    "5 inodes": lambda _, disk: without_inodes(disk, spare=5),
    "4 MiB of memory": lambda worker, _: memory_left(4 << 20, worker.pid),
    "1 process": lambda worker, _: without_processes(worker.pid, spare=1),
    "3 processes": lambda worker, _: without_processes(worker.pid, spare=3),
    **{f"{spare} descriptors": partial(spare_descriptors, spare) for spare in (1, 2, 3, 4, 6, 8, 12)},
}


@pytest.mark.matrix("faults")
@pytest.mark.parametrize("fault", [*FAULTS, *NEARLY])
async def test_a_healthy_worker_beside_an_unfit_one_answers_every_row(
    worker: Worker, disk: Path, start_worker: StartWorker, user: User, clips: dict[str, Path], fault: str
) -> None:
    """40 rows of 4 MB; prints what they cost."""
    await until(lambda: not Lines(worker, 0).unfit, what="it recovered from the case before", log=worker.log)
    healthy = await start_worker()
    film = clips["carphone_pristine.mp4"].read_bytes()
    path = await user.upload(film + (4 << 20).to_bytes(4) + b"free" + bytes((4 << 20) - 8))
    broken = NEARLY[fault] if fault in NEARLY else FAULTS[fault][0]
    with broken(worker, disk):
        asked = [await user.insert(path) for _ in range(40)]
        rows = [await user.answer(request_id, 300) for request_id in asked]
    assert printed_costs(fault, rows) == Costs(inserted=40, succeeded=40, attempts_lost=0, failed=0)
    ends = [outcome for request_id in asked for _, outcome, _ in history(user.stack, request_id)]
    assert ends.count("succeeded") == 40
    assert set(ends) <= {"succeeded", "snoozed"}
    assert await healthy.process.stop() == 0
