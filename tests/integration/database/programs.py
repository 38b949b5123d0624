"""Short programs for the state machine, each of which triggers one fault of `planted.py`.

Hypothesis printed them when it found the fault, as rules called in order; they were shortened by hand.
"""

from collections.abc import Callable, Iterable, Iterator
from typing import Final, cast

from tests.integration.database.machine import QueueMachine
from tests.integration.database.machine_tools import Claim
from tests.integration.database.sessions import Sessions

Program = Callable[[QueueMachine], Iterator[None]]


def run(program: Program, dsn: str, superuser_dsn: str) -> None:
    """Run a program on one database, and check the invariants after each step; raises what the machine finds."""
    QueueMachine.world = Sessions(dsn, superuser_dsn)
    try:
        machine = QueueMachine()
        try:
            for _ in program(machine):
                machine.nothing_is_wrong()
        finally:
            machine.teardown()
    finally:
        QueueMachine.world.close()


def _claimed(machine: QueueMachine) -> Claim:
    (claim,) = cast(Iterable[Claim], machine.claim(who=0, limit=1, lost=False))
    return claim


def _a_finish_comes_late(machine: QueueMachine) -> Iterator[None]:
    machine.something_waits(most=None)
    first = _claimed(machine)
    yield
    machine.lease_runs_out(drawn=first)
    machine.maintain(who=0)
    machine.time_passes()
    machine.maintain(who=1)
    machine.claim(who=1, limit=4, lost=False)
    yield
    machine.finish(drawn=first, outcome="succeeded", delay=0, other=False, wish=False)
    yield


def _an_admin_looks_at_what_is_finished(machine: QueueMachine) -> Iterator[None]:
    machine.something_waits(most=None)
    first = _claimed(machine)
    machine.admin_holds(request=first[0])
    yield
    machine.finish(drawn=first, outcome="succeeded", delay=0, other=False, wish=False)
    yield


def _a_worker_hands_back(machine: QueueMachine) -> Iterator[None]:
    machine.something_waits(most=None)
    machine.finish_held(who=0, which=0, outcome="released", wish=False, again=False)
    yield


def _an_answer_is_lost(machine: QueueMachine) -> Iterator[None]:
    machine.something_waits(most=None)
    machine.finish_held(who=0, which=0, outcome="succeeded", wish=False, again=True)
    yield


def _a_heartbeat_has_an_old_fence(machine: QueueMachine) -> Iterator[None]:
    machine.something_waits(most=None)
    first = _claimed(machine)
    machine.admin_moves(request=first[0], status="queued")
    yield
    machine.claim(who=0, limit=4, lost=True)
    machine.heartbeat(who=0, drawn=first, more=[], twin=False, moving=False)
    yield


def _a_heartbeat_meets_a_requeue(machine: QueueMachine) -> Iterator[None]:
    machine.something_waits(most=None)
    first = _claimed(machine)
    machine.heartbeat(who=0, drawn=first, more=[], twin=False, moving=True)
    yield


def _a_claim_asks_for_more_than_may_run(machine: QueueMachine) -> Iterator[None]:
    machine.something_waits(most=1)
    machine.claim(who=0, limit=4, lost=False)
    yield


def _a_user_asks_for_every_slot(machine: QueueMachine) -> Iterator[None]:
    machine.something_waits(most=None)
    machine.claim(who=0, limit=2, lost=False, slots=2)
    yield


def _a_retry_meets_a_wish_to_cancel(machine: QueueMachine) -> Iterator[None]:
    machine.something_waits(most=None)
    machine.finish_held(who=0, which=0, outcome="retry", wish=True, again=False)
    yield


PROGRAMS: Final[dict[str, Program]] = {
    "the fence is not checked": _a_finish_comes_late,
    "the lease is locked before the request": _an_admin_looks_at_what_is_finished,
    "a refund is forgotten": _a_worker_hands_back,
    "a repeated finish is lost": _an_answer_is_lost,
    "a heartbeat moves the lease of another fence": _a_heartbeat_has_an_old_fence,
    "a heartbeat says of a locked lease that it was extended": _a_heartbeat_meets_a_requeue,
    "the limit on what runs is ignored": _a_claim_asks_for_more_than_may_run,
    "a user's share of the slots is ignored": _a_user_asks_for_every_slot,
    "a wish to cancel is ignored": _a_retry_meets_a_wish_to_cancel,
}
"""Programs by the fault that each triggers."""
