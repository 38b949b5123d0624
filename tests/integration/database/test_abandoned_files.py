"""Files of attempts that ended without a result are removed; files that a result names, or may yet name, are not."""

from pathlib import Path
from typing import Final

import pytest

from tests.integration.database.queue_client import RESULT, Queue, Row
from tests.integration.database.test_deletions import due, named, put, remove

PAGE: Final = (Path(__file__).parents[3] / "docs" / "operations.md").read_text(encoding="utf-8")
AFTER_A_RESTORE: Final = PAGE.partition("## Restoring a backup\n")[2].partition("```sql\n")[2].partition("```")[0]


def picture(queue: Queue, claim: Row, name: str = "worst.jpg") -> tuple[str, str]:
    """Store a derived file as the worker of this claim does."""
    return put(queue, "derived", f"{queue.user}/{claim['id']}/{claim['fence']}/{name}")


def again(queue: Queue) -> Row:
    """Claim the only request once more."""
    queue.sql("update public.analysis_requests set run_at = now() where status = 'scheduled'")
    (claim,) = queue.claim()
    return claim


def entries(queue: Queue) -> list[Row]:
    return queue.sql("select name, extract(epoch from keep_until - now()) as left from sentinel.deletions order by id")


def lease_ended(queue: Queue, claim: Row, interval: str) -> None:
    """Let the lease of a claim end this long ago (in the future, if negative)."""
    queue.sql(
        "update sentinel.leases set lease_until = now() - %s::interval where request_id = %s", interval, claim["id"]
    )


def test_the_files_of_a_lost_attempt_are_removed_and_those_of_the_next_one_stay(queue: Queue) -> None:
    lost = queue.start()
    left = picture(queue, lost)
    queue.expire(lost)
    succeeded = again(queue)
    kept = picture(queue, succeeded)
    assert named(queue) == {left}
    assert queue.succeed(succeeded)["answer"] == "succeeded"
    due(queue)
    assert named(queue) == {left}
    assert [remove(queue, *one) for one in (left, kept)] == [1, 0]
    due(queue)
    assert named(queue) == set()
    assert entries(queue) == []
    assert queue.sql("select name from storage.objects") == [{"name": kept[1]}]


@pytest.mark.parametrize("outcome", ["failed", "retry", "snoozed", "released", "cancelled"])
def test_the_files_of_an_attempt_that_reports_no_result_are_removed(queue: Queue, outcome: str) -> None:
    claim = queue.start()
    left = picture(queue, claim)
    queue.finish(claim, outcome, stage="deriving", error_code="x", delay_seconds=5)
    assert named(queue) == {left}
    assert remove(queue, *left) == 1


def test_the_files_of_a_refused_result_are_removed(queue: Queue) -> None:
    claim = queue.start()
    left = picture(queue, claim)
    refused = queue.finish(claim, "succeeded", result=RESULT | {"verdict": "perhaps"})
    assert refused["answer"] == "invalid"
    assert named(queue) == set(), "the attempt still runs"
    assert remove(queue, *left) == 0
    queue.finish(claim, "failed", stage="finishing", error_code="result_refused")
    assert named(queue) == {left}


@pytest.mark.parametrize("stage", ["fetching", "probing", "analyzing"])
def test_an_attempt_that_ended_before_it_uploaded_leaves_no_entry(queue: Queue, stage: str) -> None:
    queue.finish(queue.start(), "snoozed", stage=stage, delay_seconds=5)
    assert entries(queue) == []


def test_a_success_whose_answer_was_lost_keeps_its_files(queue: Queue) -> None:
    claim = queue.start()
    kept = picture(queue, claim)
    assert [queue.succeed(claim)["answer"] for _ in range(2)] == ["succeeded", "succeeded"]
    queue.sql("update public.analysis_requests set status = 'queued'")
    assert entries(queue) == []
    assert (named(queue), remove(queue, *kept)) == (set(), 0)


def test_a_success_that_arrives_after_its_lease_leaves_nothing(queue: Queue) -> None:
    claim = queue.start()
    left = picture(queue, claim)
    queue.expire(claim)
    assert queue.succeed(claim)["answer"] == "lost"
    assert named(queue) == {left}


def test_a_claim_that_is_offered_again_keeps_its_files(queue: Queue) -> None:
    claim = queue.start()
    kept = picture(queue, claim)
    (offered,) = queue.claim(held=[])
    assert (offered["fence"], offered["reoffered"]) == (claim["fence"], True)
    assert (named(queue), remove(queue, *kept)) == (set(), 0)


@pytest.mark.parametrize("status", ["queued", "failed", "cancelled"])
def test_the_files_of_a_running_attempt_that_an_admin_ends_are_removed(queue: Queue, status: str) -> None:
    claim = queue.start()
    left = picture(queue, claim)
    queue.sql("update public.analysis_requests set status = %s", status)
    assert named(queue) == {left}
    assert remove(queue, *left) == 1


def test_a_worker_that_is_slow_to_stop_leaves_nothing(queue: Queue) -> None:
    """The folder is looked at again ten minutes after the end of the lease, which a worker does not outlive."""
    claim = queue.start()
    lease_ended(queue, claim, "-20 minutes")
    queue.sql("update public.analysis_requests set status = 'queued'")
    (entry,) = entries(queue)
    assert entry["left"] == pytest.approx(30 * 60, abs=20)
    assert named(queue) == set()
    late = picture(queue, claim)
    assert named(queue) == set()
    due(queue)
    assert named(queue) == {late}


def test_an_attempt_that_ended_long_ago_keeps_its_files(queue: Queue) -> None:
    """Nobody saw its lease end: the database may be a backup, in which the attempt has not yet succeeded."""
    claims = [queue.start(), queue.start()]
    kept = [picture(queue, claim) for claim in claims]
    for claim in claims:
        lease_ended(queue, claim, "1 day")
    queue.sql("update public.analysis_requests set status = 'queued' where id = %s", claims[0]["id"])
    assert queue.maintain()["expired"] == 1
    assert entries(queue) == []
    assert [remove(queue, *one) for one in kept] == [0, 0]


def test_a_restored_queue_runs_again_and_adds_nothing_to_the_outbox(queue: Queue) -> None:
    """The statements for a restored backup, however old it is."""
    claim = queue.start()
    kept = picture(queue, claim)
    with queue.connect() as postgres:
        postgres.execute(AFTER_A_RESTORE.encode())
    row = queue.row(claim["id"])
    assert (row["status"], row["attempt"], row["crashes"]) == ("queued", 0, 0)
    assert entries(queue) == []
    assert queue.claim()[0]["id"] == claim["id"]
    assert (named(queue), remove(queue, *kept)) == (set(), 0)


def test_the_files_go_although_the_history_is_pruned(queue: Queue) -> None:
    claim = queue.start()
    left = picture(queue, claim)
    queue.expire(claim)
    queue.sql("delete from sentinel.attempts")
    assert named(queue) == {left}


def test_a_running_attempt_is_left_alone_by_an_entry_of_its_request(queue: Queue) -> None:
    """A client may choose a request's id, and use it again after it deleted the request."""
    first = queue.start()
    queue.succeed(first)
    old = picture(queue, first)
    queue.sql("delete from public.analysis_requests")
    running = queue.start(id=first["id"])
    new = picture(queue, running)
    assert named(queue) == {old}
    assert [remove(queue, *one) for one in (old, new)] == [1, 0]
    queue.succeed(running)
    due(queue)
    assert named(queue) == set()
    assert remove(queue, *new) == 0


def test_a_file_that_is_newer_than_its_folders_entry_stays(queue: Queue) -> None:
    (request,) = queue.insert()
    queue.sql("delete from public.analysis_requests")
    newer = put(queue, "derived", f"{queue.user}/{request}/{request}/worst.jpg")
    queue.sql("update sentinel.deletions set due_at = now(), keep_until = now() - interval '1 day'")
    assert remove(queue, *newer) == 0
    assert named(queue) == set()
    assert entries(queue) == []


def test_an_upload_of_a_user_who_was_made_again_stays(queue: Queue) -> None:
    old, new = (put(queue, "media", f"{queue.user}/{name}.mp4") for name in ("a", "b"))
    queue.sql("delete from auth.users where id = %s", queue.user)
    queue.sql("insert into auth.users (id) values (%s)", queue.user)
    queue.insert(storage_path=new[1])
    assert named(queue) == {old}
    assert [remove(queue, *one) for one in (old, new)] == [1, 0]
