"""Claim, heartbeat and progress: who gets which request, and the cost of a lost answer."""

from collections import Counter
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import psycopg
import pytest

from tests.integration.database.queue_client import Queue


def test_a_claim_takes_the_best_first_and_marks_the_row_running(queue: Queue) -> None:
    (plain,) = queue.insert()
    (urgent,) = queue.insert(priority=10, options='{"frames": 4}')
    claims = queue.claim(limit=2)
    assert [claim["id"] for claim in claims] == [urgent, plain]
    first = claims[0]
    assert first["options"] == {}, "a worker reads none of them as they are"
    assert first["attempt"] == 1
    assert 59 < first["lease_seconds"] <= 60
    assert not first["reoffered"]
    row = queue.row(urgent)
    assert (row["status"], row["fence"], row["progress"]) == ("running", first["fence"], 0)
    assert row["started_at"] is not None


@pytest.mark.parametrize(
    ("options", "preview"),
    [
        ("{}", False),
        ('{"preview": true}', True),
        ('{"preview": false}', False),
        ('{"preview": null}', False),
        ('{"preview": "true"}', False),
        ('{"preview": [true]}', False),
        ('{"preview": true, "more": 1}', True),
    ],
)
def test_a_claim_says_whether_a_preview_is_wanted(queue: Queue, options: str, preview: bool) -> None:
    queue.insert(options=options)
    claims = [*queue.claim(), *queue.claim()]
    assert [(claim["preview"], claim["reoffered"]) for claim in claims] == [(preview, False), (preview, True)]


def test_two_workers_never_get_the_same_request(queue: Queue) -> None:
    other = queue.another_worker()
    queue.insert(count=10)
    mine, theirs = queue.claim(limit=6), other.claim(limit=6)
    assert len(mine) == 6
    assert len(theirs) == 4
    assert not {claim["id"] for claim in mine} & {claim["id"] for claim in theirs}


def test_a_claim_skips_rows_that_a_transaction_holds(queue: Queue) -> None:
    held, free = queue.insert(count=2)
    with queue.connect() as blocker, blocker.transaction():
        blocker.execute("select 1 from public.analysis_requests where id = %s for update", (held,))
        assert [claim["id"] for claim in queue.claim(limit=2)] == [free]


def test_a_claim_whose_answer_was_lost_is_offered_again_within_the_limit(queue: Queue) -> None:
    queue.insert(count=3)
    lost = {claim["id"]: claim["fence"] for claim in queue.claim(limit=2)}
    again = queue.claim(limit=2)
    assert {claim["id"]: claim["fence"] for claim in again} == lost
    assert all(claim["reoffered"] and claim["attempt"] == 1 for claim in again)
    new = queue.claim(limit=2, held=list(lost))
    assert len(new) == 1
    assert new[0]["id"] not in lost


def test_lanes_are_media_kind_and_detector(queue: Queue) -> None:
    (image,) = queue.insert(media_kind="image", detector="demo")
    assert queue.claim(lanes=["image/default", "video/demo"]) == []
    assert queue.claim(lanes=["image/demo"])[0]["id"] == image


def test_odd_arguments_cost_nothing_but_their_own_element(queue: Queue) -> None:
    claim = queue.start()
    leases = [None, 7, "x", {"id": 1}, {"id": str(claim["id"]), "fence": "no"}, claim_key(claim)]
    answers = queue.call("sentinel_heartbeat", lease_seconds="soon", leases=leases)
    assert Counter(row["answer"] for row in answers) == {"lost": 5, "ok": 1}
    assert [row["id"] for row in answers if row["answer"] == "ok"] == [claim["id"]]
    assert queue.call("sentinel_heartbeat", leases={"id": 1}) == []
    assert queue.claim(lanes="all", held={"a": 1}, limit=-3, lease_seconds=1e300) == []
    progress = [[], {"id": str(claim["id"]), "fence": None}, {"id": "x", "progress": "NaN"}]
    assert {row["answer"] for row in queue.call("sentinel_progress", progress=progress)} == {"lost"}


def test_a_call_without_a_worker_is_refused(queue: Queue) -> None:
    with pytest.raises(psycopg.errors.InvalidParameterValue, match=r"args\.worker"):
        queue.call("sentinel_claim", worker="me")


def test_a_heartbeat_extends_only_this_workers_current_leases(queue: Queue) -> None:
    other = queue.another_worker()
    claim = queue.start()
    queue.sql("update sentinel.leases set lease_until = now() + interval '1 s'")
    assert other.heartbeat(claim) == ["lost"]
    assert queue.heartbeat(claim | {"fence": uuid4()}) == ["lost"]
    until = queue.sql("select lease_until from sentinel.leases")[0]["lease_until"]
    assert until < datetime.now(UTC) + timedelta(seconds=10)
    assert queue.heartbeat(claim) == ["ok"]
    until = queue.sql("select lease_until from sentinel.leases")[0]["lease_until"]
    assert until > datetime.now(UTC) + timedelta(seconds=50)


def test_a_heartbeat_answers_busy_for_a_lease_that_it_could_not_extend(queue: Queue) -> None:
    queue.insert(count=3)
    held, wanted_back, free = queue.claim(limit=3)
    queue.sql("update public.analysis_requests set cancel_requested = true where id = %s", wanted_back["id"])
    before = leases_until(queue)
    with queue.connect() as blocker, blocker.transaction():
        blocker.execute("select 1 from sentinel.leases where request_id <> %s for update", (free["id"],))
        assert queue.heartbeat(held, wanted_back, free) == ["busy", "busy", "ok"]
    after = leases_until(queue)
    assert {key for key in before if before[key] != after[key]} == {free["id"]}
    assert queue.heartbeat(held, wanted_back, free) == ["ok", "cancel", "ok"]
    assert min(leases_until(queue).values()) > max(before.values())


def test_a_heartbeat_during_a_requeue_is_busy_and_then_lost(queue: Queue) -> None:
    claim = queue.start()
    with queue.connect() as admin, admin.transaction():
        admin.execute("update public.analysis_requests set status = 'queued' where id = %s", (claim["id"],))
        assert queue.heartbeat(claim) == ["busy"]
    assert queue.heartbeat(claim) == ["lost"]


def test_a_heartbeat_reports_deleted_rows_and_users(queue: Queue) -> None:
    deleted, orphan = queue.start(), queue.another_worker()
    claim = orphan.start()
    queue.sql("delete from public.analysis_requests where id = %s", deleted["id"])
    queue.sql("delete from auth.users where id = %s", orphan.user)
    assert queue.heartbeat(deleted) == ["lost"]
    assert orphan.heartbeat(claim) == ["lost"]
    assert orphan.succeed(claim)["answer"] == "lost"
    assert queue.sql("select 1 from sentinel.leases") == []


def test_progress_shows_and_never_falls(queue: Queue) -> None:
    claim = queue.start()
    assert queue.progress(claim, "analyzing", 40) == "ok"
    assert queue.progress(claim, "analyzing", 30.4) == "ok"
    row = queue.row(claim["id"])
    assert (row["stage"], row["progress"]) == ("analyzing", 40)
    assert queue.progress(claim, "deriving", 1000) == "ok"
    assert queue.row(claim["id"])["progress"] == 100
    assert queue.progress(claim | {"fence": uuid4()}, "fetching", 1) == "lost"


def test_progress_answers_busy_instead_of_waiting(queue: Queue) -> None:
    claim = queue.start()
    with queue.connect() as blocker, blocker.transaction():
        blocker.execute("select 1 from public.analysis_requests for update")
        assert queue.progress(claim, "probing", 5) == "busy"


def leases_until(queue: Queue) -> dict[UUID, datetime]:
    return {row["request_id"]: row["lease_until"] for row in queue.sql("select * from sentinel.leases")}


def claim_key(claim: dict[str, object]) -> dict[str, str]:
    return {"id": str(claim["id"]), "fence": str(claim["fence"])}


@pytest.mark.parametrize("options", ['{"n": ' + "9" * 4400 + "}", '{"n": ' + "[" * 4000 + "]" * 4000 + "}"])
def test_options_stored_before_the_limit_do_no_harm(queue: Queue, options: str) -> None:
    """A row with such options passes every function and every change by hand, and no worker is shown them."""
    queue.sql("alter table public.analysis_requests disable trigger analysis_requests_options")
    (request,) = queue.insert(options=options)
    queue.sql("alter table public.analysis_requests enable trigger analysis_requests_options")
    claim = queue.claim()[0]
    assert (claim["id"], claim["options"]) == (request, {})
    assert queue.heartbeat(claim) == ["ok"]
    assert queue.progress(claim, "analyzing", 50) == "ok"
    assert queue.finish(claim, "retry", error_code="later", delay_seconds=0)["answer"] == "scheduled"
    queue.sql("update public.analysis_requests set status = 'queued'")
    assert queue.succeed(queue.claim()[0])["answer"] == "succeeded"
    (same,) = queue.sql("select options = %s::jsonb as same from public.analysis_requests", options)
    assert same["same"]
