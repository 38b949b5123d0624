"""Retention times, and what pruning removes."""

import pytest

from tests.integration.database.queue_client import Queue, Row


def keep(queue: Queue, name: str, value: int) -> None:
    queue.sql("update sentinel.settings set value = to_jsonb(%s::int) where name = %s", value, name)


def age(queue: Queue) -> None:
    """Age all that ended or was superseded so far by a hundred days."""
    with queue.connect() as clock, clock.transaction():
        clock.execute("update public.analysis_requests set finished_at = finished_at - interval '100 days'")
        clock.execute("update public.analysis_results set superseded_at = superseded_at - interval '100 days'")
        clock.execute("update sentinel.attempts set finished_at = finished_at - interval '100 days'")


def finish(queue: Queue) -> Row:
    claim = queue.start()
    queue.succeed(claim)
    return claim


def counts(queue: Queue) -> tuple[int, int, int]:
    """Count requests, results and attempts."""
    row = queue.sql(
        "select (select count(*) from public.analysis_requests) as requests,"
        " (select count(*) from public.analysis_results) as results,"
        " (select count(*) from sentinel.attempts) as attempts"
    )[0]
    return row["requests"], row["results"], row["attempts"]


def outbox(queue: Queue) -> set[str]:
    return {f"{row['bucket_id']}/{row['name']}" for row in queue.sql("select bucket_id, name from sentinel.deletions")}


def test_everything_is_kept_for_ever_at_first(queue: Queue) -> None:
    finish(queue)
    age(queue)
    queue.maintain()
    assert counts(queue) == (1, 1, 1)


@pytest.mark.parametrize("days", [1, 30])
def test_old_requests_go_with_results_history_and_files(limited: Queue, days: int) -> None:
    """A day is the least that a setting may say: a finish repeated a moment later must still be answered."""
    queue = limited
    old, waiting = finish(queue), queue.insert()[0]
    queue.sql("insert into storage.objects (bucket_id, name, version) values ('media', %s, 'v')", f"{queue.user}/a.mp4")
    age(queue)
    queue.claim()
    recent = finish(queue.another_worker())
    keep(queue, "keep_requests_days", days)
    queue.maintain()
    left = {row["id"] for row in queue.sql("select id from public.analysis_requests")}
    assert left == {waiting, recent["id"]}
    assert counts(queue) == (2, 1, 1)
    assert outbox(queue) == {f"derived/{queue.user}/{old['id']}/", f"media/{queue.user}/a.mp4"}


def test_pruning_goes_oldest_first_and_is_limited_per_call(disposable: Queue) -> None:
    requests = disposable.insert(count=5)
    disposable.sql("update public.analysis_requests set status = 'cancelled'")
    for days, request in enumerate(requests):
        disposable.sql(
            "update public.analysis_requests set finished_at = now() - make_interval(days => %s) where id = %s",
            10 + days,
            request,
        )
    keep(disposable, "keep_requests_days", 7)
    keep(disposable, "prune_rows", 2)
    for left in (3, 1, 0):
        disposable.maintain()
        kept = {row["id"] for row in disposable.sql("select id from public.analysis_requests")}
        assert kept == set(requests[:left])


def test_superseded_results_go_with_their_own_files_and_the_current_one_stays(limited: Queue) -> None:
    first = finish(limited)
    limited.sql("update public.analysis_requests set status = 'queued'")
    (second,) = limited.claim()
    limited.succeed(second)
    folder = f"{limited.user}/{first['id']}"
    names = [f"{folder}/{claim['fence']}/worst.jpg" for claim in (first, second)]
    for name in names:
        limited.sql("insert into storage.objects (bucket_id, name, version) values ('derived', %s, 'v')", name)
    age(limited)
    keep(limited, "keep_superseded_results_days", 30)
    limited.maintain()
    (result,) = limited.sql("select fence, is_current from public.analysis_results")
    assert (result["fence"], result["is_current"]) == (second["fence"], True)
    assert outbox(limited) == {f"derived/{folder}/{first['fence']}/"}
    assert [row["name"] for row in limited.call("sentinel_deletions")] == names[:1]
    with limited.as_user(role="sentinel_worker") as worker:
        worker.execute("set local storage.allow_delete_query = 'true'")
        gone = worker.execute("delete from storage.objects where bucket_id = 'derived' returning name").fetchall()
    assert [row["name"] for row in gone] == names[:1]


def test_old_attempts_leave_the_history_alone(limited: Queue) -> None:
    finish(limited)
    age(limited)
    finish(limited)
    keep(limited, "keep_attempts_days", 30)
    limited.maintain()
    assert counts(limited) == (2, 2, 1)


def test_pruning_waits_for_nobody(limited: Queue) -> None:
    held, free = finish(limited), finish(limited)
    age(limited)
    keep(limited, "keep_requests_days", 30)
    with limited.connect() as blocker, blocker.transaction():
        blocker.execute("select 1 from public.analysis_requests where id = %s for update", (held["id"],))
        limited.sql("set lock_timeout = '2s'")
        limited.maintain()
        left = {row["id"] for row in limited.sql("select id from public.analysis_requests")}
    limited.sql("reset lock_timeout")
    assert left == {held["id"]}
    assert free["id"] not in left
