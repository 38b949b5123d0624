"""Plain SQL by admins: what works from any state, what is refused, what is undone."""

from uuid import uuid4

import psycopg
import pytest

from tests.integration.database.queue_client import Queue, Row

CLEAN = {
    "status": "queued",
    "attempt": 0,
    "crashes": 0,
    "stage": None,
    "progress": None,
    "verdict": None,
    "fake_probability": None,
    "coverage": None,
    "longest_gap_seconds": None,
    "error_code": None,
    "error_message": None,
    "error_params": None,
    "cancel_requested": False,
    "started_at": None,
    "finished_at": None,
}


INSERT_KEY = "insert into public.analysis_requests (user_id, source_url, dedupe_key) values (%s, 'https://x.org/', 'k')"


def in_state(queue: Queue, state: str) -> Row:
    """Bring a new request into a state by the worker's own functions."""
    claim = queue.start()
    queue.progress(claim, "analyzing", 50)
    match state:
        case "failed":
            queue.finish(claim, "failed", error_code="bad_media", error_message="No.", error_params={"a": 1})
        case "succeeded":
            queue.succeed(claim)
        case "scheduled":
            queue.finish(claim, "retry", error_code="later", delay_seconds=600)
        case "cancelled":
            queue.finish(claim, "cancelled")
    assert queue.row(claim["id"])["status"] == state
    return claim


def requeue(queue: Queue) -> None:
    queue.sql("update public.analysis_requests set status = 'queued'")


@pytest.mark.parametrize("state", ["failed", "succeeded", "running", "scheduled", "cancelled"])
def test_a_requeue_works_from_any_state_and_leaves_nothing_behind(queue: Queue, state: str) -> None:
    claim = in_state(queue, state)
    before = queue.row(claim["id"])
    requeue(queue)
    row = queue.row(claim["id"])
    assert {name: row[name] for name in CLEAN} == CLEAN
    assert row["fence"] not in (claim["fence"], before["fence"])
    assert queue.sql("select 1 from sentinel.leases") == []
    assert queue.claim()[0]["attempt"] == 1


def test_the_worker_of_a_requeued_request_writes_nothing_more(queue: Queue) -> None:
    claim = in_state(queue, "running")
    requeue(queue)
    assert queue.heartbeat(claim) == ["lost"]
    assert queue.progress(claim, "deriving", 90) == "lost"
    assert queue.succeed(claim)["answer"] == "lost"
    assert queue.row(claim["id"])["status"] == "queued"
    (past,) = queue.sql("select * from sentinel.attempts")
    assert (past["outcome"], past["answer"], past["stage"]) == ("moved_by_hand", "queued", "analyzing")


def test_a_requeued_success_keeps_its_result_marked(queue: Queue) -> None:
    claim = in_state(queue, "succeeded")
    requeue(queue)
    (old,) = queue.sql("select * from public.analysis_results")
    assert (old["is_current"], old["superseded_at"] is not None) == (False, True)
    queue.succeed(queue.claim()[0])
    rows = queue.sql("select is_current, fence from public.analysis_results order by created_at")
    assert [row["is_current"] for row in rows] == [False, True]
    assert rows[0]["fence"] == claim["fence"]


def test_a_repeat_of_a_requeue_changes_nothing(queue: Queue) -> None:
    (request,) = queue.insert()
    fence = queue.row(request)["fence"]
    requeue(queue)
    assert queue.row(request)["fence"] == fence


@pytest.mark.parametrize("status", ["running", "succeeded"])
@pytest.mark.parametrize("state", ["failed", "scheduled", "cancelled", "running", "succeeded"])
def test_running_and_succeeded_by_hand_are_refused_with_a_sentence(queue: Queue, state: str, status: str) -> None:
    if state == status:
        return
    in_state(queue, state)
    with pytest.raises(psycopg.Error, match="set only by a worker; to run a request again") as refusal:
        queue.sql("update public.analysis_requests set status = %s, verdict = 'fake'", status)
    assert refusal.value.sqlstate == "PT409"


@pytest.mark.parametrize("status", ["failed", "cancelled"])
@pytest.mark.parametrize("state", ["running", "succeeded", "scheduled"])
def test_failed_and_cancelled_by_hand_drop_the_lease(queue: Queue, state: str, status: str) -> None:
    claim = in_state(queue, state)
    queue.sql("update public.analysis_requests set status = %s", status)
    row = queue.row(claim["id"])
    assert (row["status"], row["verdict"], row["finished_at"] is not None) == (status, None, True)
    assert (row["error_code"] is not None) == (status == "failed")
    assert queue.sql("select 1 from sentinel.leases") == []
    assert queue.heartbeat(claim) == ["lost"]


def test_a_fence_written_by_hand_does_not_pass_for_a_worker(queue: Queue) -> None:
    claim = in_state(queue, "running")
    queue.sql("update public.analysis_requests set fence = %s", uuid4())
    assert queue.row(claim["id"])["fence"] == claim["fence"]
    with pytest.raises(psycopg.Error, match="set only by a worker"):
        queue.sql("update public.analysis_requests set fence = %s, status = 'succeeded', verdict = 'real'", uuid4())
    wanted = uuid4()
    queue.sql("update public.analysis_requests set fence = %s, status = 'queued'", wanted)
    row = queue.row(claim["id"])
    assert {name: row[name] for name in CLEAN} == CLEAN
    assert row["fence"] not in (wanted, claim["fence"])
    assert queue.sql("select 1 from sentinel.leases") == []


def test_a_change_by_another_trigger_while_our_function_runs_is_still_by_hand(disposable: Queue) -> None:
    queue = disposable
    queue.sql(
        "create function public.again() returns trigger language plpgsql as $$ begin"
        " update public.analysis_requests set status = 'queued' where id = new.id; return null; end $$"
    )
    queue.sql(
        "create trigger again after update on public.analysis_requests for each row"
        " when (new.status = 'failed') execute function public.again()"
    )
    claim = queue.start()
    assert queue.finish(claim, "failed", error_code="x")["answer"] == "failed"
    row = queue.row(claim["id"])
    assert {name: row[name] for name in CLEAN} == CLEAN


def test_time_decides_between_queued_and_scheduled(queue: Queue) -> None:
    (request,) = queue.insert()
    queue.sql("update public.analysis_requests set run_at = now() + interval '1 h'")
    assert queue.row(request)["status"] == "scheduled"
    queue.sql("update public.analysis_requests set run_at = now() - interval '1 h'")
    assert queue.row(request)["status"] == "queued"
    queue.sql("update public.analysis_requests set status = 'scheduled', run_at = now() + interval '1 h'")
    assert queue.row(request)["status"] == "scheduled"
    requeue(queue)
    assert queue.row(request)["status"] == "queued"
    retried = queue.claim()[0]
    queue.finish(retried, "retry", error_code="later", delay_seconds=600)
    queue.sql("update public.analysis_requests set run_at = now()")
    row = queue.row(request)
    assert (row["status"], row["attempt"], row["error_code"]) == ("queued", 1, "later")


@pytest.mark.parametrize("status", ["running", "succeeded", "failed", "cancelled", "nonsense"])
def test_an_insert_with_another_status_is_refused_with_a_sentence(queue: Queue, status: str) -> None:
    with pytest.raises(psycopg.errors.CheckViolation, match="a new request cannot have the status"):
        queue.insert(status=status)


def test_an_insert_cannot_bring_a_past_or_buy_a_place(queue: Queue) -> None:
    queue.maintain()
    (request,) = queue.insert(
        attempt=4, crashes=2, error_code="x", progress=50, run_at="1970-01-01", fence=uuid4(), cancel_requested=True
    )
    row = queue.row(request)
    assert {name: row[name] for name in CLEAN} == CLEAN
    assert row["run_at"] == row["created_at"]


@pytest.mark.parametrize(
    "change",
    [
        "finished_at = now()",
        "verdict = 'fake'",
        "fake_probability = 0.5",
        "cancel_requested = true",
        "progress = 101",
        "options = '[]'",
        "options = jsonb_build_object('x', repeat('y', 9000))",
        "options = ('{\"x\": ' || repeat('9', 310) || '}')::jsonb",
        "options = ('{\"x\": ' || repeat('[', 32) || repeat(']', 32) || '}')::jsonb",
        "source_url = 'https://example.org'",
        "storage_path = null",
        "detector = 'No Such'",
        "run_at = 'infinity'",
        "max_attempts = 0",
    ],
)
def test_nobody_can_write_impossible_rows(queue: Queue, change: str) -> None:
    queue.insert()
    with pytest.raises(psycopg.errors.CheckViolation):
        queue.sql(f"update public.analysis_requests set {change}")  # noqa: S608


def test_a_key_is_unique_only_among_a_users_unfinished_requests(queue: Queue) -> None:
    queue.insert(dedupe_key="k")
    with pytest.raises(psycopg.errors.UniqueViolation):
        queue.insert(dedupe_key="k")
    queue.succeed(queue.claim()[0])
    queue.insert(dedupe_key="k")


def test_deleting_a_user_takes_everything_along(queue: Queue) -> None:
    in_state(queue, "succeeded")
    in_state(queue, "running")
    queue.sql("delete from auth.users where id = %s", queue.user)
    for table in ("public.analysis_requests", "public.analysis_results", "sentinel.leases", "sentinel.attempts"):
        assert queue.sql(f"select 1 from {table}") == []  # noqa: S608


def test_requests_with_one_dedupe_key_are_requeued_together(queue: Queue) -> None:
    for _ in range(2):
        queue.finish(queue.start(dedupe_key="k"), "failed", error_code="bad_media")
    waiting = queue.insert(dedupe_key="k")[0]
    queue.sql("update public.analysis_requests set status = 'queued' where status = 'failed'")
    rows = queue.sql("select id, status, dedupe_key from public.analysis_requests")
    assert [row["status"] for row in rows] == ["queued"] * 3
    assert [row["id"] for row in rows if row["dedupe_key"]] == [waiting]


def test_two_failed_requests_of_one_dedupe_key_are_requeued_in_one_statement(queue: Queue) -> None:
    for _ in range(2):
        queue.finish(queue.start(dedupe_key="k"), "failed", error_code="bad_media")
    queue.sql("update public.analysis_requests set status = 'queued' where status = 'failed'")
    rows = queue.sql("select status, dedupe_key from public.analysis_requests")
    assert [row["status"] for row in rows] == ["queued"] * 2
    assert sum(row["dedupe_key"] is not None for row in rows) == 1


def test_requeued_requests_lose_a_key_that_an_insert_in_progress_has(queue: Queue) -> None:
    ended = [queue.start(dedupe_key=key) for key in ("k", "other")]
    for claim in ended:
        queue.finish(claim, "failed", error_code="bad_media")
    queue.sql("set lock_timeout = '5s'")
    with queue.as_user() as user:
        user.execute("insert into public.analysis_requests (source_url, dedupe_key) values ('https://x.org/', 'k')")
        requeue(queue)
        user.commit()
    rows = queue.sql("select id, status, dedupe_key from public.analysis_requests")
    assert [row["status"] for row in rows] == ["queued"] * 3
    assert {row["id"]: row["dedupe_key"] for row in rows}[ended[0]["id"]] is None
    assert sorted(row["dedupe_key"] for row in rows if row["dedupe_key"]) == ["k", "other"]


def test_requests_with_one_dedupe_key_are_requeued_at_the_same_time(queue: Queue) -> None:
    for _ in range(2):
        queue.finish(queue.start(dedupe_key="k"), "failed", error_code="bad_media")
    first, second = (row["id"] for row in queue.sql("select id from public.analysis_requests"))
    change = "update public.analysis_requests set status = 'queued' where id = %s"
    queue.sql("set lock_timeout = '5s'")
    with queue.connect() as other, other.transaction():
        other.execute(change, (first,))
        queue.sql(change, second)
    assert (queue.row(first)["dedupe_key"], queue.row(second)["dedupe_key"]) == ("k", None)
    assert (queue.row(first)["status"], queue.row(second)["status"]) == ("queued", "queued")


def test_an_insert_waits_for_a_requeue_of_its_key_and_is_refused(queue: Queue) -> None:
    (request,) = queue.insert(dedupe_key="k")
    queue.sql("update public.analysis_requests set status = 'cancelled'")
    with queue.connect() as other:
        other.execute("set lock_timeout = '100ms'")
        with queue.connection.transaction():
            requeue(queue)
            with pytest.raises(psycopg.errors.LockNotAvailable):
                other.execute(INSERT_KEY, (queue.user,))
        with pytest.raises(psycopg.errors.UniqueViolation):
            other.execute(INSERT_KEY, (queue.user,))
    assert queue.row(request)["dedupe_key"] == "k"


def test_a_requeue_of_many_keys_takes_few_locks(queue: Queue) -> None:
    queue.sql(
        "insert into public.analysis_requests (user_id, source_url, dedupe_key)"
        " select %s, 'https://x.org/', 'k' || n from generate_series(1, 2000) n", queue.user
    )  # fmt: skip
    queue.sql("update public.analysis_requests set status = 'cancelled'")
    with queue.connection.transaction():
        requeue(queue)
        (held,) = queue.sql("select count(*) as n from pg_locks where locktype = 'advisory' and pid = pg_backend_pid()")
    assert held["n"] <= 256
    (kept,) = queue.sql("select count(dedupe_key) as n from public.analysis_requests where status = 'queued'")
    assert kept["n"] == 2_000


def test_failed_by_hand_is_not_explained_by_the_error_of_an_earlier_attempt(queue: Queue) -> None:
    claim = queue.start()
    queue.finish(claim, "retry", error_code="x", error_message="Later.", error_params={"a": 1})
    queue.sql("update public.analysis_requests set status = 'failed' where id = %s", claim["id"])
    row = queue.row(claim["id"])
    assert (row["error_code"], row["error_message"]) == ("failed_by_hand", "An administrator ended this analysis.")
    assert row["error_params"] is None
    other = queue.start()
    queue.sql("update public.analysis_requests set status = 'failed', error_code = 'y' where id = %s", other["id"])
    assert queue.row(other["id"])["error_code"] == "y"
