"""Effects that each statement may have on a request, written a second time for the state machine to compare with."""

from collections import Counter
from collections.abc import Mapping
from typing import Any, Final
from uuid import UUID

from tests.integration.database.queue_client import Row

Rows = Mapping[UUID, Row]
OPEN: Final = ("queued", "scheduled", "running")
MAX_CRASHES: Final = 3
WRONG: Final = """
select 'a lease without its running request: ' || l.request_id as what from sentinel.leases l
 where not exists (select from public.analysis_requests r where r.id = l.request_id and r.fence = l.fence
                      and r.attempt = l.attempt and r.status = 'running')
union all
select 'running without a lease: ' || r.id from public.analysis_requests r
 where r.status = 'running' and not exists (select from sentinel.leases l where l.request_id = r.id)
union all
select 'more attempts than allowed: ' || r.id from public.analysis_requests r where r.attempt > r.max_attempts
union all
select 'more crashes than allowed: ' || r.id from public.analysis_requests r
 where r.crashes > 3 or (r.crashes = 3 and r.status in ('queued', 'scheduled', 'running'))
union all
select 'a success without exactly one current result, or another state with one: ' || r.id
  from public.analysis_requests r
 where (select count(*) from public.analysis_results e where e.request_id = r.id and e.is_current)
       <> case r.status when 'succeeded' then 1 else 0 end
union all
select 'a result whose attempt did not succeed: ' || e.request_id from public.analysis_results e
 where not exists (select from sentinel.attempts a where a.request_id = e.request_id and a.fence = e.fence
                      and a.outcome = 'succeeded' and a.answer = 'succeeded')
union all
select 'an attempt that ended is current: ' || a.request_id from sentinel.attempts a
  join public.analysis_requests r on r.id = a.request_id and r.fence = a.fence
union all
select 'a final state that its history does not explain: ' || r.id from public.analysis_requests r
 where r.status = 'succeeded' and not exists (
   select from sentinel.attempts a where a.request_id = r.id and a.answer = 'succeeded')
    or r.status = 'failed' and r.error_code <> 'failed_by_hand' and not exists (
   select from sentinel.attempts a where a.request_id = r.id and a.answer = 'failed')
union all
select 'files of an attempt, which the outbox has to name if it left no result: ' || a.request_id
  from sentinel.attempts a join public.analysis_requests r on r.id = a.request_id
 where exists (select from sentinel.deletions d
                where d.name = r.user_id || '/' || a.request_id || '/' || a.fence || '/')
       <> (a.outcome in ('lease_expired', 'moved_by_hand')
           or (a.outcome <> 'succeeded' and a.stage is distinct from 'probing'))
"""


def after_finish(row: Row, outcome: str, delay: float) -> str:
    """Return the status to which an outcome of the current attempt leads."""
    if outcome == "succeeded":
        return "succeeded"
    if outcome == "cancelled" or row["cancel_requested"]:
        return "cancelled"
    if outcome == "failed" or (outcome == "retry" and row["attempt"] >= row["max_attempts"]):
        return "failed"
    return "scheduled" if outcome == "retry" or delay else "queued"


def running(rows: Rows) -> Counter[UUID]:
    """Count the running requests of each user."""
    return Counter(row["user_id"] for row in rows.values() if row["status"] == "running")


class Shares:
    """Shares of a worker's slots, with the number that each user holds; None slots: no shares."""

    def __init__(self, slots: int | None, held: Counter[UUID]) -> None:
        self._slots, self._held = slots, held

    def _share(self, user: UUID) -> int:
        assert self._slots is not None
        return max(0, -((self._held.total() - self._held[user] - self._slots) // 2))

    def check_given(self, users: list[UUID]) -> None:
        """Check places given in one claim, in some order: the one given last is within its user's share, and so on."""
        self._held.update(users)
        if self._slots is None:
            return
        left = Counter(users)
        while left.total():
            last = [user for user in left if self._held[user] <= self._share(user)]
            assert last, "a claim passed a user's share of the slots"
            left[last[0]] -= 1
            left += Counter()
            self._held[last[0]] -= 1
        self._held.update(users)

    def open_to(self, users: set[UUID]) -> set[UUID]:
        """Those of these users who may have another place."""
        return users if self._slots is None else {user for user in users if self._held[user] < self._share(user)}


def check_finished(before: Row, after: Row, outcome: str, answer: str) -> None:
    """Check an accepted finish."""
    assert after["status"] == answer
    assert after["fence"] != before["fence"], "the fence outlived the attempt"
    refunded = outcome in ("snoozed", "released") and answer != "cancelled"
    assert after["attempt"] == before["attempt"] - refunded, "an attempt was refunded wrongly, or not at all"
    assert after["crashes"] == before["crashes"]
    assert not after["cancel_requested"]
    check_shape(after)


def check_claimed(before: Row | None, after: Row, fence: UUID) -> None:
    """Check a newly claimed request."""
    assert before is not None, "a request that did not exist"
    assert (after["status"], after["fence"]) == ("running", fence)
    assert before["status"] in OPEN
    assert fence != before["fence"]
    assert after["attempt"] == before["attempt"] + 1
    assert after["attempt"] <= after["max_attempts"], "more attempts than allowed"


def check_swept(before: Rows, after: Rows) -> None:
    """Check the only effects of time: a due request is promoted, a lease expires."""
    assert set(before) == set(after)
    for key, old in before.items():
        new = after[key]
        if same(old, new):
            continue
        assert new["fence"] != old["fence"]
        assert new["attempt"] == old["attempt"]
        if old["status"] == "scheduled":
            assert new["status"] == "queued"
            continue
        assert old["status"] == "running", f"time moved a request that was {old['status']}"
        assert new["crashes"] == old["crashes"] + 1
        given_up = new["crashes"] >= MAX_CRASHES or old["attempt"] >= old["max_attempts"]
        wanted = {"cancelled"} if old["cancel_requested"] else {"failed"} if given_up else {"scheduled", "queued"}
        assert new["status"] in wanted
        check_shape(new)


def check_moved(before: Row, after: Row, status: str) -> None:
    """Check a status set by an admin or an owner."""
    if before["status"] == status:
        assert same(before, after)
        return
    assert after["status"] == status
    assert after["fence"] != before["fence"], "the fence outlived a change by hand"
    assert not after["cancel_requested"]
    if status == "queued":
        assert (after["attempt"], after["crashes"]) == (0, 0)
    check_shape(after)


def check_shape(row: Row) -> None:
    """Check a request that is not running."""
    final = row["status"] not in OPEN
    assert (row["finished_at"] is not None) == final
    assert (row["verdict"] is not None) == (row["status"] == "succeeded")
    assert row["stage"] is None
    if row["status"] == "failed":
        assert row["error_code"]
    if row["status"] in ("succeeded", "cancelled"):
        assert row["error_code"] is None


def same(one: Row, other: Row, *, but: tuple[str, ...] = ()) -> bool:
    """True if nothing was written."""
    return {k: v for k, v in one.items() if k not in but} == {k: v for k, v in other.items() if k not in but}


def unchanged(before: Mapping[UUID, Any], after: Mapping[UUID, Any], *, but: tuple[UUID, ...] = ()) -> None:
    """Check that nothing but the requests in `but` was written."""
    for key in (set(before) | set(after)) - set(but):
        assert before.get(key) == after.get(key), "an unrelated request changed"
