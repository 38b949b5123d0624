"""Permissions of a frontend, of each server role on each function, and of users on objects."""

from uuid import uuid4

import psycopg
import pytest
from psycopg.types.json import Jsonb

from tests.integration.database.queue_client import Queue

INSERT = "insert into public.analysis_requests (storage_path) values (%s) returning *"


def test_a_user_inserts_and_reads_own_requests_and_results_only(queue: Queue) -> None:
    stranger = uuid4()
    with queue.as_user() as user:
        (row,) = user.execute(INSERT, (f"{queue.user}/a.mp4",)).fetchall()
        assert (row["user_id"], row["status"], row["priority"]) == (queue.user, "queued", 0)
    queue.succeed(queue.claim()[0])
    for user_id, seen in ((queue.user, 1), (stranger, 0)):
        with queue.as_user(user_id) as user:
            assert len(user.execute("select * from public.analysis_requests").fetchall()) == seen
            assert len(user.execute("select * from public.analysis_results").fetchall()) == seen


@pytest.mark.parametrize("role", ["service_role", "sentinel_worker"])
def test_the_servers_roles_call_the_queue_and_read_requests(queue: Queue, role: str) -> None:
    queue.insert()
    args = Jsonb({"worker": str(queue.worker), "lanes": ["auto/default"], "limit": 1})
    with queue.as_user(role=role) as worker:
        assert len(worker.execute("select * from public.sentinel_claim(%s)", (args,)).fetchall()) == 1
        assert len(worker.execute("select * from public.analysis_requests").fetchall()) == 1
    if role == "service_role":
        with queue.as_user(role=role) as admin:
            admin.execute("update public.analysis_requests set status = 'queued'")


@pytest.mark.parametrize("name", ["a.mp4", "b/c d.mp4", "it's (1).mov", "...mp4", ".hidden", "a+b@c=d;e,f&g$h!*.webm"])
def test_ordinary_names_are_taken(queue: Queue, name: str) -> None:
    with queue.as_user() as user:
        user.execute(INSERT, (f"{queue.user}/{name}",))


def test_a_bulk_insert_with_nulls_gets_the_defaults(queue: Queue) -> None:
    with queue.as_user() as user:
        (row,) = user.execute(
            "insert into public.analysis_requests (id, source_url, options, media_kind, run_at)"
            " values (null, 'https://example.org/a', null, null, null) returning *"
        ).fetchall()
    assert (row["status"], row["options"], row["media_kind"]) == ("queued", {}, "auto")


def test_objects_are_kept_apart_by_folder(queue: Queue) -> None:
    other = queue.another_worker().user
    put = "insert into storage.objects (bucket_id, name) values (%s, %s)"
    with queue.as_user() as user:
        user.execute(put, ("media", f"{queue.user}/a.mp4"))
    for bucket, folder in (("media", other), ("derived", queue.user)):
        with pytest.raises(psycopg.errors.InsufficientPrivilege), queue.as_user() as user:
            user.execute(put, (bucket, f"{folder}/a.mp4"))
    with queue.as_user(role="sentinel_worker") as worker:
        worker.execute(put, ("derived", f"{queue.user}/r/f/x.jpg"))
        assert len(worker.execute("select * from storage.objects").fetchall()) == 2
    with pytest.raises(psycopg.errors.InsufficientPrivilege), queue.as_user(role="sentinel_worker") as worker:
        worker.execute(put, ("media", f"{queue.user}/b.mp4"))
    for user_id, seen in ((queue.user, 2), (other, 0)):
        with queue.as_user(user_id) as user:
            assert len(user.execute("select * from storage.objects").fetchall()) == seen
    with pytest.raises(psycopg.errors.InsufficientPrivilege, match="Use the Storage API"):
        queue.sql("delete from storage.objects")


def test_both_tables_are_published(queue: Queue) -> None:
    rows = queue.sql("select tablename from pg_publication_tables where pubname = 'supabase_realtime' order by 1")
    assert [row["tablename"] for row in rows] == ["analysis_requests", "analysis_results"]
