"""Users take turns; priority is a head start; users at their limit are skipped without a search."""

import json
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import LiteralString
from uuid import UUID

import pytest

from tests.integration.database.queue_client import Queue, Row

INSERT_FOR: LiteralString = """
insert into public.analysis_requests (user_id, storage_path, priority)
select u, u || '/a.mp4', %s from unnest(%s::uuid[]) u cross join generate_series(1, %s)
"""


@pytest.mark.parametrize("batch", [1, 2, 8])
def test_one_request_behind_another_users_ten_thousand_is_claimed_within_two_batches(calm: Queue, batch: int) -> None:
    calm.insert(count=10_000)
    held = [claim["id"] for _ in range(3) for claim in claim_more(calm, batch)]
    small = calm.another_worker()
    (one,) = small.insert()
    claimed = [claim["id"] for _ in range(2) for claim in claim_more(calm, batch)]
    assert one in claimed
    assert not set(claimed) & set(held)


def test_a_flood_of_priority_leaves_half_of_the_places_to_the_others(calm: Queue) -> None:
    calm.insert(count=1_000, priority=100)
    small = calm.another_worker()
    mine = set(small.insert(count=8))
    one_by_one = {claim["id"] for _ in range(8) for claim in claim_more(calm, 1)}
    assert len(mine & one_by_one) == 2, "every second claim goes by turns, and those are shared by two"
    assert len(mine & {claim["id"] for claim in claim_more(calm, 8)}) == 2


def test_a_priority_goes_before_all_who_wait_and_the_rest_goes_by_turns(queue: Queue) -> None:
    users = [queue.another_worker() for _ in range(12)]
    for user in users:
        user.insert(count=3)
    urgent = users[-1].insert(priority=5)[0]
    most = users[3].insert(priority=9)[0]
    claims = claim_more(queue, 8)
    assert [claim["id"] for claim in claims[:2]] == [most, urgent]
    assert len({claim["user_id"] for claim in claims[2:]}) == 6


@pytest.mark.parametrize("batch", [2, 8])
def test_users_of_one_priority_take_turns_however_many_others_are_between_them(queue: Queue, batch: int) -> None:
    users = new_users(queue, 360)
    wait(queue, users, each=1)
    ahead = users[:100] + users[200:220]
    wait(queue, ahead, each=1, priority=5)
    by_priority: Counter[UUID] = Counter()
    while by_priority.total() < 3 * len(ahead):
        claims = claim_more(queue, batch)
        by_priority.update(claim["user_id"] for claim in claims[: batch // 2])
        release(queue, claims)
    assert [by_priority[user] for user in ahead] == [3] * len(ahead)


def test_each_priority_has_its_own_turn(calm: Queue) -> None:
    """A few requests of higher priority do not send those below it back to the start of their round."""
    users = new_users(calm, 12)
    wait(calm, users, each=30, priority=5)
    third: Counter[UUID] = Counter()
    for _ in range(24):
        wait(calm, users[4:6], each=1, priority=9)
        claims = claim_more(calm, 6)
        assert [claim["priority"] for claim in claims[:3]] == [9, 9, 5]
        third[claims[2]["user_id"]] += 1
    assert third == dict.fromkeys(users, 2)


def test_a_hundred_users_at_their_limit_hide_nobody_of_their_priority(limited: Queue) -> None:
    limit_running(limited, 1)
    users = new_users(limited, 150)
    wait(limited, users[:110], each=2, priority=5)
    while claim_more(limited, 100):
        pass
    wait(limited, users[111:], each=1)
    assert len(claim_more(limited, 4)) == 4
    wait(limited, users[110:111], each=1, priority=5)
    first = [claim_more(limited, 2)[0]["user_id"] for _ in range(2)]
    assert users[110] in first, "a claim looks at 100 users of a priority, and the next one goes on behind them"


def test_all_users_get_the_same_while_all_wait(calm: Queue) -> None:
    users = [calm.another_worker() for _ in range(5)]
    for number, user in enumerate(users):
        user.insert(count=20 * (number + 1))
    claims = [claim for _ in range(10) for claim in claim_more(calm, 7)]
    shares = [sum(claim["user_id"] == user.user for claim in claims) for user in users]
    assert sum(shares) == 70
    assert max(shares) - min(shares) <= 4, shares


def test_a_users_unused_share_goes_to_the_others(calm: Queue) -> None:
    calm.insert(count=30)
    other = calm.another_worker()
    other.insert(count=2)
    claims = claim_more(calm, 20)
    assert len(claims) == 20
    assert sum(claim["user_id"] == other.user for claim in claims) == 2


@pytest.mark.parametrize("counts", [(1, 2), (2, 1), (1, 1, 5), (5, 1, 1), (1, 3, 1, 3)])
def test_a_claim_that_has_room_for_all_takes_all(queue: Queue, counts: tuple[int, ...]) -> None:
    for _ in range(8):  # the round begins at a random user
        for count in counts:
            queue.another_worker().insert(count=count)
        assert len(claim_more(queue.another_worker(), sum(counts))) == sum(counts)


def test_a_users_own_requests_go_by_priority_and_time_across_lanes(queue: Queue) -> None:
    wanted = [
        queue.insert(priority=priority, media_kind=kind)[0]
        for priority, kind in [(3, "video"), (2, "auto"), (1, "video"), (0, "auto"), (0, "video"), (-1, "auto")]
    ]
    assert [claim["id"] for claim in queue.claim(limit=6)] == wanted


def test_a_claim_is_not_empty_while_others_hold_the_first_of_each_user(calm: Queue) -> None:
    others = [calm.another_worker() for _ in range(3)]
    first = [other.insert(count=2)[0] for other in others]
    with calm.connect() as blocker, blocker.transaction():
        blocker.execute("select 1 from public.analysis_requests where id = any(%s) for update", (first,))
        assert len(calm.claim(limit=6)) == 3


def test_a_user_at_the_limit_waits_and_nobody_else_does(limited: Queue) -> None:
    limit_running(limited, 2)
    limited.insert(count=50, priority=7)
    other = limited.another_worker()
    other.insert(count=3)
    claims = claim_more(limited, 10)
    shares = {user: sum(claim["user_id"] == user for claim in claims) for user in (limited.user, other.user)}
    assert shares == {limited.user: 2, other.user: 2}
    assert claim_more(limited, 10) == []
    mine = next(claim for claim in claims if claim["user_id"] == limited.user)
    limited.succeed(mine)
    assert [claim["user_id"] for claim in claim_more(limited, 10)] == [limited.user]


@pytest.mark.parametrize("how", ["queued", "failed", "deleted"])
def test_the_limit_counts_what_runs_whatever_an_admin_did(limited: Queue, how: str) -> None:
    limit_running(limited, 1)
    limited.insert(count=3)
    (claim,) = claim_more(limited, 3)
    if how == "deleted":
        limited.sql("delete from public.analysis_requests where id = %s", claim["id"])
    else:
        limited.sql("update public.analysis_requests set status = %s where id = %s", how, claim["id"])
    assert len(claim_more(limited, 3)) == 1


def test_claims_at_the_same_moment_do_not_pass_the_limit(limited: Queue) -> None:
    limit_running(limited, 3)
    limited.insert(count=200)
    workers = [limited.another_worker() for _ in range(8)]
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(lambda worker: [worker.claim(limit=2) for _ in range(10)], workers))
    running = limited.sql("select count(*) as n from public.analysis_requests where status = 'running'")
    assert running[0]["n"] == 3


def test_a_claim_that_meets_another_one_of_the_same_user_waits_for_no_lock(limited: Queue) -> None:
    """It looks again a few times, and goes without."""
    limit_running(limited, 3)
    limited.insert(count=5)
    other = limited.another_worker()
    with limited.connect() as claiming, claiming.transaction():
        args = {"worker": other.worker, "lanes": ["auto/default"], "limit": 1}
        claiming.execute("select * from public.sentinel_claim(%s)", (json.dumps(args, default=str),))
        limited.sql("set lock_timeout = '1ms'")
        assert limited.claim(limit=2) == []
        limited.sql("reset lock_timeout")
    assert len(limited.claim(limit=5)) == 2


def test_a_capped_user_costs_index_entries_not_rows(limited: Queue) -> None:
    limit_running(limited, 1)
    limited.insert(count=20_000, priority=3)
    limited.sql(
        "analyze public.analysis_requests"
    )  # as autovacuum does within a minute, and did on an empty table before
    limited.claim()
    held = [limited.sql("select request_id from sentinel.leases")[0]["request_id"]]
    limited.insert(count=1)
    other = limited.another_worker()
    (wanted,) = other.insert()
    before = rows_read(limited)
    assert [claim["id"] for claim in limited.claim(limit=8, held=held)] == [wanted]
    assert rows_read(limited) - before < 200


def test_a_worker_that_is_gone_leaves_no_turn_behind(queue: Queue) -> None:
    queue.insert(count=2)
    queue.claim()
    queue.maintain()
    assert len(queue.sql("select 1 from sentinel.turns")) == 1
    queue.sql("update sentinel.turns set seen_at = seen_at - interval '25 h'")
    queue.maintain()
    assert queue.sql("select 1 from sentinel.turns") == []


def claim_more(queue: Queue, limit: int) -> list[Row]:
    """Claim on top of what this worker holds."""
    held = queue.sql("select request_id from sentinel.leases where worker = %s", queue.worker)
    return queue.claim(limit=limit, held=[row["request_id"] for row in held])


def new_users(queue: Queue, count: int) -> list[UUID]:
    """Create users and return their ids in order."""
    rows = queue.sql(
        "insert into auth.users (id) select gen_random_uuid() from generate_series(1, %s) returning id", count
    )
    return sorted(row["id"] for row in rows)


def wait(queue: Queue, users: list[UUID], *, each: int, priority: int = 0) -> None:
    """Queue `each` more requests for each of these users."""
    queue.sql(INSERT_FOR, priority, users, each)


def release(queue: Queue, claims: list[Row]) -> None:
    """Return claims to their places in the queue."""
    keys = [{"id": claim["id"], "fence": claim["fence"]} for claim in claims]
    answers = queue.call("sentinel_finish", outcomes=[key | {"outcome": "released"} for key in keys])
    assert {row["answer"] for row in answers} == {"queued"}


def limit_running(queue: Queue, limit: int) -> None:
    queue.sql("update sentinel.settings set value = to_jsonb(%s::int) where name = 'max_running_requests'", limit)


def rows_read(queue: Queue) -> int:
    """Count the request rows that this session's statements have fetched so far."""
    queue.sql("select pg_stat_force_next_flush()")
    row = queue.sql(
        "select sum(idx_tup_fetch)::bigint + (select seq_tup_read from pg_stat_user_tables"
        " where relname = 'analysis_requests') as n from pg_stat_user_tables where relname = 'analysis_requests'"
    )[0]
    n: int = row["n"]
    return n
