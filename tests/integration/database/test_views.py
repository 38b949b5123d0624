"""Views for admins: what they show, who may read them, and that they read no finished request from end to end."""

import psycopg
import pytest

from tests.integration.database.queue_client import Queue, Row
from tests.integration.database.test_plans import WHOLE, fill, plans_of

VIEWS = ("queue", "running", "slow", "poison", "worker_states", "failures", "retries", "pauses")


def view(queue: Queue, name: str) -> list[Row]:
    return queue.sql(f"select * from sentinel.{name}")  # noqa: S608


def test_the_queue_by_lane_and_status(queue: Queue) -> None:
    queue.insert(count=3)
    queue.insert(media_kind="video")
    queue.insert(run_at="2999-01-01")
    queue.start(priority=100)
    queue.sql("insert into sentinel.paused (lane) values ('video/default')")
    queue.insert(detector="rare")
    queue.maintain()
    rows = {(row["lane"], row["status"]): row for row in view(queue, "queue")}
    assert {key: row["requests"] for key, row in rows.items()} == {
        ("auto/default", "queued"): 3,
        ("auto/default", "scheduled"): 1,
        ("auto/default", "running"): 1,
        ("auto/rare", "queued"): 1,
        ("video/default", "queued"): 1,
    }
    assert [key[0] for key, row in rows.items() if row["paused"]] == ["video/default"]
    assert [key[0] for key, row in rows.items() if row["unserved_since"]] == ["auto/rare"]
    assert rows["auto/default", "queued"]["oldest_seconds"] >= 0 > rows["auto/default", "scheduled"]["oldest_seconds"]


def test_what_runs_with_worker_and_stage_and_what_is_slow(queue: Queue) -> None:
    queue.maintain(name="gpu-1", slots=4)
    claim = queue.start()
    queue.progress(claim, "analyzing", 40)
    (row,) = view(queue, "running")
    shown = {name: row[name] for name in ("request_id", "user_id", "worker", "stage", "progress", "attempt")}
    assert shown == {
        "request_id": claim["id"],
        "user_id": queue.user,
        "worker": "gpu-1",
        "stage": "analyzing",
        "progress": 40,
        "attempt": 1,
    }
    assert 0 <= row["seconds"] < 60
    assert view(queue, "slow") == []
    started = "update public.analysis_requests set started_at = now() - interval '{}' where status = 'running'"
    queue.sql(started.format("40 seconds"))
    assert view(queue, "slow") == [], "nothing is known of the lane, so five minutes are usual"
    queue.succeed(queue.start())
    assert [row["request_id"] for row in view(queue, "slow")] == [claim["id"]]
    assert [(row["state"], row["slots"], row["used"]) for row in view(queue, "worker_states")] == [("alive", 4, 1)]


def test_workers_that_drain_and_that_are_gone(queue: Queue) -> None:
    for name in ("drains", "dies", "works"):
        queue.another_worker().maintain(name=name)
    queue.sql("update sentinel.workers set draining = true where name = 'drains'")
    queue.sql("update sentinel.workers set last_seen = now() - interval '2 min' where name = 'dies'")
    states = {row["name"]: row["state"] for row in view(queue, "worker_states")}
    assert states == {"drains": "draining", "dies": "gone", "works": "alive"}


def test_failures_retries_and_poison(queue: Queue) -> None:
    queue.finish(queue.start(), "failed", error_code="bad_media", error_message="No.")
    queue.finish(queue.start(), "retry", error_code="storage_unavailable", delay_seconds=60)
    crashed = queue.start()
    queue.progress(crashed, "probing", 1)
    queue.expire(crashed)
    assert [
        (row["error_code"], row["last_hour"], row["last_day"], row["users"]) for row in view(queue, "failures")
    ] == [("bad_media", 1, 1, 1)]
    assert {row["error_code"]: row["last_hour"] for row in view(queue, "retries")} == {
        "storage_unavailable": 1,
        "worker_lost": 1,
    }
    (poison,) = view(queue, "poison")
    shown = {name: poison[name] for name in ("request_id", "status", "crashes", "stages", "workers")}
    assert shown == {
        "request_id": crashed["id"],
        "status": "scheduled",
        "crashes": 1,
        "stages": ["probing"],
        "workers": ["w"],
    }


def test_a_pause_shows_who_waits_because_of_it(queue: Queue) -> None:
    queue.insert(count=2)
    other = queue.another_worker()
    other.insert(media_kind="video")
    queue.sql("insert into sentinel.paused (user_id, reason) values (%s, 'abuse')", queue.user)
    queue.sql("insert into sentinel.paused (lane) values ('video/default')")
    queue.sql("insert into sentinel.paused default values")
    found = [(row["lane"], row["user_id"], row["requests"]) for row in view(queue, "pauses")]
    assert sorted(found, key=str) == sorted(
        [(None, queue.user, 2), ("video/default", None, 1), (None, None, 3)], key=str
    )


def test_the_role_for_admins_reads_the_views_and_changes_nothing(queue: Queue) -> None:
    with psycopg.connect(queue.superuser_dsn) as admin:
        admin.execute("set role sentinel_admin")
        for name in VIEWS:
            admin.execute(f"select * from sentinel.{name}".encode())  # noqa: S608
        for statement in (
            "update sentinel.worker_states set draining = true",
            "delete from sentinel.worker_states",
            "update sentinel.settings set value = '5'",
            "insert into sentinel.paused default values",
            "select * from public.analysis_requests",
            "select sentinel.sweep()",
        ):
            with pytest.raises(psycopg.Error) as refusal, admin.transaction():
                admin.execute(statement.encode())
            assert refusal.value.sqlstate in ("42501", "42703")


@pytest.mark.timeout(1800)
def test_no_view_reads_the_finished_requests(disposable: Queue) -> None:
    """`QUEUE_PLAN_ROWS=2000000` sets the size, as in test_plans."""
    queue = disposable
    queue.sql("insert into sentinel.paused (user_id) values (%s)", queue.user)
    queue.sql("insert into sentinel.paused (lane) values ('auto/default')")
    with psycopg.connect(queue.superuser_dsn, autocommit=True) as connection:
        fill(connection, queue)
        queue.claim(limit=50)
        connection.execute("vacuum analyze public.analysis_requests")
        with plans_of(connection) as plans:
            for name in VIEWS:
                connection.execute(f"select * from sentinel.{name}".encode()).fetchall()  # noqa: S608
        read = [plan for plan in plans if "Query Text: select * from sentinel." in plan]
        assert len(read) == len(VIEWS)
        assert [plan for plan in read if WHOLE.search(plan)] == []
