"""Effects of time: promotion, expiry, poison, lanes without workers."""

from typing import LiteralString
from uuid import uuid4

from tests.integration.database.queue_client import Queue


def test_a_due_request_is_promoted_by_the_sweep_and_by_an_empty_claim(queue: Queue) -> None:
    (later,) = queue.sql(
        "insert into public.analysis_requests (user_id, source_url, run_at)"
        " values (%s, 'https://example.org/v', now() + interval '1 h') returning id, status, fence",
        queue.user,
    )
    assert later["status"] == "scheduled"
    swept = queue.maintain()
    assert swept["promoted"] == 0
    assert 3590 < swept["next_due_seconds"] <= 3600
    make_due(queue)
    assert queue.maintain()["promoted"] == 1
    row = queue.row(later["id"])
    assert row["status"] == "queued"
    assert row["fence"] != later["fence"]
    claim = queue.claim()[0]
    queue.finish(claim, "snoozed", delay_seconds=500)
    assert queue.claim() == []
    make_due(queue)
    assert queue.claim()[0]["id"] == later["id"]


def test_nothing_is_due_in_an_empty_queue(queue: Queue) -> None:
    assert queue.maintain() == {
        "promoted": 0,
        "expired": 0,
        "poisoned": 0,
        "unserved": 0,
        "next_due_seconds": None,
        "removals_due": False,
        "drain": False,
    }


def test_a_lease_that_ran_out_counts_a_crash_and_the_third_is_poison(queue: Queue) -> None:
    request = queue.insert()[0]
    for crash in (1, 2):
        claim = queue.claim()[0]
        assert claim["crashes"] == crash - 1
        assert queue.expire(claim)["expired"] == 1
        row = queue.row(request)
        assert (row["status"], row["crashes"], row["error_code"]) == ("scheduled", crash, "worker_lost")
        make_due(queue)
    swept = queue.expire(queue.claim()[0])
    assert (swept["expired"], swept["poisoned"]) == (1, 1)
    row = queue.row(request)
    assert (row["status"], row["error_code"], row["attempt"]) == ("failed", "worker_lost", 3)
    assert queue.sql("select 1 from sentinel.leases") == []


def test_a_lease_that_ran_out_in_the_last_attempt_ends_the_request(queue: Queue) -> None:
    claim = queue.start(max_attempts=1)
    queue.expire(claim)
    row = queue.row(claim["id"])
    assert (row["status"], row["error_code"], row["attempt"], row["crashes"]) == ("failed", "worker_lost", 1, 1)
    assert row["error_message"] == "The worker stopped responding, and no attempts are left."


def test_a_live_lease_and_one_that_is_revived_are_left_alone(queue: Queue) -> None:
    claim = queue.start()
    assert queue.maintain()["expired"] == 0
    queue.sql("update sentinel.leases set lease_until = now() - interval '1 s'")
    assert queue.heartbeat(claim) == ["ok"]
    swept = queue.maintain()
    assert swept["expired"] == 0
    assert 58 < swept["next_due_seconds"] <= 60


def test_expiry_of_a_cancelled_request_cancels_it(queue: Queue) -> None:
    claim = queue.start()
    queue.sql("update public.analysis_requests set cancel_requested = true")
    queue.expire(claim)
    row = queue.row(claim["id"])
    assert (row["status"], row["error_code"]) == ("cancelled", None)


def test_a_running_request_without_a_lease_does_not_stay_that_way(queue: Queue) -> None:
    claim = queue.start()
    queue.sql("delete from sentinel.leases")
    assert queue.maintain()["expired"] == 1
    assert queue.row(claim["id"])["status"] == "scheduled"


def test_expiry_skips_what_an_admin_holds(queue: Queue) -> None:
    claim = queue.start()
    with queue.connect() as blocker, blocker.transaction():
        blocker.execute("select 1 from public.analysis_requests for update")
        assert queue.expire(claim)["expired"] == 0
    assert queue.maintain()["expired"] == 1


def test_two_sweeps_at_once_do_not_wait_for_each_other(queue: Queue) -> None:
    queue.finish(queue.start(), "snoozed", delay_seconds=500)
    make_due(queue)
    with queue.connect() as other, other.transaction():
        other.execute("select pg_advisory_xact_lock(hashtextextended('sentinel.sweep', 0))")
        assert queue.maintain()["promoted"] == 0
    assert queue.maintain()["promoted"] == 1


def test_a_lane_without_workers_fails_its_requests_after_the_grace(queue: Queue) -> None:
    (lonely,) = queue.insert(detector="rare")
    (served,) = queue.insert()
    assert queue.maintain()["unserved"] == 0
    age_requests(queue)
    assert queue.maintain()["unserved"] == 0, "the lane was seen empty only just now"
    queue.sql("update sentinel.unserved_lanes set since = since - interval '1 h'")
    assert queue.maintain()["unserved"] == 1
    row = queue.row(lonely)
    assert (row["status"], row["error_code"]) == ("failed", "detector_unavailable")
    assert row["error_params"] == {"detector": "rare", "media_kind": "auto"}
    assert queue.row(served)["status"] == "queued"
    queue.maintain()
    assert queue.sql("select 1 from sentinel.unserved_lanes") == []


def test_a_worker_that_comes_back_ends_the_grace_of_its_lane(queue: Queue) -> None:
    queue.insert(detector="rare")
    queue.maintain()
    queue.sql("update sentinel.unserved_lanes set since = since - interval '1 h'")
    queue.maintain(worker=uuid4(), lanes=["auto/rare"])
    age_requests(queue)
    assert queue.maintain()["unserved"] == 0
    queue.sql("update sentinel.workers set last_seen = last_seen - interval '100 s'")
    assert queue.maintain()["unserved"] == 0, "the grace starts anew when that worker is gone"
    queue.sql("update sentinel.unserved_lanes set since = since - interval '1 h'")
    assert queue.maintain()["unserved"] == 1


def test_the_registry_says_what_each_worker_offers(queue: Queue) -> None:
    queue.maintain(name="gpu-1", slots=8)
    queue.maintain(name="gpu-1", slots=4)
    (row,) = queue.sql("select * from sentinel.workers")
    assert (row["id"], row["name"], row["slots"]) == (queue.worker, "gpu-1", 4)
    assert sorted(row["lanes"]) == ["auto/default", "video/default"]


def make_due(queue: Queue) -> None:
    """Make all waiting requests due, as the clock would."""
    shift_time(queue, "set run_at = now(), fence = gen_random_uuid() where status = 'scheduled'")


def age_requests(queue: Queue) -> None:
    """Age every queued request by an hour."""
    shift_time(queue, "set run_at = run_at - interval '1 h', fence = gen_random_uuid() where status = 'queued'")


def shift_time(queue: Queue, change: LiteralString) -> None:
    """Change times as the queue's own functions do: plain SQL would move the requests at once."""
    with queue.connect() as clock, clock.transaction():
        clock.execute("select set_config('sentinel.moving', 'on', true)")
        clock.execute("update public.analysis_requests " + change)
