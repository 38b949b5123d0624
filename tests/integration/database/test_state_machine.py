"""The queue keeps its promises in any order of events, and planted faults are found.

By default a few fixed sequences run, and for each fault a program that triggers it. With `--matrix postgres` many new
sequences run, and random ones must find each fault. `QUEUE_EXAMPLES=2000` sets their number.
"""

import os
import sys

import pytest

from tests.integration.database import programs
from tests.integration.database.machine import QueueMachine
from tests.integration.database.planted import EXAMPLES, FAULTS, drive, plant
from tests.integration.database.queue_client import Queue

FEW = 20
MANY = int(os.environ.get("QUEUE_EXAMPLES", "200"))


@pytest.mark.timeout(7200)
@pytest.mark.parametrize(
    ("examples", "fixed"), [(FEW, True), pytest.param(MANY, False, marks=pytest.mark.matrix("postgres"))]
)
def test_random_sequences_of_events_match_the_expectation(
    disposable: Queue, capsys: pytest.CaptureFixture[str], examples: int, fixed: bool
) -> None:
    QueueMachine.seen.clear()
    drive(disposable.dsn, disposable.superuser_dsn, examples, fixed=fixed)
    with capsys.disabled():
        sys.stdout.write(f"\n{examples} sequences; {QueueMachine.seen}\n")


def test_every_fault_has_a_program_that_the_queue_itself_passes(disposable: Queue) -> None:
    assert set(programs.PROGRAMS) == set(FAULTS)
    for program in programs.PROGRAMS.values():
        programs.run(program, disposable.dsn, disposable.superuser_dsn)


@pytest.mark.parametrize("name", list(FAULTS))
def test_a_planted_fault_is_found(disposable: Queue, name: str) -> None:
    plant(disposable.superuser_dsn, FAULTS[name])
    with pytest.raises(AssertionError):
        programs.run(programs.PROGRAMS[name], disposable.dsn, disposable.superuser_dsn)


@pytest.mark.matrix("postgres")
@pytest.mark.parametrize("name", list(FAULTS))
def test_drawn_sequences_find_a_planted_fault(disposable: Queue, name: str) -> None:
    plant(disposable.superuser_dsn, FAULTS[name])
    with pytest.raises(AssertionError):
        drive(disposable.dsn, disposable.superuser_dsn, EXAMPLES, fixed=True, shrink=False)
