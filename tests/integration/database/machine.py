"""A state machine of users, an admin, workers, crashes and clocks in any order, on real interleaved transactions.

One thread drives five sessions, so that a failure can be repeated: a statement blocked by another session's lock gives
up after a moment. For users and admins that is a normal outcome; a worker's call must never be blocked.
"""

from typing import Any
from uuid import UUID

from hypothesis import strategies as st
from hypothesis.stateful import initialize, invariant, multiple, precondition, rule

from tests.integration.database import expected
from tests.integration.database.machine_people import INSERT_FOR
from tests.integration.database.machine_tools import CLAIMS, EITHER, REQUESTS, Claim
from tests.integration.database.machine_workers import Ending, Workers
from tests.integration.database.sessions import LANES, USERS, Session


class QueueMachine(Workers):
    """All rules, the clock, and the invariants."""

    @initialize(target=REQUESTS, most=st.sampled_from([None, None, 1, 2]))
    def something_waits(self, most: int | None) -> Any:
        self.most = most
        self.world.limit_running(most)
        ids = self.new_ids(2, USERS[0])
        self.world.of("admin")[0].rows(INSERT_FOR, USERS[0], f"{USERS[0]}/a.mp4", 0, 3, ids)
        return multiple(*ids)

    @rule(drawn=CLAIMS)
    def lease_runs_out(self, drawn: Claim) -> None:
        self.world.expire(drawn[0])

    @rule()
    def time_passes(self) -> None:
        self.world.make_due()

    @invariant()
    def nothing_is_wrong(self) -> None:
        """Check the invariants on the committed rows."""
        wrong = [row["what"] for row in self.world.clock.rows(expected.WRONG)]
        assert not wrong, wrong[0]
        if self.most is not None:
            running = expected.running(self.world.clock.requests())
            assert max(running.values(), default=0) <= self.most, "more of a user's requests run than the limit"

    @precondition(lambda self: not any(session.is_open for session in self.world.all))
    @rule(target=CLAIMS, who=EITHER)
    def nobody_starves(self, who: int) -> Any:
        """Check that everyone who waits and may run is served within two claims' worth of places each."""
        session = self.world.of("worker")[who]
        claimed = self.claim_again(session)
        waiting = self.may_run(session.requests())
        served: set[UUID] = set()
        places = 2 * len(waiting)
        while places > 0 and (new := self.claim_once(session, 1)):
            claimed += new
            owner = session.requests()[new[0][0]]["user_id"]
            places -= 1 if owner in waiting else 0
            served.add(owner)
        assert waiting <= served, "a user starves"
        return multiple(*claimed)

    def claim_again(self, session: Session) -> list[Claim]:
        """Claim again those whose answer was lost; they come before any new claim."""
        held = self.memory.get(session.worker, {})
        lost = [key for key, row in session.leases().items() if row["worker"] == session.worker and key not in held]
        return self.claim_once(session, len(lost)) if lost else []

    def teardown(self) -> None:
        """Check that everything left can be finished, in any state."""
        for session in self.world.all:
            if session.is_open:
                session.end("commit")
        session = self.world.of("worker")[0]
        self.world.restart(session)
        for _ in range(12):
            if not any(row["status"] in expected.OPEN for row in session.requests().values()):
                break
            self.world.expire(None)
            self.world.make_due()
            session.call("sentinel_maintain", name="w", version="0", lanes=LANES, slots=4)
            self.world.make_due()
            while claims := self.claim_once(session, 100):
                answers = self.finish_once(session, *(Ending(*claim[:2], "succeeded") for claim in claims))
                assert set(answers.values()) == {"succeeded"}
        left = [row["status"] for row in session.requests().values() if row["status"] in expected.OPEN]
        assert not left, f"requests that never end: {left}"
        self.nothing_is_wrong()
