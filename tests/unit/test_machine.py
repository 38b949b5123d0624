"""The gate between the queue and a worker's machine, on real folders and disks."""

import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog

from sentinel_worker.confine.private_folders import WorkFolder
from sentinel_worker.domain.errors import Permanent, Released, Transient
from sentinel_worker.worker.machine import CAP_SECONDS, FIRST_SECONDS, Machine
from tests.machines import without_descriptors, without_processes

BAD_FILE = Permanent("media_unreadable", "The file is damaged.")


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def work(tmp_path: Path) -> Iterator[WorkFolder]:
    with WorkFolder.opened(tmp_path) as work:
        yield work


@pytest.fixture
def lines() -> Iterator[list[Any]]:
    with structlog.testing.capture_logs() as said:
        yield said


async def test_a_fit_machine_leaves_errors_as_they_are(work: WorkFolder, lines: list[Any]) -> None:
    machine = Machine(work)
    assert await machine.explained(BAD_FILE) is BAD_FILE
    assert await machine.fit()
    assert list(work.path.iterdir()) == []
    assert not lines


async def test_a_machine_that_is_unfit_explains_every_error_but_the_ends_of_a_lease(work: WorkFolder) -> None:
    machine, released = Machine(work), Released()
    shutil.rmtree(work.path)
    assert await machine.explained(released) is released
    error = await machine.explained(BAD_FILE)
    assert isinstance(error, Transient)
    assert (error.code, error.__cause__) == ("work_folder_unusable", BAD_FILE)


async def test_pauses_double_until_a_request_is_answered(work: WorkFolder, lines: list[Any]) -> None:
    clock = Clock()
    machine = Machine(work, clock)
    shutil.rmtree(work.path)
    work.path.touch()
    await machine.explained(BAD_FILE)
    pauses = []
    for _ in range(8):
        assert not await machine.fit()
        pauses.append(machine.pause_seconds)
        clock.now += machine.pause_seconds
    assert pauses == [FIRST_SECONDS * 2**number for number in range(5)] + [CAP_SECONDS] * 3
    work.path.unlink()
    assert await machine.fit()
    assert [(line["event"], line["error_code"]) for line in lines] == [
        ("machine.unfit", "work_folder_unusable"),
        ("machine.fit", "work_folder_unusable"),
    ]
    assert lines[1]["unfit_seconds"] == sum(pauses)
    await machine.explained(Transient("disk_full", "The disk is full."))
    assert machine.pause_seconds == CAP_SECONDS
    clock.now += CAP_SECONDS
    assert await machine.fit()
    machine.answered()
    await machine.explained(Transient("disk_full", "The disk is full."))
    assert machine.pause_seconds == FIRST_SECONDS


async def test_requests_that_fail_together_count_once(work: WorkFolder) -> None:
    clock = Clock()
    machine = Machine(work, clock)
    for _ in range(4):
        await machine.explained(Transient("disk_full", "The disk is full."))
    assert machine.pause_seconds == FIRST_SECONDS


async def test_a_call_without_descriptors_pauses_the_claims_and_another_error_does_not(work: WorkFolder) -> None:
    machine = Machine(work)
    assert not machine.note(Transient("supabase_unreachable", "It is away."))
    assert machine.fault is None
    assert machine.note(Transient("descriptors_exhausted", "There are none left."))
    assert not await machine.fit()


async def test_descriptors_that_run_out_are_met_by_a_trial(work: WorkFolder) -> None:
    machine = Machine(work)
    await machine.explained(BAD_FILE)  # starts the thread that makes trials
    with without_descriptors(0, spare=4):
        error = await machine.explained(BAD_FILE)
    assert isinstance(error, Transient)
    assert error.code == "descriptors_exhausted"
    assert list(work.path.iterdir()) == []


async def test_processes_that_are_refused_are_met_by_a_trial(work: WorkFolder) -> None:
    machine = Machine(work)
    await machine.explained(BAD_FILE)  # starts the thread that makes trials
    with without_processes(os.getpid()):
        error = await machine.explained(BAD_FILE)
        assert not await machine.fit()
    assert isinstance(error, Transient)
    assert error.code == "memory_exhausted"


async def test_a_worker_whose_python_is_replaced_meanwhile_is_fit(
    work: WorkFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "executable", "/nonexistent/python")
    assert await Machine(work).explained(BAD_FILE) is BAD_FILE
