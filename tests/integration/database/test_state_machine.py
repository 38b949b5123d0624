"""The queue keeps its promises in any order of events; planted faults are found.

The same few sequences each time; `QUEUE_EXAMPLES=2000` drives as many new ones.
"""

import os
import sys

import pytest

from tests.integration.database.machine import QueueMachine
from tests.integration.database.planted import EXAMPLES, FAULTS, drive, plant
from tests.integration.database.queue_client import Queue

WANTED = os.environ.get("QUEUE_EXAMPLES")
FEW = 30


@pytest.mark.timeout(7200)
def test_whatever_happens_in_whatever_order(disposable: Queue, capsys: pytest.CaptureFixture[str]) -> None:
    QueueMachine.seen.clear()
    examples = int(WANTED or FEW)
    drive(disposable.dsn, disposable.superuser_dsn, examples, fixed=WANTED is None)
    with capsys.disabled():
        sys.stdout.write(f"\n{examples} sequences; {QueueMachine.seen}\n")


@pytest.mark.parametrize("name", list(FAULTS))
def test_a_planted_fault_is_found(disposable: Queue, name: str) -> None:
    plant(disposable.superuser_dsn, FAULTS[name])
    with pytest.raises(AssertionError):
        drive(disposable.dsn, disposable.superuser_dsn, EXAMPLES, fixed=True, shrink=False)
