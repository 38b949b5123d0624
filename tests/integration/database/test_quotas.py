"""Limits on what a user may have open, request, store and run again."""

import json
from pathlib import Path
from threading import Barrier, Thread
from uuid import UUID

import psycopg
import pytest
from typer.testing import CliRunner

from sentinel_worker import cli
from tests.integration.database.queue_client import Queue

INSERT = "insert into public.analysis_requests (storage_path) select %s from generate_series(1, %s) returning id"
PUT = "insert into storage.objects (bucket_id, name, metadata) values ('media', %s, %s)"


def limit(queue: Queue, name: str, value: int | None) -> None:
    queue.sql("update sentinel.settings set value = %s where name = %s", json.dumps(value), name)


def ask(queue: Queue, count: int = 1, user: UUID | None = None) -> list[UUID]:
    user = user or queue.user
    with queue.as_user(user) as connection:
        return [row["id"] for row in connection.execute(INSERT, (f"{user}/a.mp4", count))]


def store(queue: Queue, name: str, size: int) -> None:
    with queue.as_user() as connection:
        connection.execute(PUT, (f"{queue.user}/{name}", json.dumps({"size": size})))


def refusal(queue: Queue, count: int = 1) -> psycopg.errors.Diagnostic:
    with pytest.raises(psycopg.Error) as refused:
        ask(queue, count)
    assert refused.value.sqlstate == "PT429"
    return refused.value.diag


def retry(queue: Queue, request: UUID) -> str:
    with queue.as_user() as connection:
        row = connection.execute("select public.retry_analysis(%s) as answer", (request,)).fetchone()
        assert row is not None
        return str(row["answer"])


def test_quotas_are_on_at_first_and_one_setting_switches_all_off(limited: Queue) -> None:
    ask(limited, 200)
    assert json.loads(refusal(limited).message_detail or "")["quota"] == "open_requests"
    assert len(limited.claim(limit=100)) == 16, "the most of one user that run at the same time"
    limited.sql("update sentinel.settings set value = 'false' where name = 'quotas'")
    limited.sql("insert into sentinel.compute values (%s, %s, now(), 1e9, 1e9, 1)", limited.user, limited.worker)
    assert len(ask(limited, 1500)) == 1500
    store(limited, "a.mp4", 10**15)
    store(limited, "b.mp4", 1)
    requests = limited.sql(
        "update public.analysis_requests set status = 'cancelled' where status = 'queued' returning id"
    )
    assert {retry(limited, row["id"]) for row in requests[:30]} == {"queued"}
    held = [row["request_id"] for row in limited.sql("select request_id from sentinel.leases")]
    assert len(limited.claim(limit=30, held=held)) == 30
    with limited.as_user() as user:
        (row,) = user.execute("select * from public.analysis_quota()").fetchall()
    assert {name: value for name, value in row.items() if name.startswith("max_")} == dict.fromkeys(
        ("max_open_requests", "max_requests_per_hour", "max_stored_bytes", "max_retries_per_hour",
         "max_compute_seconds_per_hour")
    )  # fmt: skip


def test_open_requests(limited: Queue) -> None:
    limit(limited, "max_open_requests", 3)
    ask(limited, 2)
    said = refusal(limited, 2)
    assert said.message_primary == "Too many unfinished analyses: 2 of 3 are in use."
    assert said.message_hint == "Wait until one has finished, or cancel one."
    assert json.loads(said.message_detail or "") == {"quota": "open_requests", "limit": 3, "used": 2}
    ask(limited)
    refusal(limited)
    limited.succeed(limited.claim()[0])
    ask(limited)
    assert len(ask(limited, 3, limited.another_worker().user)) == 3, "another user has a quota of their own"
    assert len(limited.insert(count=10)) == 10, "an administrator is not limited"


def test_requests_an_hour_are_counted_whatever_becomes_of_them(limited: Queue) -> None:
    limit(limited, "max_requests_per_hour", 2)
    for request in ask(limited, 2):
        with limited.as_user() as user:
            user.execute("select public.delete_analysis(%s)", (request,))
    said = refusal(limited)
    assert said.message_primary == "Too many analyses within an hour: 2 of 2."
    limited.sql("update sentinel.usage set at = at - interval '61 minutes'")
    ask(limited)
    limited.maintain()
    assert [row["amount"] for row in limited.sql("select amount from sentinel.usage")] == [1]


def test_stored_bytes_hold_back_requests_and_uploads(limited: Queue) -> None:
    limit(limited, "max_stored_bytes", 1000)
    store(limited, "a.mp4", 900)
    store(limited, "b.mp4", 900)
    assert refusal(limited).message_primary == "Too many stored files: 1800 bytes of 1000 bytes are used."
    with pytest.raises(psycopg.errors.InsufficientPrivilege, match="row-level security"):
        store(limited, "c.mp4", 1)
    with pytest.raises(psycopg.errors.InsufficientPrivilege), limited.as_user() as user:
        user.execute("update storage.objects set version = 'v2'")
    limit(limited, "max_stored_bytes", 4_000_000_000_000)
    store(limited, "c.mp4", 1)
    ask(limited)


def test_retries(limited: Queue) -> None:
    limit(limited, "max_retries_per_hour", 1)
    first, second = ask(limited, 2)
    limited.sql("update public.analysis_requests set status = 'cancelled'")
    assert retry(limited, first) == "queued"
    with pytest.raises(psycopg.Error, match="Too many retries within an hour: 1 of 1") as refused:
        retry(limited, second)
    assert refused.value.sqlstate == "PT429"
    assert limited.row(second)["status"] == "cancelled"
    limit(limited, "max_retries_per_hour", 5)
    limit(limited, "max_open_requests", 1)
    with pytest.raises(psycopg.Error, match="unfinished analyses: 1 of 1 are in use"):
        retry(limited, second)
    limited.sql("update public.analysis_requests set status = 'queued'")
    assert limited.row(second)["status"] == "queued", "an administrator requeues as often as they like"


def test_computing_time_counts_for_an_hour_however_the_attempts_ended(limited: Queue) -> None:
    limit(limited, "max_compute_seconds_per_hour", 10)
    (request,) = ask(limited)
    limited.finish(limited.claim()[0], "failed", compute={"cpu_seconds": 9.2, "wall_seconds": 3})
    limited.finish(limited.another_worker().start(), "failed", compute={"cpu_seconds": 9.2, "wall_seconds": 3})
    ask(limited)
    limited.finish(limited.claim()[0], "released", compute={"cpu_seconds": 0.9, "wall_seconds": 3})
    said = refusal(limited)
    assert said.message_primary == "Too much computing time within an hour: 10 of 10 seconds are used."
    assert said.message_hint == "Try again later."
    assert json.loads(said.message_detail or "") == {"quota": "compute_seconds_per_hour", "limit": 10, "used": 10}
    with pytest.raises(psycopg.Error, match="computing time") as refused:
        retry(limited, request)
    assert refused.value.sqlstate == "PT429"
    with limited.as_user() as user:
        user.execute("select public.delete_analysis(%s)", (request,))
    refusal(limited)
    assert len(limited.insert(count=2)) == 2, "an administrator is not limited"
    limited.sql("update sentinel.compute set since = since - interval '61 minutes'")
    ask(limited)


def test_migrate_says_what_is_off_until_what_the_docs_recommend_is_set(limited: Queue) -> None:
    def said() -> str:
        return CliRunner().invoke(cli.app, ["migrate", "--db-url", limited.dsn]).output.splitlines()[-1]

    assert "off" not in said()
    limit(limited, "max_open_requests", None)
    limit(limited, "max_stored_bytes", None)
    off = "max_open_requests, max_stored_bytes"
    assert said() == f"user quotas that are off: {off}; docs/threat-model.md says what to set"
    limited.sql("update sentinel.settings set value = 'false' where name = 'quotas'")
    off = (
        "max_compute_seconds_per_hour, max_open_requests, max_requests_per_hour, max_retries_per_hour,"
        " max_running_requests, max_stored_bytes"
    )
    assert said() == f"user quotas that are off: {off}; docs/threat-model.md says what to set"
    limited.sql("update sentinel.settings set value = 'true' where name = 'quotas'")
    page = (Path(__file__).parents[3] / "docs" / "threat-model.md").read_text(encoding="utf-8")
    limited.sql(page.partition("```sql\n")[2].partition("```")[0])
    assert json.loads(refusal(limited, 21).message_detail or "") == {"quota": "open_requests", "limit": 20, "used": 0}
    assert "off" not in said()


def test_a_user_sees_limits_and_use(limited: Queue) -> None:
    limit(limited, "max_open_requests", 7)
    ask(limited, 2)
    store(limited, "a.mp4", 900)
    limited.sql("insert into sentinel.compute values (%s, %s, now(), 3.5, 1, 1)", limited.user, limited.worker)
    with limited.as_user() as user:
        assert user.execute("select * from public.analysis_quota()").fetchall() == [
            {
                "open_requests": 2,
                "max_open_requests": 7,
                "requests_last_hour": 2,
                "max_requests_per_hour": 1000,
                "stored_bytes": 900,
                "max_stored_bytes": 20_000_000_000,
                "retries_last_hour": 0,
                "max_retries_per_hour": 20,
                "compute_seconds_last_hour": 3,
                "max_compute_seconds_per_hour": 7200,
            }
        ]


def test_two_inserts_at_once_cannot_pass_the_limit_together(limited: Queue) -> None:
    limit(limited, "max_open_requests", 10)
    start = Barrier(8)
    refused: list[str | None] = []

    def insert() -> None:
        start.wait()
        for _ in range(5):
            try:
                ask(limited)
            except psycopg.Error as error:
                refused.append(error.sqlstate)

    threads = [Thread(target=insert) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert refused == ["PT429"] * 30
    assert len(limited.sql("select id from public.analysis_requests")) == 10
