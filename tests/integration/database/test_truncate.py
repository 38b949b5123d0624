"""TRUNCATE by an admin adds the files to the outbox, as DELETE does."""

from uuid import uuid4

import psycopg
import pytest

from tests.integration.database.queue_client import Queue
from tests.integration.database.test_deletions import due, named, put, remove


def test_truncated_requests_leave_no_file(queue: Queue) -> None:
    claim = queue.start()
    queue.succeed(claim)
    queue.insert(count=2)
    film = put(queue, "media", f"{queue.user}/a.mp4")
    frame = put(queue, "derived", f"{queue.user}/{claim['id']}/{claim['fence']}/worst.jpg")
    unasked = put(queue, "media", f"{queue.user}/unasked.mp4")
    other = put(queue, "derived", f"{uuid4()}/{uuid4()}/{uuid4()}/worst.jpg")
    queue.sql("truncate public.analysis_requests cascade")
    assert queue.sql("select from public.analysis_results") == []
    assert named(queue) == {film, frame}
    assert [remove(queue, *one) for one in (film, frame, unasked, other)] == [1, 1, 0, 0]


def test_a_request_with_an_old_id_keeps_its_files(queue: Queue) -> None:
    old = queue.start()
    put(queue, "derived", f"{queue.user}/{old['id']}/{old['fence']}/worst.jpg")
    queue.sql("truncate public.analysis_requests cascade")
    new = queue.start(id=old["id"])
    kept = put(queue, "derived", f"{queue.user}/{new['id']}/{new['fence']}/worst.jpg")
    assert remove(queue, *kept) == 0
    queue.succeed(new)
    due(queue)
    assert kept not in named(queue)


def test_a_truncate_that_is_rolled_back_removes_nothing(queue: Queue) -> None:
    queue.insert()
    put(queue, "media", f"{queue.user}/a.mp4")
    with queue.connect() as admin:
        admin.execute("begin")
        admin.execute("truncate public.analysis_requests cascade")
        admin.execute("rollback")
    assert named(queue) == set()


def test_truncate_without_cascade_is_refused_by_postgres(queue: Queue) -> None:
    with pytest.raises(psycopg.errors.FeatureNotSupported, match="cannot truncate a table referenced in a foreign key"):
        queue.sql("truncate public.analysis_requests")


def test_truncated_users_leave_no_file(disposable: Queue) -> None:
    disposable.insert()
    everything = {
        put(disposable, "media", f"{disposable.user}/a.mp4"),
        put(disposable, "media", f"{disposable.user}/unasked.mp4"),
        put(disposable, "derived", f"{disposable.user}/{uuid4()}/{uuid4()}/x.jpg"),
    }
    with psycopg.connect(disposable.superuser_dsn, autocommit=True) as superuser:
        superuser.execute("truncate auth.users cascade")
    assert named(disposable) == everything
