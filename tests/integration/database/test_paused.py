"""Pauses of everything, a lane or a user; and a worker that is told to drain, and leaves."""

from uuid import UUID

import psycopg
import pytest

from tests.integration.database.queue_client import Queue
from tests.integration.database.test_maintain import age_requests

BOTH = ["auto/default", "video/default"]


def ids(rows: list[dict[str, UUID]]) -> set[UUID]:
    return {row["id"] for row in rows}


@pytest.mark.parametrize("limit", [None, 5])
def test_a_paused_user_gets_nothing_until_the_pause_ends(limited: Queue, limit: int | None) -> None:
    limited.sql("update sentinel.settings set value = coalesce(to_jsonb(%s::int), 'null')"
                " where name = 'max_running_requests'", limit)  # fmt: skip
    other = limited.another_worker()
    mine, theirs = set(limited.insert(count=3)), set(other.insert(count=2))
    urgent = set(limited.insert(priority=100))
    limited.sql("insert into sentinel.paused (user_id, reason) values (%s, 'abuse')", limited.user)
    assert ids(limited.claim(limit=10)) == theirs
    assert limited.another_worker().claim(limit=10) == []
    limited.sql("delete from sentinel.paused where user_id = %s", limited.user)
    assert ids(limited.another_worker().claim(limit=10)) == mine | urgent


def test_a_paused_lane_gives_nothing_and_the_other_goes_on(queue: Queue) -> None:
    (auto,), (video,) = queue.insert(), queue.insert(media_kind="video")
    queue.sql("insert into sentinel.paused (lane) values ('video/default')")
    assert ids(queue.claim(limit=10)) == {auto}
    queue.sql("delete from sentinel.paused")
    assert ids(queue.another_worker().claim(limit=10)) == {video}


def test_everything_is_paused_and_what_runs_goes_on(queue: Queue) -> None:
    running = queue.start()
    waiting = set(queue.insert(count=2))
    queue.sql("insert into sentinel.paused default values")
    assert queue.another_worker().claim(limit=10) == []
    assert queue.heartbeat(running) == ["ok"]
    assert ids(queue.claim(limit=10)) == {running["id"]}, "a lost answer is given again"
    assert queue.succeed(running)["answer"] == "succeeded"
    assert queue.claim(limit=10) == []
    with pytest.raises(psycopg.errors.UniqueViolation):
        queue.sql("insert into sentinel.paused default values")
    queue.sql("delete from sentinel.paused")
    assert ids(queue.claim(limit=10)) == waiting


def test_a_pause_says_whom_it_keeps_waiting(queue: Queue) -> None:
    queue.sql("insert into sentinel.paused (lane, reason) values ('video/default', 'a bad model')")
    queue.sql("insert into sentinel.paused (user_id) values (%s)", queue.user)
    pause = "select (sentinel.pause_of(%s, %s)).*"
    assert queue.sql(pause, "video/default", None)[0]["reason"] == "a bad model"
    assert queue.sql(pause, "auto/default", queue.user)[0]["user_id"] == queue.user
    assert queue.sql(pause, "auto/default", queue.worker)[0]["id"] is None


@pytest.mark.parametrize("paused", ["default values", "(lane) values ('auto/rare')"])
def test_a_paused_lane_does_not_fail_for_lack_of_workers(queue: Queue, paused: str) -> None:
    (lonely,) = queue.insert(detector="rare")
    queue.sql(f"insert into sentinel.paused {paused}")
    age_requests(queue)
    for _ in range(2):
        assert queue.maintain()["unserved"] == 0
        queue.sql("update sentinel.unserved_lanes set since = since - interval '1 h'")
    assert queue.row(lonely)["status"] == "queued"
    queue.sql("delete from sentinel.paused")
    queue.maintain()
    queue.sql("update sentinel.unserved_lanes set since = since - interval '1 h'")
    assert queue.maintain()["unserved"] == 1


def test_the_end_of_a_pause_and_a_drain_wake_the_workers(queue: Queue) -> None:
    queue.maintain(name="gpu-1")
    queue.sql("insert into sentinel.paused default values")
    hints = "select count(*) as n from realtime.messages where topic = 'sentinel:wake'"
    before = queue.sql(hints)[0]["n"]
    queue.sql("delete from sentinel.paused")
    assert queue.sql(hints)[0]["n"] == before + 1
    queue.sql("update sentinel.workers set draining = true where name = 'gpu-1'")
    assert queue.sql(hints)[0]["n"] == before + 2


def test_a_draining_worker_claims_nothing_is_told_and_leaves(queue: Queue) -> None:
    claim = queue.start()
    waiting = queue.insert()
    assert queue.maintain(name="gpu-1")["drain"] is False
    queue.sql("update sentinel.workers set draining = true where name = 'gpu-1'")
    assert queue.claim(held=[claim["id"]], limit=5) == []
    assert queue.maintain(name="gpu-1")["drain"] is True
    assert queue.succeed(claim)["answer"] == "succeeded"
    other = queue.another_worker()
    assert other.maintain(name="gpu-2")["drain"] is False
    assert [row["id"] for row in other.claim()] == waiting
    assert queue.call("sentinel_maintain", stopping=True)[0]["drain"] is True
    assert [row["name"] for row in queue.sql("select name from sentinel.workers")] == ["gpu-2"]
