"""The wake-up: sent once for each transaction, and never able to fail or delay the insert that causes it."""

import psycopg
import pytest

from tests.integration.database.queue_client import Queue

HINTS = "select topic, event, private, extension from realtime.messages"
HINT = {"topic": "sentinel:wake", "event": "wake", "private": True, "extension": "broadcast"}


def test_an_insert_and_a_requeue_send_one_hint_each(queue: Queue) -> None:
    queue.insert(count=50)
    assert queue.sql(HINTS) == [HINT]
    for claim in queue.claim(limit=50):
        queue.finish(claim, "failed", error_code="x")
    assert len(queue.sql(HINTS)) == 1
    queue.sql("update public.analysis_requests set status = 'queued'")
    assert len(queue.sql(HINTS)) == 2


def test_one_transaction_sends_one_hint(queue: Queue) -> None:
    with queue.connection.transaction():
        for _ in range(3):
            queue.insert()
    assert queue.sql(HINTS) == [HINT]


def test_a_request_that_falls_due_by_an_earlier_time_sends_a_hint(queue: Queue) -> None:
    queue.sql(
        "insert into public.analysis_requests (user_id, source_url, run_at)"
        " values (%s, 'https://a', now() + interval '1 h')",
        queue.user,
    )
    queue.sql("truncate realtime.messages")
    queue.sql("update public.analysis_requests set run_at = now()")
    assert queue.sql(HINTS) == [HINT]


NO_PARTITIONS = """
do $$ declare p regclass; begin
  for p in select inhrelid from pg_inherits where inhparent = 'realtime.messages'::regclass loop
    execute 'drop table ' || p;
  end loop;
end $$
"""
A_BROKEN_SEND = """
create or replace function realtime.send(payload jsonb, event text, topic text, private boolean default true)
returns void language plpgsql as $$ begin raise exception 'broken'; end $$
"""


@pytest.mark.parametrize(
    "damage",
    [
        "drop schema realtime cascade",
        "drop function realtime.send",
        "drop table realtime.messages cascade",
        "alter table realtime.messages rename to gone",
        NO_PARTITIONS,
        A_BROKEN_SEND,
        "revoke all on realtime.messages from postgres, supabase_realtime_admin",
    ],
)
def test_a_broken_realtime_does_not_break_inserts(disposable: Queue, damage: str) -> None:
    queue = disposable
    with psycopg.connect(queue.superuser_dsn, autocommit=True) as vandal:
        vandal.execute(damage)
    with queue.as_user() as user:
        user.execute("insert into public.analysis_requests (storage_path) values (%s)", (f"{queue.user}/a.mp4",))
    assert len(queue.claim()) == 1


def test_a_lock_on_the_messages_delays_an_insert_only_briefly(queue: Queue) -> None:
    with queue.connect() as blocker, blocker.transaction():
        blocker.execute("lock table realtime.messages in access exclusive mode")
        with queue.connection.transaction():
            queue.sql("set local statement_timeout = '20s'")  # the lock is held as long as the inserts take
            queue.insert()
            queue.insert()
    assert len(queue.claim(limit=2)) == 2
    assert queue.sql(HINTS) == []
    (wake,) = queue.sql("select proconfig from pg_proc where oid = 'sentinel.wake'::regproc")
    assert "lock_timeout=100ms" in wake["proconfig"]


def test_the_worker_role_hears_the_wake_up_and_nothing_else(queue: Queue) -> None:
    queue.insert()
    queue.sql("select realtime.send('{}'::jsonb, 'x', 'other', true)")
    read = "select * from realtime.messages where topic = realtime.topic()"
    for role, topic, heard in (
        ("sentinel_worker", "sentinel:wake", 1),
        ("sentinel_worker", "other", 0),
        ("authenticated", "sentinel:wake", 0),
    ):
        with queue.as_user(role=role) as listener:
            listener.execute("select set_config('realtime.topic', %s, true)", (topic,))
            assert len(listener.execute(read).fetchall()) == heard
