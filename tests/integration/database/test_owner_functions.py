"""Functions for a request's owner."""

from uuid import UUID, uuid4

from tests.integration.database.queue_client import Queue


def ask(queue: Queue, function: str, request: UUID, user: UUID | None = None) -> str:
    with queue.as_user(user) as connection:
        row = connection.execute(
            f"select public.{function}(id => %s) as answer",
            (request,),
        ).fetchone()
    assert row is not None
    answer: str = row["answer"]
    return answer


def test_a_waiting_request_is_cancelled_at_once_and_can_be_run_again(queue: Queue) -> None:
    (request,) = queue.insert()
    assert ask(queue, "cancel_analysis", request) == "cancelled"
    assert ask(queue, "cancel_analysis", request) == "cancelled"
    assert queue.claim() == []
    assert ask(queue, "retry_analysis", request) == "queued"
    assert ask(queue, "retry_analysis", request) == "queued"
    assert queue.claim()[0]["id"] == request


def test_a_running_request_is_cancelled_by_its_worker(queue: Queue) -> None:
    claim = queue.start()
    assert ask(queue, "cancel_analysis", claim["id"]) == "cancelling"
    assert queue.heartbeat(claim) == ["cancel"]
    assert queue.claim()[0]["cancel_requested"], "a claim that is offered again says so too"
    assert queue.finish(claim, "cancelled")["answer"] == "cancelled"


def test_a_success_is_neither_cancelled_nor_retried(queue: Queue) -> None:
    claim = queue.start()
    queue.succeed(claim)
    assert ask(queue, "cancel_analysis", claim["id"]) == "succeeded"
    assert ask(queue, "retry_analysis", claim["id"]) == "succeeded"


def test_a_failure_is_retried_from_the_start(queue: Queue) -> None:
    claim = queue.start()
    queue.finish(claim, "failed", error_code="bad_media")
    assert ask(queue, "retry_analysis", claim["id"]) == "queued"
    row = queue.row(claim["id"])
    assert (row["attempt"], row["error_code"]) == (0, None)


def test_somebody_elses_request_does_not_exist(queue: Queue) -> None:
    (request,) = queue.insert()
    for function in ("cancel_analysis", "retry_analysis"):
        assert ask(queue, function, request, uuid4()) == "not_found"
        assert ask(queue, function, uuid4()) == "not_found"
    assert queue.row(request)["status"] == "queued"
