"""Finishing: the effect of each outcome, and of a repeated, late or hostile finish."""

from typing import Any, get_args
from uuid import uuid4

import pytest

from sentinel_worker.domain.media_facts import SkipReason
from sentinel_worker.domain.verdict import Verdict, VerdictReason
from tests.integration.database.queue_client import RESULT, Queue, Row


def history(queue: Queue, claim: Row) -> Row:
    rows = queue.sql(
        "select * from sentinel.attempts where request_id = %s and fence = %s", claim["id"], claim["fence"]
    )
    assert len(rows) == 1
    return rows[0]


def test_a_success_writes_verdict_result_and_history_at_once(queue: Queue) -> None:
    claim = queue.start()
    assert queue.succeed(claim) == {"id": claim["id"], "answer": "succeeded", "due_in_seconds": None}
    row = queue.row(claim["id"])
    assert (row["status"], row["verdict"], row["fake_probability"], row["progress"]) == (
        *("succeeded", "fake", 0.93, 100),
    )
    assert row["finished_at"] is not None
    assert row["fence"] != claim["fence"]
    (result,) = queue.sql("select * from public.analysis_results")
    for written in (row, result):
        assert (written["coverage"], written["longest_gap_seconds"]) == (0.25, 57.5)
    assert (result["request_id"], result["user_id"]) == (claim["id"], queue.user)
    assert (result["is_current"], result["fence"], result["notice"]) == (True, claim["fence"], "A notice.")
    assert result["timeline"] == RESULT["timeline"]
    attempt = history(queue, claim)
    assert attempt["claimed_at"] is not None
    assert (attempt["worker"], attempt["software"]) == (queue.worker, {"worker": "1.0"})
    assert queue.sql("select 1 from sentinel.leases") == []


def test_neither_worker_nor_software_is_in_what_users_read(queue: Queue) -> None:
    queue.succeed(queue.start())
    (result,) = queue.sql("select to_jsonb(r)::text as row from public.analysis_results r")
    assert str(queue.worker) not in result["row"]
    assert "software" not in result["row"]


def test_a_repeated_finish_answers_its_first_answer_and_writes_nothing(queue: Queue) -> None:
    claim = queue.start()
    first = queue.finish(claim, "retry", error_code="fetch_failed", delay_seconds=30)
    assert first["answer"] == "scheduled"
    again = queue.succeed(claim)
    assert again["answer"] == "scheduled"
    assert 0 < again["due_in_seconds"] <= first["due_in_seconds"]
    queue.sql("update public.analysis_requests set status = 'queued'")
    newer = queue.claim()[0]
    assert queue.succeed(claim)["answer"] == "scheduled"
    assert queue.row(claim["id"])["fence"] == newer["fence"]
    assert queue.sql("select 1 from public.analysis_results") == []


def test_an_old_fence_and_another_worker_write_nothing(queue: Queue) -> None:
    claim = queue.start()
    thief = queue.another_worker()
    assert thief.succeed(claim)["answer"] == "lost"
    assert queue.succeed(claim | {"fence": uuid4()})["answer"] == "lost"
    assert queue.succeed(claim | {"id": uuid4()})["answer"] == "lost"
    row = queue.row(claim["id"])
    assert (row["status"], row["fence"]) == ("running", claim["fence"])


def test_a_finish_after_the_lease_ran_out_counts_while_the_fence_is_current(queue: Queue) -> None:
    claim = queue.start()
    queue.sql("update sentinel.leases set lease_until = now() - interval '1 h'")
    assert queue.succeed(claim)["answer"] == "succeeded"


def test_a_finish_after_the_lease_was_taken_away_is_lost(queue: Queue) -> None:
    claim = queue.start()
    queue.expire(claim)
    assert queue.succeed(claim)["answer"] == "lost"
    assert queue.row(claim["id"])["status"] == "scheduled"
    assert history(queue, claim)["outcome"] == "lease_expired"


@pytest.mark.parametrize("attempt", [1, 2, 4])
def test_a_retry_waits_a_jittered_time_that_doubles(queue: Queue, attempt: int) -> None:
    dues = []
    for _ in range(6):
        claim = queue.start()
        queue.sql("update public.analysis_requests set attempt = %s where id = %s", attempt, claim["id"])
        dues.append(queue.finish(claim, "retry", error_code="busy_site", error_message="Later.")["due_in_seconds"])
    assert all(0 <= due <= 5 * 2 ** (attempt - 1) for due in dues)
    assert len(set(dues)) == 6
    row = queue.row(claim["id"])
    assert (row["status"], row["error_code"], row["error_message"]) == ("scheduled", "busy_site", "Later.")


def test_a_retry_respects_its_delay_and_ends_at_max_attempts(queue: Queue) -> None:
    claim = queue.start(max_attempts=2)
    assert queue.finish(claim, "retry", error_code="slow_down", delay_seconds=77)["due_in_seconds"] >= 77
    queue.sql("update public.analysis_requests set run_at = now() where id = %s", claim["id"])
    second = queue.claim()[0]
    assert second["attempt"] == 2
    assert queue.finish(second, "retry", error_code="slow_down")["answer"] == "failed"
    assert queue.row(claim["id"])["error_code"] == "slow_down"


def test_a_released_request_gets_its_attempt_and_its_place_back(queue: Queue) -> None:
    claim = queue.start()
    queue.insert()
    assert queue.finish(claim, "released") == {"id": claim["id"], "answer": "queued", "due_in_seconds": 0}
    again = queue.claim()[0]
    assert (again["id"], again["attempt"]) == (claim["id"], 1)
    snoozed = queue.finish(again, "snoozed", delay_seconds=40)
    assert (snoozed["answer"], snoozed["due_in_seconds"]) == ("scheduled", 40)
    assert queue.row(claim["id"])["attempt"] == 0


@pytest.mark.parametrize(
    ("outcome", "answer"),
    [
        ("succeeded", "succeeded"),
        *((outcome, "cancelled") for outcome in ("failed", "retry", "released", "snoozed", "cancelled")),
    ],
)
def test_a_cancellation_takes_precedence_over_every_outcome_but_success(
    queue: Queue, outcome: str, answer: str
) -> None:
    claim = queue.start()
    queue.sql("update public.analysis_requests set cancel_requested = true")
    assert queue.heartbeat(claim) == ["cancel"]
    assert queue.finish(claim, outcome, error_code="x", result=RESULT)["answer"] == answer
    row = queue.row(claim["id"])
    assert (row["status"], row["cancel_requested"]) == (answer, False)


def test_a_failure_keeps_code_sentence_and_params_within_their_limits(queue: Queue) -> None:
    claim = queue.start()
    detail = {"class": "ValueError", "trace": "x" * 1000}
    queue.finish(
        claim,
        "failed",
        stage="probing",
        error_code="too_long",
        error_message="m" * 9000,
        error_params={"limit": 3},
        error_detail=detail,
    )
    row = queue.row(claim["id"])
    assert (row["status"], row["error_code"], len(row["error_message"])) == ("failed", "too_long", 500)
    assert row["error_params"] == {"limit": 3}
    past = history(queue, claim)
    assert (past["stage"], past["error_code"], past["error"]) == ("probing", "too_long", detail)


@pytest.mark.parametrize(
    "more",
    [
        {},
        {"error_code": 7, "error_message": ["no"], "error_params": "no", "error_detail": 1},
        {"error_code": "Bad Code!\n", "error_params": {"x": "y" * 5000}, "error_detail": {"x": "y" * 100_000}},
        {"error_code": "c" * 500, "delay_seconds": "soon"},
    ],
)
def test_a_failure_with_odd_words_is_still_a_failure(queue: Queue, more: dict[str, Any]) -> None:
    claim = queue.start()
    assert queue.finish(claim, "failed", **more)["answer"] == "failed"
    assert queue.row(claim["id"])["error_code"] in ("unknown_error", "c" * 64)


ODD_RESULTS: list[dict[str, Any]] = [
    {"verdict": "maybe"},
    {"verdict": None},
    {"fake_probability": "high"},
    {"fake_probability": 1.5},
    {"fake_probability": "NaN"},
    {"fake_probability": True},
    {"threshold": {}},
    {"coverage": 1.1},
    {"coverage": "NaN"},
    {"coverage": None},
    {"longest_gap_seconds": -0.1},
    {"longest_gap_seconds": "NaN"},
    {"longest_gap_seconds": "Infinity"},
    {"verdict_reason": "not_covered"},
    {"verdict": "real", "verdict_reason": "not_covered"},
    {"verdict": "real", "verdict_reason": "suspicious_window"},
    {"verdict": "fake", "verdict_reason": "suspicious_window"},
    {"verdict": "uncertain", "verdict_reason": "no_face"},
    {"verdict": "not_applicable", "verdict_reason": "not_covered"},
    {"detector": "demo"},
    {"timeline": 3},
    {"media": []},
    {"timeline": ["x" * 1000] * 1100},
]
ODD_OUTCOMES: list[dict[str, Any]] = [
    {"outcome": "perhaps"},
    {"outcome": None},
    {"outcome": {"a": 1}},
    {"outcome": "succeeded"},
    {"outcome": "succeeded", "result": None},
    {"outcome": "succeeded", "result": [1]},
    {"outcome": "succeeded", "result": "fake"},
    *({"outcome": "succeeded", "result": RESULT | odd} for odd in ODD_RESULTS),
]


@pytest.mark.parametrize(
    ("verdict", "reason"),
    [
        *(("not_applicable", reason) for reason in get_args(SkipReason)),
        *(("uncertain", reason) for reason in get_args(VerdictReason) if reason not in get_args(SkipReason)),
        *((verdict, None) for verdict in get_args(Verdict)),
    ],
)
def test_each_reason_is_stored_with_its_verdict(queue: Queue, verdict: str, reason: str | None) -> None:
    claim = queue.start()
    result = RESULT | {"verdict": verdict, "verdict_reason": reason}
    assert queue.finish(claim, "succeeded", result=result)["answer"] == "succeeded"
    assert queue.sql("select verdict_reason from public.analysis_results") == [{"verdict_reason": reason}]


@pytest.mark.parametrize("entry", ODD_OUTCOMES)
def test_an_odd_outcome_is_invalid_and_costs_its_neighbours_nothing(queue: Queue, entry: dict[str, Any]) -> None:
    first, odd, last = (queue.start() for _ in range(3))
    good = {"outcome": "succeeded", "result": RESULT}
    batch: list[Any] = [
        *({"id": claim["id"], "fence": claim["fence"]} | good for claim in (first, last)),
        {"id": odd["id"], "fence": odd["fence"]} | entry,
        *(None, 5, [], {"id": "x"}, {"id": str(odd["id"])}),
    ]
    rows = queue.call("sentinel_finish", outcomes=batch)
    answers = {(row["id"], row["answer"]) for row in rows}
    assert answers == {
        *((first["id"], "succeeded"), (last["id"], "succeeded"), (odd["id"], "invalid"), (None, "invalid")),
    }
    assert len(rows) == len(batch)
    assert queue.heartbeat(odd) == ["ok"]
    assert queue.finish(odd, "failed", error_code="bad_result")["answer"] == "failed"


def test_the_same_claim_twice_in_one_batch_is_answered_twice_and_done_once(queue: Queue) -> None:
    claim = queue.start()
    entry = {"id": claim["id"], "fence": claim["fence"], "outcome": "succeeded", "result": RESULT}
    rows = queue.call("sentinel_finish", outcomes=[entry, entry])
    assert [row["answer"] for row in rows] == ["succeeded", "succeeded"]
    assert len(queue.sql("select 1 from public.analysis_results")) == 1


def test_an_old_and_the_current_fence_in_one_batch_are_each_answered_for_themselves(queue: Queue) -> None:
    claim = queue.start()
    for old in [uuid4() for _ in range(4)]:  # whichever sorts first
        fences = [old, claim["fence"]]
        entries = [{"id": claim["id"], "fence": fence, "outcome": "released"} for fence in fences]
        rows = queue.call("sentinel_finish", outcomes=entries)
        assert sorted(row["answer"] for row in rows) == ["lost", "queued"]
        (claim,) = queue.claim()


def test_a_locked_request_is_busy_and_can_be_finished_afterwards(queue: Queue) -> None:
    claim = queue.start()
    with queue.connect() as blocker, blocker.transaction():
        blocker.execute("select 1 from public.analysis_requests for update")
        assert queue.succeed(claim)["answer"] == "busy"
    with queue.connect() as blocker, blocker.transaction():
        blocker.execute("select 1 from sentinel.leases for update")
        assert queue.succeed(claim)["answer"] == "busy"
        assert queue.heartbeat(claim) == ["busy"]
    assert queue.heartbeat(claim) == ["ok"]
    assert queue.succeed(claim)["answer"] == "succeeded"
