"""A file that is uploaded or named again between a worker's list and its call of Storage stays, whatever the key.

Storage deletes rows as the caller's role and tells PostgreSQL the request's headers. Row security binds the role
sentinel_worker, even without the header; the trigger on storage.objects binds the secret key, too.
"""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Final

import psycopg
import pytest

from sentinel_worker.sources.storage_removal import REMOVAL
from tests.integration.database.queue_client import Queue, Row
from tests.integration.database.test_deletions import delete, named, put
from tests.waits import comes_true

DELETE: Final = "delete from storage.objects where bucket_id = 'media' returning name"
HEADERS: Final = "select set_config('request.headers', json_object(%s::text[])::text, true)"
WAITING: Final = """
select from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock' and query = %s
"""
EACH_KEY: Final = pytest.mark.parametrize("role", ["sentinel_worker", "service_role"])


@contextmanager
def storage(queue: Queue, role: str, *, header: bool = True) -> Iterator[psycopg.Connection[Row]]:
    """A transaction of Storage for this role, with the header of a removal."""
    with queue.as_user(role=role) as connection:
        connection.execute("set local storage.allow_delete_query = 'true'")
        if header:
            connection.execute(HEADERS, ([text for pair in REMOVAL.items() for text in pair],))
        yield connection


def removed(queue: Queue, role: str, *, header: bool = True) -> set[str]:
    """Remove everything in `media` that this role can; return the names."""
    with storage(queue, role, header=header) as connection:
        return {row["name"] for row in connection.execute(DELETE)}


@EACH_KEY
def test_a_file_that_was_uploaded_or_named_again_since_the_list_stays(queue: Queue, role: str) -> None:
    films = {name: f"{queue.user}/{name}.mp4" for name in ("replaced", "named", "gone")}
    requests = {}
    for name, path in films.items():
        put(queue, "media", path)
        (requests[name],) = queue.insert(storage_path=path)
    for request in requests.values():
        delete(queue, request)
    assert {name for _, name in named(queue)} == set(films.values())
    queue.sql("update storage.objects set version = 'v2' where name = %s", films["replaced"])
    queue.insert(id=requests["named"], storage_path=films["named"])
    assert removed(queue, role) == {films["gone"]}


def test_a_workers_role_needs_no_header(queue: Queue) -> None:
    _, path = put(queue, "media", f"{queue.user}/a.mp4")
    delete(queue, queue.insert()[0])
    queue.insert()
    assert removed(queue, "sentinel_worker", header=False) == set()
    assert removed(queue, "service_role", header=False) == {path}, "an admin's own deletion is not a worker's removal"


@EACH_KEY
async def test_an_upload_that_ends_while_the_removal_waits_for_it_stays(queue: Queue, role: str) -> None:
    put(queue, "media", f"{queue.user}/a.mp4")
    delete(queue, queue.insert()[0])
    with queue.connect() as upload, ThreadPoolExecutor(1) as threads:
        upload.execute("begin")
        upload.execute("update storage.objects set version = 'v2'")
        removal = threads.submit(removed, queue, role)
        waits = await comes_true(lambda: queue.sql(WAITING, DELETE), 30)
        upload.execute("commit")
        assert removal.result() == set()
    assert waits


@EACH_KEY
def test_a_file_stays_for_a_request_that_was_inserted_beside_the_deletion_of_another(queue: Queue, role: str) -> None:
    put(queue, "media", f"{queue.user}/a.mp4")
    (first,) = queue.insert()
    with queue.as_user() as user:
        user.execute("insert into public.analysis_requests (storage_path) values (%s)", (f"{queue.user}/a.mp4",))
        delete(queue, first)
        assert len(named(queue)) == 1, "the other request is not committed yet"
    assert removed(queue, role) == set()


async def test_the_secret_key_sees_what_was_committed_after_its_statement_began(queue: Queue) -> None:
    """One statement removes two files; while it waits for the first, a request names the second."""
    films = [f"{queue.user}/{name}.mp4" for name in ("a", "b")]
    for path in films:
        put(queue, "media", path)
        delete(queue, queue.insert(storage_path=path)[0])
    with queue.connect() as other, ThreadPoolExecutor(1) as threads:
        other.execute("begin")
        other.execute("select from storage.objects where name = %s for update", (films[0],))
        removal = threads.submit(removed, queue, "service_role")
        waits = await comes_true(lambda: queue.sql(WAITING, DELETE), 30)
        queue.insert(storage_path=films[1])
        other.execute("commit")
        assert removal.result() == {films[0]}
    assert waits
