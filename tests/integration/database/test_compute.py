"""Compute goes by turns: shares of a worker's slots, and users who used much give way."""

import json
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from uuid import UUID, uuid4

import pytest

from tests.integration.database.queue_client import RESULT, Queue, Row
from tests.integration.database.test_fairness import new_users, rows_read, wait

USE = """
insert into sentinel.compute (user_id, worker, since, cpu_seconds, wall_seconds, requests)
values (%s, %s, now() - make_interval(mins => %s), %s, 1, 1)
"""


def use(queue: Queue, user: UUID, seconds: float, *, minutes_ago: int = 1) -> None:
    """Let a user have used CPU seconds."""
    queue.sql(USE, user, uuid4(), minutes_ago, seconds)


def used(queue: Queue) -> list[tuple[float, float, int]]:
    rows = queue.sql("select cpu_seconds, wall_seconds, requests from sentinel.compute order by since")
    return [(row["cpu_seconds"], row["wall_seconds"], row["requests"]) for row in rows]


class Worker:
    """A worker with some slots that tells whose requests it runs."""

    def __init__(self, queue: Queue, slots: int) -> None:
        self.queue, self.slots = queue, slots
        self.running: dict[UUID, UUID] = {}

    def claim(self) -> list[Row]:
        """Claim as many requests as slots are free."""
        holding = Counter(str(user) for user in self.running.values())
        claims = self.queue.claim(
            limit=self.slots - len(self.running), held=list(self.running), slots=self.slots, holding=holding
        )
        self.running |= {claim["id"]: claim["user_id"] for claim in claims}
        return claims

    @property
    def places(self) -> list[int]:
        """Number of slots that each user holds, the largest first."""
        return sorted(Counter(self.running.values()).values(), reverse=True)


@pytest.mark.parametrize(("slots", "places"), [(1, [1]), (2, [1, 1]), (8, [4, 2, 1, 1])])
def test_users_who_come_one_after_the_other_get_half_of_what_is_left(
    calm: Queue, slots: int, places: list[int]
) -> None:
    worker = Worker(calm, slots)
    for number in range(len(places)):
        wait(calm, new_users(calm, 1), each=20)
        worker.claim()
        assert worker.claim() == [], "a user got more by asking twice"
        assert worker.places == places[: number + 1]
    wait(calm, new_users(calm, 1), each=1)
    assert worker.claim() == [], "all slots are taken"


@pytest.mark.parametrize(
    ("slots", "users", "places"),
    [
        (1, 1, [1]),
        (1, 2, [1]),
        (1, 3, [1]),
        (2, 1, [1]),
        (2, 2, [1, 1]),
        (2, 3, [1, 1]),
        (8, 1, [4]),
        (8, 2, [3, 3]),
        (8, 3, [2, 2, 2]),
    ],
)
def test_users_who_flood_at_once_share_and_leave_room(calm: Queue, slots: int, users: int, places: list[int]) -> None:
    """In one claim, places are given one by one, each within half of what the others leave at that moment."""
    wait(calm, new_users(calm, users), each=30)
    worker = Worker(calm, slots)
    worker.claim()
    assert worker.places == places
    assert worker.claim() == []
    if sum(places) < slots:
        wait(calm, new_users(calm, 1), each=5)
        (newcomer,) = {claim["user_id"] for claim in worker.claim()}
        assert newcomer, "a place was free for somebody else"


def test_a_place_that_was_lost_with_an_answer_counts(calm: Queue) -> None:
    calm.insert(count=20)
    assert len(calm.claim(limit=8, slots=8)) == 4
    again = calm.claim(limit=8, slots=8)
    assert [claim["reoffered"] for claim in again] == [True] * 4, "a lost answer gave a second share"


def test_a_priority_does_not_pass_a_share(calm: Queue) -> None:
    calm.insert(count=20, priority=50)
    assert len(calm.claim(limit=8, slots=8)) == 4


def test_a_worker_that_does_not_tell_its_slots_claims_as_before(calm: Queue) -> None:
    calm.insert(count=20)
    assert len(calm.claim(limit=8)) == 8


@pytest.mark.parametrize("holding", [[], "x", {"x": 1}, {str(UUID(int=1)): "many"}, {str(UUID(int=1)): -5}])
def test_what_a_worker_says_of_its_slots_may_be_nonsense(calm: Queue, holding: object) -> None:
    calm.insert(count=20)
    assert len(calm.claim(limit=8, slots=8, holding=holding)) == 4


def test_both_limits_hold(calm: Queue) -> None:
    calm.sql("update sentinel.settings set value = 'true' where name = 'quotas'")
    calm.sql("update sentinel.settings set value = '3' where name = 'max_running_requests'")
    calm.insert(count=20)
    assert len(calm.claim(limit=8, slots=8)) == 3


def test_a_user_who_used_much_gives_way(calm: Queue) -> None:
    heavy, light = new_users(calm, 2)
    use(calm, heavy, 601)
    wait(calm, [heavy], each=20)
    assert len(calm.claim(limit=4)) == 4, "nobody else waits"
    wait(calm, [light], each=6)
    held = [row["request_id"] for row in calm.sql("select request_id from sentinel.leases")]
    first = calm.claim(limit=4, held=held)
    assert [claim["user_id"] for claim in first] == [light] * 4
    rest = calm.claim(limit=4, held=[*held, *(claim["id"] for claim in first)])
    assert [claim["user_id"] for claim in rest] == [light] * 2 + [heavy] * 2


def test_a_priority_does_not_make_a_heavy_user_first(calm: Queue) -> None:
    heavy, light = new_users(calm, 2)
    use(calm, heavy, 601)
    wait(calm, [heavy], each=5, priority=50)
    wait(calm, [light], each=1)
    assert calm.claim(limit=1)[0]["user_id"] == light
    assert calm.claim(limit=1, held=[calm.sql("select request_id as r from sentinel.leases")[0]["r"]]) != []


def test_heavy_users_take_turns_and_their_use_ends_after_an_hour(calm: Queue) -> None:
    users = new_users(calm, 3)
    for user in users:
        use(calm, user, 300)
        use(calm, user, 301, minutes_ago=59)
    wait(calm, users, each=10)
    claims = calm.claim(limit=6)
    assert Counter(claim["user_id"] for claim in claims) == dict.fromkeys(users, 2)
    calm.sql("update sentinel.compute set since = since - interval '2 minutes'")
    (newcomer,) = new_users(calm, 1)
    use(calm, newcomer, 700)
    wait(calm, [newcomer], each=10)
    held = [claim["id"] for claim in claims]
    assert newcomer not in {claim["user_id"] for claim in calm.claim(limit=6, held=held)}, "the others are light again"


def test_nobody_is_heavy_when_the_setting_is_null(calm: Queue) -> None:
    calm.sql("update sentinel.settings set value = 'null' where name = 'fair_compute_seconds'")
    heavy, light = new_users(calm, 2)
    use(calm, heavy, 1e6)
    wait(calm, [heavy, light], each=10)
    assert Counter(claim["user_id"] for claim in calm.claim(limit=4)) == {heavy: 2, light: 2}


def test_six_hundred_heavy_users_hide_nobody(calm: Queue) -> None:
    """A claim visits 500 users, and the next one goes on after them; it reads a few rows of each."""
    users = new_users(calm, 601)
    for user in users[1:]:
        use(calm, user, 601)
    wait(calm, users[1:], each=1)
    calm.sql("analyze public.analysis_requests")
    calm.claim(limit=4)
    wait(calm, users[:1], each=1)
    before = rows_read(calm)
    found = []
    for _ in range(2):
        held = [row["request_id"] for row in calm.sql("select request_id from sentinel.leases")]
        found += [claim["user_id"] for claim in calm.claim(limit=4, held=held)]
    assert users[0] in found
    assert rows_read(calm) - before < 5000


@pytest.mark.parametrize("outcome", ["succeeded", "failed", "retry", "snoozed", "released", "cancelled"])
def test_every_outcome_counts(queue: Queue, outcome: str) -> None:
    claim = queue.start()
    more = {"result": RESULT} if outcome == "succeeded" else {}
    answer = queue.finish(claim, outcome, compute={"cpu_seconds": 2.5, "wall_seconds": 4}, **more)["answer"]
    assert used(queue) == [(2.5, 4, 1)]
    assert queue.finish(claim, outcome, compute={"cpu_seconds": 2.5, "wall_seconds": 4}, **more)["answer"] == answer
    assert used(queue) == [(2.5, 4, 1)], "a repeated finish was counted twice"


def test_one_row_takes_five_minutes_of_a_user_and_worker(queue: Queue) -> None:
    for _ in range(3):
        queue.finish(queue.start(), "failed", compute={"cpu_seconds": 1, "wall_seconds": 2})
    assert used(queue) == [(3, 6, 3)]
    queue.sql("update sentinel.compute set since = since - interval '5 minutes'")
    queue.finish(queue.start(), "failed", compute={"cpu_seconds": 1, "wall_seconds": 2})
    assert used(queue) == [(3, 6, 3), (1, 2, 1)]
    queue.sql("update sentinel.compute set since = since - interval '56 minutes'")
    queue.maintain()
    assert used(queue) == [(1, 2, 1)]


@pytest.mark.parametrize(
    ("compute", "stored"),
    [
        ({"cpu_seconds": 1e300, "wall_seconds": -5}, [(86400, 0, 1)]),
        ({"cpu_seconds": "9", "wall_seconds": None}, [(0, 0, 1)]),
        ({}, [(0, 0, 1)]),
        ([1], []),
        (None, []),
    ],
)
def test_what_a_worker_says_is_clamped(queue: Queue, compute: object, stored: list[tuple[float, float, int]]) -> None:
    assert queue.finish(queue.start(), "failed", compute=compute)["answer"] == "failed"
    assert used(queue) == stored


def test_an_update_stays_on_its_page(disposable: Queue) -> None:
    queue = disposable
    for _ in range(60):
        queue.finish(queue.start(), "failed", compute={"cpu_seconds": 1, "wall_seconds": 2})
    queue.sql("select pg_stat_force_next_flush()")
    (seen,) = queue.sql("select n_tup_upd, n_tup_hot_upd from pg_stat_user_tables where relname = 'compute'")
    assert (seen["n_tup_upd"], seen["n_tup_hot_upd"]) == (59, 59)


def test_finishes_at_the_same_moment_count_everything_and_wait_for_nobody(queue: Queue) -> None:
    claims = [queue.start() for _ in range(12)]
    with queue.connect() as other, other.transaction():
        other.execute("select * from public.sentinel_finish(%s)", (outcome(queue, claims[0]),))
        queue.sql("set lock_timeout = '1ms'")
        queue.sql("select * from public.sentinel_finish(%s)", outcome(queue, claims[1]))
        queue.sql("reset lock_timeout")
    with ThreadPoolExecutor(5) as threads:
        list(threads.map(lambda claim: finish_alone(queue, claim), claims[2:]))
    assert sum(requests for _, _, requests in used(queue)) == 12
    assert sum(seconds for seconds, _, _ in used(queue)) == 12


def outcome(queue: Queue, claim: Row) -> str:
    """Arguments that finish a claim of one CPU second."""
    entry = {"id": claim["id"], "fence": claim["fence"], "outcome": "failed", "compute": {"cpu_seconds": 1}}
    return json.dumps({"worker": queue.worker, "outcomes": [entry]}, default=str)


def finish_alone(queue: Queue, claim: Row) -> None:
    with queue.connect() as connection:
        connection.execute("select * from public.sentinel_finish(%s)", (outcome(queue, claim),))
