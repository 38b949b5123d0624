"""Rules of the state machine for workers: batched calls, for requests that they hold and that they held."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple
from uuid import UUID

from hypothesis import strategies as st
from hypothesis.stateful import multiple, rule

from tests.integration.database import expected
from tests.integration.database.machine_people import People
from tests.integration.database.machine_tools import CLAIMS, EITHER, Claim, Key
from tests.integration.database.queue_client import RESULT, Row
from tests.integration.database.sessions import LANES, Session, lease_of

OUTCOMES: Final = ("succeeded", "failed", "retry", "snoozed", "released", "cancelled")
FREE: Final = """
select request_id from sentinel.leases where worker = %s and request_id = any(%s) for update skip locked
"""


class Ending(NamedTuple):
    """One entry of a finish."""

    request: UUID
    fence: UUID
    outcome: str
    delay: int = 0

    def entry(self) -> dict[str, Any]:
        """Return it as a worker sends it."""
        entry = {"id": self.request, "fence": self.fence, "outcome": self.outcome, "delay_seconds": self.delay}
        said = {"result": RESULT} if self.outcome == "succeeded" else {"error_code": "x", "error_message": "Said so."}
        return entry | said


class Workers(People):
    """Two workers that lose answers, processes and leases."""

    @rule(
        target=CLAIMS,
        who=EITHER,
        limit=st.integers(1, 4),
        lost=st.sampled_from([False, False, False, True]),
        slots=st.sampled_from([None, None, 1, 2, 4]),
    )
    def claim(self, who: int, limit: int, lost: bool, slots: int | None = None) -> Any:
        return multiple(*self.claim_once(self.world.of("worker")[who], limit, lost=lost, slots=slots))

    def claim_once(self, session: Session, limit: int, *, lost: bool = False, slots: int | None = None) -> list[Claim]:
        held = self.memory.setdefault(session.worker, {})
        before, leases = session.requests(), session.leases()
        holding = Counter(before[request]["user_id"] for request in held if request in before)
        told = {} if slots is None else {"slots": slots, "holding": {str(user): n for user, n in holding.items()}}
        with self.never_waits():
            rows = self.call(
                session,
                "sentinel_claim",
                lanes=LANES,
                limit=limit,
                lease_seconds=60,
                held=sorted(held, key=str),
                **told,
            )
        after = session.requests()
        holding.update(row["user_id"] for row in rows if row["reoffered"])
        shares = expected.Shares(slots, holding)
        shares.check_given([row["user_id"] for row in rows if not row["reoffered"]])
        self.count("claims" if rows else "empty claims")
        assert len(rows) <= limit
        for row in rows:
            self.check_claimed(session, row, before, after, leases)
        others = {key: row for key, row in after.items() if key not in {row["id"] for row in rows}}
        expected.check_swept({key: row for key, row in before.items() if key in others}, others)
        if len(rows) < limit and not self.world.open_besides(session):
            assert not self.may_run(after) & shares.open_to(self.may_run(after)), "a claim left requests waiting"
        if not lost:
            held |= {row["id"]: row["fence"] for row in rows}
        return [(row["id"], row["fence"], session.worker) for row in rows]

    def check_claimed(
        self, session: Session, row: Row, before: expected.Rows, after: expected.Rows, leases: expected.Rows
    ) -> None:
        key, fence = row["id"], row["fence"]
        lease = lease_of(session, key)
        assert lease, "a claim without a lease"
        assert (lease["fence"], lease["worker"]) == (fence, session.worker)
        if row["reoffered"]:
            assert key not in self.memory[session.worker], "a request was offered again that its worker holds"
            assert (leases[key]["fence"], leases[key]["worker"]) == (fence, session.worker)
            assert expected.same(before[key], after[key])
            return
        expected.check_claimed(before.get(key), after[key], fence)
        if self.most is not None:
            running = expected.running(after)[after[key]["user_id"]]
            assert running <= self.most, "a claim passed its user's limit"
            self.count("claims at the limit" if running == self.most else "claims below the limit")

    def may_run(self, rows: expected.Rows) -> set[UUID]:
        """Users who have queued requests and are below their limit."""
        running = expected.running(rows)
        waiting = {row["user_id"] for row in rows.values() if row["status"] == "queued"}
        return {user for user in waiting if self.most is None or running[user] < self.most}

    @rule(
        who=EITHER,
        drawn=CLAIMS,
        more=st.lists(CLAIMS, max_size=2),
        twin=st.booleans(),
        moving=st.sampled_from([False, False, True]),
    )
    def heartbeat(self, who: int, drawn: Claim, more: list[Claim], twin: bool, moving: bool) -> None:
        """Send heartbeats, perhaps while an admin's requeue of one request is still uncommitted."""
        session = self.world.of("worker")[who]
        keys = self.batch(session, [drawn, *more], twin=twin)
        if moving:
            self.admin_begins()
            self.admin_moves(keys[-1][0], "queued")
        before, leases = session.requests(), session.leases()
        mine = {request: fence for request, fence in keys if self.holds(session, request, fence)}
        free = {row["request_id"] for row in session.rows(FREE, session.worker, list(mine))}
        with self.never_waits():
            rows = self.call(
                session,
                "sentinel_heartbeat",
                lease_seconds=60,
                leases=[{"id": key, "fence": fence} for key, fence in keys],
            )
        answers = self.of_held(rows, {key: "lost" for key in keys if key[0] not in mine or mine[key[0]] != key[1]})
        for request in mine:
            wanted = "cancel" if before[request]["cancel_requested"] else "ok"
            assert answers[request] == (wanted if request in free else "busy"), "a heartbeat's answer is wrong"
            self.count(f"heartbeat {answers[request]}")
        after = session.leases()
        assert all(after[request]["lease_until"] > leases[request]["lease_until"] for request in free)
        assert {key for key in leases if leases[key] != after[key]} <= free, "it extended another lease"
        expected.unchanged(before, session.requests())

    @rule(who=EITHER, drawn=CLAIMS, more=st.lists(CLAIMS, max_size=2), percent=st.integers(0, 100), twin=st.booleans())
    def progress(self, who: int, drawn: Claim, more: list[Claim], percent: int, twin: bool) -> None:
        session = self.world.of("worker")[who]
        keys = dict(reversed(self.batch(session, [drawn, *more], twin=twin)))  # one for each request
        before = session.requests()
        mine = {request for request, fence in keys.items() if self.holds(session, request, fence)}
        entries = [
            {"id": request, "fence": fence, "stage": "probing", "progress": percent} for request, fence in keys.items()
        ]
        with self.never_waits():
            rows = self.call(session, "sentinel_progress", progress=entries)
        answers = self.of_held(rows, {key: "lost" for key in keys.items() if key[0] not in mine})
        after, shown = session.requests(), tuple(request for request in mine if answers[request] == "ok")
        for request in mine - set(shown):
            assert answers[request] == "busy"
            assert self.world.open_besides(session), "busy, though no other session is open"
        for request in shown:
            assert expected.same(before[request], after[request], but=("stage", "progress"))
            assert after[request]["progress"] == max(before[request]["progress"], percent)
        expected.unchanged(before, after, but=shown)

    @rule(
        drawn=CLAIMS,
        outcome=st.sampled_from(OUTCOMES),
        delay=st.sampled_from([0, 0, 60]),
        other=st.sampled_from([False, False, True]),
        wish=st.sampled_from([False, False, True]),
    )
    def finish(self, drawn: Claim, outcome: str, delay: int, other: bool, wish: bool) -> None:
        """Finish by the worker that received the claim or by another one, perhaps after the owner asked to cancel."""
        request, fence, worker = drawn
        if wish:
            self.owner_asks(request, "cancel", False)
        told = [session for session in self.world.of("worker") if (session.worker == worker) != other]
        if told:
            self.finish_once(told[0], Ending(request, fence, outcome, delay))

    @rule(
        who=EITHER,
        which=st.integers(0, 7),
        outcome=st.sampled_from(OUTCOMES),
        wish=st.sampled_from([False, False, True]),
        again=st.booleans(),
    )
    def finish_held(self, who: int, which: int, outcome: str, wish: bool, again: bool) -> None:
        """Finish a request that a worker holds, or claims first; with `again` repeat it, as if the answer were lost."""
        session = self.world.of("worker")[who]
        if not self.memory.get(session.worker):
            self.claim_once(session, 2)
        held = sorted(self.memory[session.worker].items())
        if not held:
            return
        request, fence = held[which % len(held)]
        if wish:
            self.owner_asks(request, "cancel", False)
        ending = Ending(request, fence, outcome)
        (answer,) = self.finish_once(session, ending).values()
        if again and answer != "busy":
            self.finish_once(session, ending)

    @rule(
        target=CLAIMS,
        who=EITHER,
        drawn=CLAIMS,
        outcomes=st.lists(st.sampled_from(OUTCOMES), min_size=3, max_size=5),
        twin=st.booleans(),
        wish=st.sampled_from([False, False, True]),
        again=st.booleans(),
    )
    def finish_batch(self, who: int, drawn: Claim, outcomes: list[str], twin: bool, wish: bool, again: bool) -> Any:
        """Finish all that a worker holds in one call, with one request that is most likely not its own any more."""
        session = self.world.of("worker")[who]
        missing = len(outcomes) - 1 - len(self.memory.get(session.worker, {}))
        new = self.claim_once(session, missing) if missing > 0 else []
        keys = self.batch(session, [drawn], twin=twin)[: len(outcomes)]
        if wish:
            self.owner_asks(keys[-1][0], "cancel", False)
        endings = [Ending(*key, outcome) for key, outcome in zip(keys, outcomes, strict=False)]
        answers = self.finish_once(session, *endings)
        if again:
            self.finish_once(session, *(one for one in endings if answers[one.request, one.fence] != "busy"))
        return multiple(*new)

    def finish_once(self, session: Session, *endings: Ending) -> dict[Key, str]:
        """Make one call; return the answer for each."""
        before = session.requests()
        held = [one for one in endings if self.holds(session, one.request, one.fence)]
        refused = {
            (one.request, one.fence): self.said_before(session, one, before) for one in endings if one not in held
        }
        with self.never_waits():
            rows = self.call(session, "sentinel_finish", outcomes=[one.entry() for one in endings])
        answers, after = self.of_held(rows, refused), session.requests()
        self.count("finishes of several held" if len(held) > 1 else "finishes")
        for one in held:
            self.check_finished(session, one, before[one.request], after[one.request], answers[one.request])
        expected.unchanged(before, after, but=tuple(one.request for one in held if answers[one.request] != "busy"))
        return refused | {(one.request, one.fence): answers[one.request] for one in held}

    def said_before(self, session: Session, one: Ending, before: expected.Rows) -> str:
        known = (self.answers | session.answers).get(f"{session.worker} {one.request} {one.fence}")
        self.count("repeated" if known else "stale")
        return known if known and one.request in before else "lost"

    def check_finished(self, session: Session, one: Ending, before: Row, after: Row, answer: str) -> None:
        if answer == "busy":
            assert self.world.open_besides(session), "busy, though no other session is open"
            assert expected.same(before, after)
            self.count("busy")
            return
        wanted = expected.after_finish(before, one.outcome, one.delay)
        assert answer == wanted, f"{one.outcome} was answered {answer}, not {wanted}"
        expected.check_finished(before, after, one.outcome, answer)
        self.count(one.outcome)
        self.remember(session, one.request, one.fence, answer)
        self.memory.setdefault(session.worker, {}).pop(one.request, None)

    @rule(who=EITHER)
    def maintain(self, who: int) -> None:
        session = self.world.of("worker")[who]
        before = session.requests()
        with self.never_waits():
            self.call(session, "sentinel_maintain", name="w", version="0", lanes=LANES, slots=4)
        after = session.requests()
        expected.check_swept(before, after)
        if not self.world.open_besides(session):
            (left,) = session.rows("select count(*) as n from sentinel.leases where lease_until < now()")
            assert left["n"] == 0, "a lease that ran out was left"

    @rule(who=EITHER)
    def crash(self, who: int) -> None:
        """End the process with all it knew, and roll back its open transaction."""
        session = self.world.of("worker")[who]
        if session.is_open:
            session.end("rollback")
        session.answers.clear()
        self.world.restart(session)

    def batch(self, session: Session, drawn: Sequence[Claim], *, twin: bool) -> list[Key]:
        """Any claims, and up to four that the worker holds; with `twin` the first of those gets another's fence."""
        held = sorted(self.memory.get(session.worker, {}).items())[:4]
        if twin and held:
            held[0] = (held[0][0], drawn[0][1])
        return list(dict.fromkeys([*(claim[:2] for claim in drawn), *held]))

    def of_held(self, rows: list[Row], refused: Mapping[Key, str]) -> dict[UUID, str]:
        """Return one answer for each held request, after checking that all others were answered as expected."""
        left = Counter((row["id"], row["answer"]) for row in rows)
        left.subtract((request, answer) for (request, _), answer in refused.items())
        assert min(left.values(), default=0) >= 0, "a repeated or stale call was answered like a new one"
        answers = dict(left.elements())
        assert len(answers) == left.total()
        return answers
