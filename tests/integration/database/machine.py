"""Users, an admin, workers, crashes and clocks in any order, on real sessions whose transactions interleave.

One thread drives five sessions, so that a failure can be repeated: a statement that meets another session's lock gives
up after a moment. For users and admins that is an outcome; a worker's call must never meet one.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, ClassVar, Final, Literal
from uuid import UUID

import psycopg
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, invariant, multiple, precondition, rule

from tests.integration.database import expected
from tests.integration.database.queue_client import RESULT, Row
from tests.integration.database.sessions import LANES, USERS, Session, Sessions, lease_of

OUTCOMES: Final = ("succeeded", "failed", "retry", "snoozed", "released", "cancelled")
INSERT: Final = """
insert into public.analysis_requests (id, storage_path, media_kind, dedupe_key, run_at)
select i, auth.uid() || '/a.mp4', %s, %s, now() + %s * interval '1 h' from unnest(%s::uuid[]) i
"""
INSERT_FOR: Final = """
insert into public.analysis_requests (id, user_id, storage_path, priority, max_attempts)
select i, %s, %s, %s, %s from unnest(%s::uuid[]) i
"""
REFUSED, LOCK_NOT_AVAILABLE = "PT409", "55P03"
Claim = tuple[UUID, UUID, UUID]
"""Request, fence, and the worker who was told."""
users, workers = st.integers(0, 1), st.integers(0, 1)
sessions = st.integers(0, 4)


class QueueMachine(RuleBasedStateMachine):
    """The rules; `world` is set by whoever runs it."""

    world: ClassVar[Sessions]
    seen: ClassVar[dict[str, int]] = {}
    """How often something of interest happened, over all examples."""

    requests = Bundle("requests")
    claims = Bundle("claims")

    def __init__(self) -> None:
        super().__init__()
        self.world.reset()
        self.answers: dict[str, str] = {}
        self.memory: dict[UUID, dict[UUID, UUID]] = {}
        """What each worker knows to hold, with its fence."""
        self.inserted = 0
        self.owners: dict[UUID, UUID] = {}

    @initialize(target=requests)
    def something_waits(self) -> Any:
        ids = self.new_ids(2, USERS[0])
        self.world.of("admin")[0].rows(INSERT_FOR, USERS[0], f"{USERS[0]}/a.mp4", 0, 3, ids)
        return multiple(*ids)

    # Transactions

    @rule(which=sessions)
    def begin(self, which: int) -> None:
        session = self.world.all[which]
        if not session.is_open:
            session.begin()

    @rule(which=sessions, how=st.sampled_from(["commit", "commit", "rollback"]))
    def end(self, which: int, how: Literal["commit", "rollback"]) -> None:
        session = self.world.all[which]
        if session.is_open:
            session.end(how)
            if how == "commit":
                self.answers |= session.answers
            session.answers.clear()

    # Users

    @rule(
        target=requests,
        who=users,
        count=st.integers(1, 3),
        kind=st.sampled_from(["auto", "video"]),
        key=st.sampled_from([None, None, "same"]),
        hours=st.sampled_from([0, 0, 0, 1]),
    )
    def insert(self, who: int, count: int, kind: str, key: str | None, hours: int) -> Any:
        session = self.world.of("user")[who]
        ids = self.new_ids(1 if key else count, USERS[who])
        with self.may_fail(session, psycopg.errors.UniqueViolation):
            session.rows(INSERT, kind, key, hours, ids)
        return multiple(*ids)

    @rule(
        request=requests,
        what=st.sampled_from(["cancel", "retry", "delete"]),
        stranger=st.sampled_from([False, False, True]),
    )
    def owner_asks(self, request: UUID, what: str, stranger: bool) -> None:
        user = USERS[0] if self.owners.get(request) == USERS[0] else USERS[1]
        session = next(one for one in self.world.of("user") if (one.user == user) != stranger)
        before = session.requests()
        with self.may_fail(session, psycopg.errors.UniqueViolation):
            (answer,) = session.rows(f"select public.{what}_analysis(%s) as said", request)
            self.check_owner(before.get(request), session.requests().get(request), what, answer["said"])

    def check_owner(self, before: Row | None, after: Row | None, what: str, said: str) -> None:
        if before is None:
            assert (after, said) == (None, "not_found")
        elif what == "delete":
            assert (after, said) == (None, "deleted")
        elif after is None:
            raise AssertionError("the request is gone")
        elif what == "cancel" and before["status"] == "running":
            assert said == "cancelling"
            assert after["cancel_requested"]
            assert expected.same(before, after, but=("cancel_requested",))
        elif before["status"] in (("queued", "scheduled") if what == "cancel" else ("failed", "cancelled")):
            assert said == {"cancel": "cancelled", "retry": "queued"}[what]
            expected.check_moved(before, after, said)
        else:
            assert said == before["status"]
            assert expected.same(before, after)

    # The admin

    @rule(
        target=requests,
        user=st.sampled_from(USERS),
        priority=st.sampled_from([0, 0, 5, -5]),
        attempts=st.integers(1, 3),
        count=st.integers(1, 4),
    )
    def admin_inserts(self, user: UUID, priority: int, attempts: int, count: int) -> Any:
        session = self.world.of("admin")[0]
        ids = self.new_ids(count, user)
        with self.may_fail(session):
            session.rows(INSERT_FOR, user, f"{user}/a.mp4", priority, attempts, ids)
        return multiple(*ids)

    @rule(request=requests, status=st.sampled_from(["queued", "queued", "failed", "cancelled"]))
    def admin_moves(self, request: UUID, status: str) -> None:
        session = self.world.of("admin")[0]
        before = session.requests()
        with self.may_fail(session, psycopg.errors.UniqueViolation):
            session.rows("update public.analysis_requests set status = %s where id = %s", status, request)
            after = session.requests()
            expected.unchanged(before, after, but=(request,))
            if request in before:
                expected.check_moved(before[request], after[request], status)
                if after[request]["status"] != before[request]["status"]:
                    assert lease_of(session, request) is None, "a lease outlived a change by hand"

    @rule(request=requests, status=st.sampled_from(["running", "succeeded"]))
    def admin_forges(self, request: UUID, status: str) -> None:
        session = self.world.of("admin")[0]
        before = session.requests()
        try:
            session.rows("update public.analysis_requests set status = %s where id = %s", status, request)
        except psycopg.DatabaseError as error:
            if error.sqlstate not in (REFUSED, LOCK_NOT_AVAILABLE):
                raise
        else:
            expected.unchanged(before, session.requests())

    @rule(priority=st.sampled_from([0, 3, 9]), user=st.sampled_from(USERS))
    def admin_reorders(self, priority: int, user: UUID) -> None:
        session = self.world.of("admin")[0]
        with self.may_fail(session):
            session.rows("update public.analysis_requests set priority = %s where user_id = %s", priority, user)

    @rule(request=requests)
    def admin_holds(self, request: UUID) -> None:
        """Look at a request in an open transaction, and think."""
        session = self.world.of("admin")[0]
        if not session.is_open:
            session.begin()
        with self.may_fail(session):
            session.rows("select 1 from public.analysis_requests where id = %s for update", request)

    # Workers

    @rule(target=claims, who=workers, limit=st.integers(1, 4), lost=st.sampled_from([False, False, False, True]))
    def claim(self, who: int, limit: int, lost: bool) -> Any:
        return multiple(*self.claim_once(self.world.of("worker")[who], limit, lost=lost))

    def claim_once(self, session: Session, limit: int, *, lost: bool = False) -> list[Claim]:
        held = self.memory.setdefault(session.worker, {})
        before = session.requests()
        leases = {row["request_id"]: row for row in session.rows("select * from sentinel.leases")}
        with self.never_waits():
            rows = session.call(
                "sentinel_claim", lanes=LANES, limit=limit, lease_seconds=60, held=sorted(held, key=str)
            )
        after = session.requests()
        self.count("claims" if rows else "empty claims")
        assert len(rows) <= limit
        for row in rows:
            key, fence = row["id"], row["fence"]
            lease = lease_of(session, key)
            assert lease, "a claim without a lease"
            assert (lease["fence"], lease["worker"]) == (fence, session.worker)
            if row["reoffered"]:
                assert key not in held, "a request was offered again that its worker holds"
                assert (leases[key]["fence"], leases[key]["worker"]) == (fence, session.worker)
                assert expected.same(before[key], after[key])
            else:
                expected.check_claimed(before.get(key), after[key], fence)
        others = {key: row for key, row in after.items() if key not in {row["id"] for row in rows}}
        expected.check_swept({key: row for key, row in before.items() if key in others}, others)
        if len(rows) < limit and not self.world.open_besides(session):
            waiting = [row for row in others.values() if row["status"] == "queued"]
            assert not waiting, "a claim left requests waiting"
        if not lost:
            held |= {row["id"]: row["fence"] for row in rows}
        return [(row["id"], row["fence"], session.worker) for row in rows]

    @rule(who=workers, claim=claims)
    def heartbeat(self, who: int, claim: Claim) -> None:
        session = self.world.of("worker")[who]
        request, fence, _ = claim
        before, lease = session.requests(), lease_of(session, request)
        with self.never_waits():
            rows = session.call("sentinel_heartbeat", lease_seconds=60, leases=[{"id": request, "fence": fence}])
        mine = lease is not None and (lease["fence"], lease["worker"]) == (fence, session.worker)
        wanted = "lost" if not mine else "cancel" if before[request]["cancel_requested"] else "ok"
        assert [row["answer"] for row in rows] == [wanted]
        expected.unchanged(before, session.requests())

    @rule(who=workers, claim=claims, percent=st.integers(0, 100))
    def progress(self, who: int, claim: Claim, percent: int) -> None:
        session = self.world.of("worker")[who]
        request, fence, _ = claim
        before, mine = session.requests(), self.holds(session, request, fence)
        entry = {"id": request, "fence": fence, "stage": "probing", "progress": percent}
        with self.never_waits():
            (row,) = session.call("sentinel_progress", progress=[entry])
        busy = row["answer"] == "busy" and self.world.open_besides(session)
        assert busy or row["answer"] == ("ok" if mine else "lost")
        after = session.requests()
        if row["answer"] == "ok":
            assert expected.same(before[request], after[request], but=("stage", "progress"))
        expected.unchanged(before, after, but=(request,) if row["answer"] == "ok" else ())

    @rule(
        claim=claims,
        outcome=st.sampled_from(OUTCOMES),
        delay=st.sampled_from([0, 0, 60]),
        other=st.sampled_from([False, False, True]),
        wish=st.sampled_from([False, False, True]),
    )
    def finish(self, claim: Claim, outcome: str, delay: int, other: bool, wish: bool) -> None:
        """By the worker who was told or by another one, perhaps after its owner's wish to cancel it."""
        if wish:
            self.owner_asks(claim[0], "cancel", False)
        told = [session for session in self.world.of("worker") if (session.worker == claim[2]) != other]
        if told:
            self.finish_once(told[0], claim, outcome, delay)

    @rule(
        who=workers,
        which=st.integers(0, 7),
        outcome=st.sampled_from(OUTCOMES),
        wish=st.sampled_from([False, False, True]),
        again=st.booleans(),
    )
    def finish_held(self, who: int, which: int, outcome: str, wish: bool, again: bool) -> None:
        """A worker ends what it holds, or claims something to end; it asks again where the answer was lost."""
        session = self.world.of("worker")[who]
        if not self.memory.get(session.worker):
            self.claim_once(session, 2)
        held = sorted(self.memory[session.worker].items())
        if not held:
            return
        request, fence = held[which % len(held)]
        if wish:
            self.owner_asks(request, "cancel", False)
        answer = self.finish_once(session, (request, fence, session.worker), outcome)
        if again and answer != "busy":
            self.finish_once(session, (request, fence, session.worker), outcome)

    def finish_once(self, session: Session, claim: Claim, outcome: str, delay: int = 0) -> str:
        request, fence, _ = claim
        before, mine = session.requests(), self.holds(session, request, fence)
        entry: dict[str, Any] = {"id": request, "fence": fence, "outcome": outcome, "delay_seconds": delay}
        entry |= {"result": RESULT} if outcome == "succeeded" else {"error_code": "x", "error_message": "Said so."}
        with self.never_waits():
            (row,) = session.call("sentinel_finish", outcomes=[entry])
        after, answer = session.requests(), row["answer"]
        known = (self.answers | session.answers).get(f"{session.worker} {fence}")
        if answer == "busy":
            assert self.world.open_besides(session), "busy, and nobody is there"
            self.count("busy")
            expected.unchanged(before, after)
        elif mine:
            wanted = expected.after_finish(before[request], outcome, delay)
            assert answer == wanted, f"{outcome} was answered {answer}, not {wanted}"
            expected.check_finished(before[request], after[request], outcome, answer)
            expected.unchanged(before, after, but=(request,))
            self.count(outcome)
            self.remember(session, fence, answer)
            self.memory.setdefault(session.worker, {}).pop(request, None)
        else:
            expected.unchanged(before, after)
            assert answer == (known if known and request in before else "lost"), "a repeated or stale finish"
            self.count("repeated" if known else "stale")
        return str(answer)

    @rule(who=workers)
    def maintain(self, who: int) -> None:
        session = self.world.of("worker")[who]
        before = session.requests()
        with self.never_waits():
            session.call("sentinel_maintain", name="w", version="0", lanes=LANES, slots=4)
        after = session.requests()
        expected.check_swept(before, after)
        if not self.world.open_besides(session):
            (left,) = session.rows("select count(*) as n from sentinel.leases where lease_until < now()")
            assert left["n"] == 0, "a lease that ran out was left"

    @rule(who=workers)
    def crash(self, who: int) -> None:
        """The process is gone with all it knew; what its transaction did was never committed."""
        session = self.world.of("worker")[who]
        if session.is_open:
            session.end("rollback")
        session.answers.clear()
        self.world.restart(session)

    # The clock

    @rule(claim=claims)
    def lease_runs_out(self, claim: Claim) -> None:
        self.world.expire(claim[0])

    @rule()
    def time_passes(self) -> None:
        self.world.make_due()

    # What must hold

    @invariant()
    def nothing_is_wrong(self) -> None:
        """Over what is committed."""
        wrong = [row["what"] for row in self.world.clock.rows(expected.WRONG)]
        assert not wrong, wrong[0]

    @precondition(lambda self: not any(session.is_open for session in self.world.all))
    @rule(target=claims, who=workers)
    def nobody_starves(self, who: int) -> Any:
        """Everyone who waits is served within two claims' worth of a place for each."""
        session = self.world.of("worker")[who]
        waiting = {row["user_id"] for row in session.requests().values() if row["status"] == "queued"}
        claimed: list[Claim] = []
        served: set[UUID] = set()
        places = 2 * len(waiting)
        while places > 0 and (new := self.claim_once(session, 1)):
            claimed += new
            owner = session.requests()[new[0][0]]["user_id"]
            places -= 1 if owner in waiting else 0
            served.add(owner)
        assert waiting <= served, "somebody starves"
        return multiple(*claimed)

    def teardown(self) -> None:
        """Whatever happened, everything that is left can be finished."""
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
                for claim in claims:
                    assert self.finish_once(session, claim, "succeeded") == "succeeded"
        left = [row["status"] for row in session.requests().values() if row["status"] in expected.OPEN]
        assert not left, f"requests that never end: {left}"
        self.nothing_is_wrong()

    # Tools of the rules

    def new_ids(self, count: int, user: UUID) -> list[UUID]:
        """The same in each run, because claims of one moment go by id."""
        self.inserted += count
        ids = [UUID(int=self.inserted - number) for number in range(count)]
        self.owners |= dict.fromkeys(ids, user)
        return ids

    def holds(self, session: Session, request: UUID, fence: UUID) -> bool:
        lease = lease_of(session, request)
        return lease is not None and (lease["fence"], lease["worker"]) == (fence, session.worker)

    def remember(self, session: Session, fence: UUID, answer: str) -> None:
        (session.answers if session.is_open else self.answers)[f"{session.worker} {fence}"] = answer

    def count(self, what: str) -> None:
        self.seen[what] = self.seen.get(what, 0) + 1

    @contextmanager
    def may_fail(self, session: Session, *more: type[psycopg.Error]) -> Iterator[None]:
        """A lock that another session holds, or an error that is an answer: the open transaction is over."""
        try:
            yield
        except more as error:
            self.count(type(error).__name__)
        except psycopg.errors.LockNotAvailable:
            self.count("blocked")
            if not self.world.open_besides(session):
                raise

    @contextmanager
    def never_waits(self) -> Iterator[None]:
        try:
            yield
        except psycopg.Error as error:
            raise AssertionError(f"a worker's call was refused or had to wait: {error}") from error
