"""Rules of the state machine for users and an admin."""

from typing import Any, Final
from uuid import UUID

import psycopg
from hypothesis import strategies as st
from hypothesis.stateful import multiple, rule

from tests.integration.database import expected
from tests.integration.database.machine_tools import EITHER, REQUESTS, Tools
from tests.integration.database.queue_client import Row
from tests.integration.database.sessions import USERS, Session, lease_of

INSERT: Final = """
insert into public.analysis_requests (id, storage_path, media_kind, dedupe_key, run_at)
select i, auth.uid() || '/a.mp4', %s, %s, now() + %s * interval '1 h' from unnest(%s::uuid[]) i
"""
INSERT_FOR: Final = """
insert into public.analysis_requests (id, user_id, storage_path, priority, max_attempts)
select i, %s, %s, %s, %s from unnest(%s::uuid[]) i
"""
REFUSED, LOCK_NOT_AVAILABLE = "PT409", "55P03"


class People(Tools):
    """Two users who insert and ask, and an admin with plain SQL."""

    @rule(
        target=REQUESTS,
        who=EITHER,
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
        request=REQUESTS,
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

    @rule(
        target=REQUESTS,
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

    @rule(request=REQUESTS, status=st.sampled_from(["queued", "queued", "failed", "cancelled"]))
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

    @rule(request=REQUESTS, status=st.sampled_from(["running", "succeeded"]))
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

    @rule(request=REQUESTS)
    def admin_holds(self, request: UUID) -> None:
        """Lock a request in an open transaction, and keep the transaction open."""
        session = self.admin_begins()
        with self.may_fail(session):
            session.rows("select 1 from public.analysis_requests where id = %s for update", request)

    def admin_begins(self) -> Session:
        session = self.world.of("admin")[0]
        if not session.is_open:
            session.begin()
        return session
