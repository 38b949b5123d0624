"""What waits is told why, fails when its time has passed, and gets a place in the line and an honest estimate."""

import json
import random
from statistics import median
from typing import LiteralString
from uuid import UUID, uuid4

import psycopg
import pytest

from tests.integration.database.queue_client import Queue, Row
from tests.integration.database.test_maintain import age_requests, make_due
from tests.matrix import sampled

TOLD = ("queued", "no_worker")
INSERT_FOR: LiteralString = """
insert into public.analysis_requests (user_id, storage_path, priority)
select u, u || '/a.mp4', %s from unnest(%s::uuid[]) u cross join generate_series(1, %s)
"""
SERVED: LiteralString = """
insert into sentinel.throughput as t (lane, worker, since, requests, seconds, until)
values ('auto/default', %s, now() - make_interval(mins => %s), %s, %s, now() - make_interval(mins => %s))
on conflict (lane, worker, since) do update
   set requests = t.requests + excluded.requests, seconds = t.seconds + excluded.seconds
"""


def state(queue: Queue, request: UUID) -> tuple[str, str | None]:
    row = queue.row(request)
    return row["status"], row["error_code"]


def wait_of(queue: Queue, request: UUID, user: UUID | None = None) -> Row:
    """Ask as the request's owner."""
    with queue.as_user(user) as owner:
        return owner.execute("select * from public.analysis_wait(%s)", (request,)).fetchall()[0]


# Lanes that nobody serves


def test_a_request_of_an_unserved_lane_is_told_so_by_its_insert(queue: Queue) -> None:
    queue.maintain()
    with queue.as_user() as user:
        user.execute("insert into public.analysis_requests (source_url, detector) values ('https://x.org/', 'rare')")
        user.execute("insert into public.analysis_requests (source_url) values ('https://x.org/')")
        user.commit()
    rows = {row["detector"]: row for row in queue.sql("select * from public.analysis_requests")}
    assert (rows["rare"]["status"], rows["rare"]["error_code"]) == TOLD
    assert rows["rare"]["error_message"].startswith("No worker offers the detector")
    assert rows["rare"]["error_params"] == {"detector": "rare", "media_kind": "auto"}
    assert rows[None]["error_code"] is None


def test_a_claim_takes_the_words_back(queue: Queue) -> None:
    (request,) = queue.insert(detector="rare")
    assert state(queue, request) == TOLD
    claim = queue.claim(lanes=["auto/rare"])[0]
    row = queue.row(request)
    assert (row["error_code"], row["error_message"], row["error_params"]) == (None, None, None)
    queue.finish(claim, "retry", error_code="later", error_message="Later.")
    make_due(queue)
    queue.maintain(lanes=["auto/rare"])
    assert state(queue, request) == ("queued", "later"), "the error of an attempt stays"
    queue.claim(lanes=["auto/rare"])
    assert state(queue, request) == ("running", "later")


def test_a_sweep_tells_when_the_last_worker_of_a_lane_has_gone_and_takes_it_back_when_one_comes(queue: Queue) -> None:
    rare = queue.another_worker()
    rare.maintain(lanes=["auto/rare"])
    requests = [*queue.insert(detector="rare", count=3), *rare.insert(detector="rare", count=3)]
    fences = {request: queue.row(request)["fence"] for request in requests}
    queue.maintain()
    assert {state(queue, request) for request in requests} == {("queued", None)}
    queue.sql("update sentinel.workers set last_seen = last_seen - interval '100 s' where id = %s", rare.worker)
    queue.maintain()
    assert {state(queue, request) for request in requests} == {TOLD}
    rare.maintain(lanes=["auto/rare"])
    assert {state(queue, request) for request in requests} == {("queued", None)}
    assert {request: queue.row(request)["fence"] for request in requests} == fences


def test_a_promoted_request_is_told_too(queue: Queue) -> None:
    queue.maintain()
    queue.insert(detector="rare", run_at="2999-01-01")
    (request,) = [row["id"] for row in queue.sql("select id from public.analysis_requests")]
    assert state(queue, request) == ("scheduled", None)
    make_due(queue)
    queue.maintain()
    assert state(queue, request) == TOLD


def test_the_grace_is_a_setting_and_the_next_sweep_is_due_at_its_end(limited: Queue) -> None:
    queue = limited
    queue.sql("update sentinel.settings set value = '5' where name = 'lane_grace_seconds'")
    (request,) = queue.insert(detector="rare")
    assert 4 < queue.maintain()["next_due_seconds"] <= 5
    age_requests(queue)
    queue.sql("update sentinel.unserved_lanes set since = since - interval '6 s'")
    assert queue.maintain()["unserved"] == 1
    assert state(queue, request) == ("failed", "detector_unavailable")
    (later,) = queue.insert(detector="rare")
    queue.maintain()
    queue.sql("update sentinel.unserved_lanes set since = since - interval '6 s'")
    assert queue.maintain()["next_due_seconds"] is None, "a grace that is over is no reason to sweep all the time"
    assert state(queue, later) == TOLD


# Answers that are of no use after some time


@pytest.mark.parametrize("state_before", ["queued", "scheduled"])
def test_a_request_that_waits_past_its_time_fails_at_the_sweep(queue: Queue, state_before: str) -> None:
    queue.maintain()
    run_at = "2999-01-01" if state_before == "scheduled" else None
    (request,) = queue.insert(answer_by="2998-01-01", run_at=run_at)
    assert state(queue, request) == (state_before, None)
    before = queue.row(request)
    queue.sql("update public.analysis_requests set answer_by = now() + interval '9 s'")
    assert 8 < queue.maintain()["next_due_seconds"] <= 9
    queue.sql("update public.analysis_requests set answer_by = now()")
    queue.maintain()
    row = queue.row(request)
    assert (row["status"], row["error_code"]) == ("failed", "answer_too_late")
    assert row["error_message"] == "This analysis was not finished by the time for which it was requested."
    assert row["finished_at"] is not None
    assert row["fence"] != before["fence"]


def test_a_claim_does_not_take_what_is_too_late_and_takes_the_next(queue: Queue) -> None:
    (late,) = queue.insert(answer_by="2000-01-01")
    (good,) = queue.insert()
    assert [claim["id"] for claim in queue.claim(limit=1)] == [good]
    assert state(queue, late) == ("failed", "answer_too_late")


def test_a_claim_says_how_much_time_is_left(queue: Queue) -> None:
    queue.insert(priority=1)
    queue.insert()
    queue.sql("update public.analysis_requests set answer_by = now() + interval '1 h' where priority = 1")
    first, second = queue.claim(limit=2)
    assert 3590 < first["answer_seconds"] <= 3600
    assert second["answer_seconds"] is None


def test_a_success_that_arrives_first_stands(queue: Queue) -> None:
    claim = queue.start()
    queue.sql("update public.analysis_requests set answer_by = now() - interval '1 s'")
    queue.maintain()
    assert queue.succeed(claim)["answer"] == "succeeded"


def test_an_attempt_that_is_not_retried_in_time_is_the_last(queue: Queue) -> None:
    claim = queue.start()
    queue.sql("update public.analysis_requests set answer_by = now() - interval '1 s'")
    assert queue.finish(claim, "retry", error_code="later", delay_seconds=600)["answer"] == "scheduled"
    queue.maintain()
    assert state(queue, claim["id"]) == ("failed", "answer_too_late")


def test_running_it_again_lifts_a_time_that_has_passed_and_keeps_one_that_has_not(queue: Queue) -> None:
    (late,) = queue.insert(answer_by="2000-01-01")
    (early,) = queue.insert(answer_by="2999-01-01")
    queue.maintain()
    queue.sql("update public.analysis_requests set status = 'cancelled' where id = %s", early)
    with queue.as_user() as owner:
        owner.execute("select public.retry_analysis(%s)", (late,))
        owner.commit()
    queue.sql("update public.analysis_requests set status = 'queued' where id = %s", early)
    assert queue.row(late)["answer_by"] is None
    assert queue.row(early)["answer_by"] is not None
    assert {state(queue, late)[0], state(queue, early)[0]} == {"queued"}


@pytest.mark.parametrize("time", ["infinity", "-infinity", "12026-01-01"])
def test_a_time_that_no_client_could_read_is_refused(queue: Queue, time: str) -> None:
    with pytest.raises(psycopg.errors.CheckViolation, match="times_are_readable"), queue.as_user() as user:
        user.execute(
            "insert into public.analysis_requests (source_url, answer_by) values ('https://x.org/', %s)", (time,)
        )


# Why, where, and for how long


def test_each_reason(limited: Queue) -> None:
    queue = limited
    queue.maintain()
    waiting, rare = queue.insert()[0], queue.insert(detector="rare")[0]
    (later,) = queue.insert(run_at="2999-01-01")
    assert wait_of(queue, waiting) == {
        "reason": "turn", "position": 1, "position_at_least": False, "estimated_seconds": None,
    }  # fmt: skip
    assert wait_of(queue, rare)["reason"] == "no_worker"
    assert wait_of(queue, later) == {
        "reason": "scheduled", "position": None, "position_at_least": None, "estimated_seconds": None,
    }  # fmt: skip
    assert wait_of(queue, waiting, uuid4())["reason"] == "not_found"
    assert wait_of(queue, uuid4())["reason"] == "not_found"
    claim = queue.claim()[0]
    queue.insert()
    queue.sql("update sentinel.settings set value = '1' where name = 'max_running_requests'")
    (limited_one,) = [row["id"] for row in queue.sql("select id from public.analysis_requests where status='queued'"
                                                     " and detector is null")]  # fmt: skip
    assert wait_of(queue, limited_one)["reason"] == "own_limit"
    assert wait_of(queue, claim["id"])["reason"] == "running"
    queue.succeed(claim)
    assert wait_of(queue, claim["id"])["reason"] == "finished"


def test_the_place_in_the_line_follows_the_turns(queue: Queue) -> None:
    queue.maintain()
    own = queue.insert(count=3)
    order = [row["id"] for row in queue.sql("select id from public.analysis_requests order by run_at, id")]
    others = new_users(queue, 10)
    queue.sql(INSERT_FOR, 0, others[:5], 1)
    queue.sql(INSERT_FOR, 0, others[5:], 100)
    assert set(order) == set(own)
    # Of its own, the first goes before the others; of each other user, as many as of its own at most.
    assert [wait_of(queue, request)["position"] for request in order] == [1 + 10, 2 + 5 + 10, 3 + 5 + 15]


def test_a_line_of_many_is_counted_to_a_thousand(queue: Queue) -> None:
    queue.maintain()
    queue.insert(count=1_200)
    last = queue.sql("select id from public.analysis_requests order by run_at desc, id desc limit 1")[0]["id"]
    queue.sql(INSERT_FOR, 0, new_users(queue, 2_000), 1)
    first = queue.sql(
        "select id from public.analysis_requests where user_id = %s order by run_at, id limit 1", queue.user
    )[0]["id"]
    for request in (first, last):
        row = wait_of(queue, request)
        assert (row["position"], row["position_at_least"]) == (1000, True)


def new_users(queue: Queue, count: int) -> list[UUID]:
    rows = queue.sql(
        "insert into auth.users (id) select gen_random_uuid() from generate_series(1, %s) returning id", count
    )
    return [row["id"] for row in rows]


def test_a_sweep_counts_what_each_worker_has_answered_in_each_lane(queue: Queue) -> None:
    queue.maintain()
    queue.insert(count=6)
    queue.insert(media_kind="video")
    claims = queue.claim(limit=7)
    queue.sql("update sentinel.leases set claimed_at = claimed_at - interval '20 s'")
    queue.succeed(claims[0])
    queue.finish(claims[1], "released")
    for claim in claims[2:]:
        queue.finish(claim, "failed", error_code="x")
    let_a_second_pass(queue)
    for _ in range(2):
        queue.maintain()
        rows = queue.sql("select * from sentinel.throughput")
        counts = dict.fromkeys((row["lane"] for row in rows), 0)
        for row in rows:  # at the turn of five minutes there are two of a lane
            counts[row["lane"]] += row["requests"]
        assert counts == {"auto/default": 5, "video/default": 1}
        assert 6 * 18 < sum(row["seconds"] for row in rows) < 6 * 30
        assert {row["worker"] for row in rows} == {queue.worker}
    queue.sql("update sentinel.throughput set since = since - interval '2 h', until = until - interval '2 h'")
    queue.sql("update sentinel.attempts set finished_at = finished_at - interval '2 h'")
    queue.maintain()
    assert queue.sql("select 1 from sentinel.throughput") == []


def let_a_second_pass(queue: Queue) -> None:
    """Attempts are counted a second after their end at the earliest."""
    queue.sql("update sentinel.attempts set finished_at = finished_at - interval '2 s'")


def test_there_is_no_estimate_without_answers_or_a_worker(queue: Queue) -> None:
    queue.maintain()
    requests = queue.insert(count=4)
    assert wait_of(queue, requests[0])["estimated_seconds"] is None
    served(queue, queue.worker, requests=2, seconds=2)
    assert wait_of(queue, requests[0])["estimated_seconds"] is None, "two answers are no rate"
    served(queue, queue.worker, requests=8, seconds=8)
    assert wait_of(queue, requests[0])["estimated_seconds"] is not None
    queue.sql("update sentinel.workers set last_seen = last_seen - interval '100 s'")
    row = wait_of(queue, requests[0])
    assert (row["reason"], row["estimated_seconds"]) == ("no_worker", None)


def served(queue: Queue, worker: UUID, *, requests: int, seconds: float, minutes_ago: int = 5) -> None:
    """Say that a worker answered so many requests in a bucket of five minutes, in so many seconds of work."""
    queue.sql(SERVED, worker, minutes_ago, requests, seconds, minutes_ago - 5)


@pytest.mark.parametrize(
    ("requests", "seconds", "rate"),
    [
        (300, 2400, 300 / (300 + 8)),  # eight at once, the whole time
        (30, 60, 30 / 60),  # one after the other, and mostly idle: it can do more than it had to
    ],
)
def test_the_rate_is_that_of_the_time_in_which_workers_were_busy(
    queue: Queue, requests: int, seconds: float, rate: float
) -> None:
    for worker in (queue, queue.another_worker()):
        worker.maintain()
    served(queue, queue.worker, requests=requests, seconds=seconds)
    (row,) = queue.sql("select sentinel.rate_of('auto/default') as rate")
    assert row["rate"] == pytest.approx(2 * rate, rel=0.02), "the second worker counts like the first"


def told(queue: Queue, request: UUID, user: UUID) -> Row:
    """Ask as the owner, in the admin's session: a connection for each question would take long."""
    queue.sql("select set_config('request.jwt.claims', %s, false)", json.dumps({"sub": str(user)}))
    return queue.sql("select * from public.analysis_wait(%s)", request)[0]


@pytest.mark.parametrize("seed", sampled("postgres", range(8), (0, 1)))
def test_nine_of_ten_estimates_come_true_within_a_factor_of_two(calm: Queue, seed: int) -> None:
    """Queues of any shape, claimed by the real function at a known rate of one a second."""
    queue = calm
    drawn = random.Random(seed)
    queue.maintain()
    served(queue, queue.worker, requests=300, seconds=299, minutes_ago=6)
    users = new_users(queue, drawn.choice([5, 20, 60]))
    for user in users:
        queue.sql(INSERT_FOR, 0, [user], drawn.choice([1, 1, 2, 5, 40]))
    for user in drawn.sample(users, 2):
        queue.sql(INSERT_FOR, 5, [user], drawn.choice([1, 10]))
    rows = queue.sql("select id, user_id from public.analysis_requests order by random()")
    asked = {row["id"]: told(queue, row["id"], row["user_id"]) for row in rows[:60]}
    came: dict[UUID, int] = {}
    batch = drawn.choice([1, 4])
    while claims := queue.claim(limit=batch, held=list(came)):
        came |= {claim["id"]: len(came) + number for number, claim in enumerate(claims, 1)}
    assert len(came) == len(rows)
    a_round = 2 * len(users)  # half of the places go by priority
    for request, row in asked.items():
        assert came[request] <= row["position"] + a_round
        assert row["estimated_seconds"] <= 2 * came[request] + a_round
    ratios = [row["estimated_seconds"] / came[request] for request, row in asked.items()]
    assert 0.8 < median(ratios) < 1.25
    assert sum(0.5 <= ratio <= 2 for ratio in ratios) >= 0.85 * len(ratios)
