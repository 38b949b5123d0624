"""Deletions fill an outbox of objects, which only the Storage API removes."""

from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest

from tests.integration.database.queue_client import Queue

PUT = "insert into storage.objects (bucket_id, name, version) values (%s, %s, %s)"


def put(queue: Queue, bucket: str, name: str, version: str = "v1") -> tuple[str, str]:
    queue.sql(PUT, bucket, name, version)
    return bucket, name


def delete(queue: Queue, request: UUID, user: UUID | None = None) -> str:
    with queue.as_user(user) as connection:
        row = connection.execute("select public.delete_analysis(%s) as answer", (request,)).fetchone()
        assert row is not None
        return str(row["answer"])


def named(queue: Queue, **args: Any) -> set[tuple[str, str]]:
    return {(row["bucket_id"], row["name"]) for row in queue.call("sentinel_deletions", **args)}


def remove(queue: Queue, bucket: str, name: str) -> int:
    """Delete as Storage does for a worker; return the number of deleted objects."""
    with queue.as_user(role="sentinel_worker") as worker:
        worker.execute("set local storage.allow_delete_query = 'true'")
        deleted = worker.execute("delete from storage.objects where bucket_id = %s and name = %s", (bucket, name))
        return deleted.rowcount


def due(queue: Queue) -> None:
    queue.sql("update sentinel.deletions set due_at = now(), keep_until = now()")


def test_a_request_goes_with_its_results_and_files(queue: Queue) -> None:
    claim = queue.start()
    queue.succeed(claim)
    film = put(queue, "media", f"{queue.user}/a.mp4")
    frame = put(queue, "derived", f"{queue.user}/{claim['id']}/{claim['fence']}/worst.jpg")
    neighbour = put(queue, "derived", f"{queue.user}/{uuid4()}/{uuid4()}/worst.jpg")
    assert delete(queue, claim["id"]) == "deleted"
    assert queue.sql("select from public.analysis_results") == []
    assert queue.sql("select from sentinel.attempts") == []
    assert named(queue) == {film, frame}
    assert named(queue) == set(), "handed out, and not due again at once"
    assert [remove(queue, *one) for one in (film, frame, neighbour)] == [1, 1, 0]
    due(queue)
    assert named(queue) == set()
    assert queue.sql("select from sentinel.deletions") == []


def test_only_the_owner_deletes(queue: Queue) -> None:
    (request,) = queue.insert()
    assert delete(queue, request, uuid4()) == "not_found"
    assert delete(queue, request) == "deleted"
    assert delete(queue, request) == "not_found"


def test_a_running_request_goes_at_once_and_its_worker_writes_nothing(queue: Queue) -> None:
    claim = queue.start()
    assert delete(queue, claim["id"]) == "deleted"
    assert queue.heartbeat(claim) == ["lost"]
    assert queue.succeed(claim)["answer"] == "lost"
    late = put(queue, "derived", f"{queue.user}/{claim['id']}/{claim['fence']}/late.jpg")
    assert named(queue) == {late}, "what the worker still writes is named too"


def test_the_folder_of_a_request_is_looked_at_again(queue: Queue) -> None:
    claim = queue.start()
    delete(queue, claim["id"])
    assert named(queue) == set()
    late = put(queue, "derived", f"{queue.user}/{claim['id']}/{claim['fence']}/late.jpg")
    assert named(queue) == set()
    due(queue)
    assert named(queue) == {late}


def test_a_file_that_another_request_names_stays(queue: Queue) -> None:
    first, second = queue.insert(count=2)
    film = put(queue, "media", f"{queue.user}/a.mp4")
    delete(queue, first)
    assert named(queue) == set()
    assert remove(queue, *film) == 0
    delete(queue, second)
    assert named(queue) == {film}


def test_a_file_that_was_uploaded_again_stays(queue: Queue) -> None:
    (request,) = queue.insert()
    film = put(queue, "media", f"{queue.user}/a.mp4")
    delete(queue, request)
    queue.sql("update storage.objects set version = 'v2'")
    assert named(queue) == set()
    assert remove(queue, *film) == 0


def test_a_deleted_user_leaves_nothing(queue: Queue) -> None:
    queue.insert()
    everything = {
        put(queue, "media", f"{queue.user}/a.mp4"),
        put(queue, "media", f"{queue.user}/never/asked.mp4"),
        put(queue, "derived", f"{queue.user}/{uuid4()}/{uuid4()}/x.jpg"),
    }
    other = put(queue, "media", f"{queue.another_worker().user}/a.mp4")
    queue.sql("delete from auth.users where id = %s", queue.user)
    assert queue.sql("select from public.analysis_requests") == []
    assert named(queue) == everything
    assert remove(queue, *other) == 0
    assert sum(remove(queue, *one) for one in everything) == 3


def test_many_objects_come_in_parts(queue: Queue) -> None:
    for number in range(5):
        put(queue, "media", f"{queue.user}/{number}.mp4")
    queue.sql("delete from auth.users where id = %s", queue.user)
    first = named(queue, limit=3)
    assert len(first) == 3
    for one in first:
        remove(queue, *one)
    due(queue)
    assert len(named(queue, limit=3)) == 2


def test_empty_folders_hold_nobody_up(queue: Queue) -> None:
    for request in queue.insert(count=300):
        queue.sql("delete from public.analysis_requests where id = %s", request)
    film = put(queue, "media", f"{queue.user}/b.mp4")
    delete(queue, queue.insert(storage_path=film[1])[0])
    assert named(queue) == {film}


def test_thousands_of_empty_folders_hold_nobody_up(queue: Queue) -> None:
    queue.sql(
        "insert into sentinel.deletions (bucket_id, name, user_id, keep_until)"
        " select 'derived', %s::uuid || '/' || n || '/', %s, now() + interval '1 hour' from generate_series(1, 2500) n",
        queue.user, queue.user,
    )  # fmt: skip
    film = put(queue, "media", f"{queue.user}/b.mp4")
    delete(queue, queue.insert(storage_path=film[1])[0])
    assert named(queue) == {film}


def test_a_folder_with_more_than_one_list_holds_is_due_again_a_second_later(queue: Queue) -> None:
    for number in range(3):
        put(queue, "media", f"{queue.user}/{number}.mp4")
    queue.sql("delete from auth.users where id = %s", queue.user)
    assert len(named(queue, limit=2)) == 2
    (folder,) = queue.sql(
        "select tries, due_at - now() <= interval '1 s' as soon from sentinel.deletions"
        " where bucket_id = 'media' and name like '%%/'"
    )
    assert folder == {"tries": 0, "soon": True}


def test_maintenance_says_whether_removals_are_due(queue: Queue) -> None:
    assert queue.maintain()["removals_due"] is False
    delete(queue, queue.insert()[0])
    assert queue.maintain()["removals_due"] is True
    assert named(queue) == set()
    assert queue.maintain()["removals_due"] is False
    due(queue)
    assert queue.maintain()["removals_due"] is True


def test_what_storage_does_not_remove_is_named_less_and_less_often(queue: Queue) -> None:
    put(queue, "media", f"{queue.user}/a.mp4")
    delete(queue, queue.insert()[0])
    pauses = []
    for _ in range(3):
        assert len(named(queue)) == 1
        row = queue.sql(
            "select extract(epoch from due_at - clock_timestamp())::int as s from sentinel.deletions"
            " where bucket_id = 'media'"
        )
        pauses.append(row[0]["s"])
        due(queue)
    assert pauses == [15, 30, 60]


def test_a_worker_deletes_nothing_else(queue: Queue) -> None:
    film = put(queue, "media", f"{queue.user}/a.mp4")
    queue.insert()
    assert remove(queue, *film) == 0
    assert len(queue.sql("select from storage.objects")) == 1


def test_nobody_else_may_ask(queue: Queue) -> None:
    with pytest.raises(psycopg.errors.InsufficientPrivilege), queue.as_user() as user:
        user.execute("select * from public.sentinel_deletions('{}')")
    with pytest.raises(psycopg.errors.InsufficientPrivilege), queue.as_user() as user:
        user.execute("select * from sentinel.deletions")
