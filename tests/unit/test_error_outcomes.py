"""The outcome of a request for each kind of error."""

import dataclasses
import json
import time
from datetime import UTC, datetime, timedelta

import pytest
import structlog

from sentinel_worker.domain.errors import Cancelled, Fatal, LeaseLost, Permanent, Released, SentinelError, Transient
from sentinel_worker.observe import masking
from sentinel_worker.worker.error_outcomes import (
    CAUSE_CHARACTERS,
    ELSEWHERE_SECONDS,
    FAULT,
    REFUSED_MESSAGE,
    SNOOZE_SECONDS,
    finish_for,
)
from tests.claims import a_claim


@pytest.mark.parametrize(
    ("error", "outcome", "delay_seconds"),
    [
        (Permanent("media_empty", "The file is empty."), "failed", None),
        (Transient("decoder_lost", "The decoder died."), "retry", None),
        (Transient("decoder_lost", "The decoder died.", retry_after_seconds=7), "retry", 7),
        (Transient("storage_unreachable", "Storage is away."), "snoozed", SNOOZE_SECONDS),
        (Transient("disk_full", "The disk is full."), "snoozed", SNOOZE_SECONDS),
        (Transient("access_refused", "No.", retry_after_seconds=60), "snoozed", 60),
        (Transient("worker_busy", "Others first.", retry_after_seconds=5), "snoozed", 5),
        (Fatal("gpu_failed", "The GPU failed."), "retry", None),
        (Cancelled(), "cancelled", None),
        (Released(), "released", None),
    ],
)
def test_outcomes(error: SentinelError, outcome: str, delay_seconds: float | None) -> None:
    finish = finish_for(error, a_claim(), "fetching")
    assert (finish.outcome, finish.delay_seconds, finish.stage) == (outcome, delay_seconds, "fetching")
    if isinstance(error, Permanent | Transient | Fatal):
        message = REFUSED_MESSAGE if error.code == "access_refused" else error.message
        assert (finish.error_code, finish.error_message) == (error.code, message)


def test_what_an_operator_has_to_run_is_not_for_the_owner_of_the_request() -> None:
    sentence = "The role sentinel_worker may not select storage.objects: run grant anon to sentinel_worker (HTTP 403)."
    finish = finish_for(Transient("access_refused", sentence), a_claim(), "fetching")
    assert finish.error_message == REFUSED_MESSAGE
    assert finish.error_detail["remedy"] == sentence
    assert "remedy" not in finish_for(Transient("decoder_lost", "It died."), a_claim(), "probing").error_detail


@pytest.mark.parametrize("filler", ["a.", "a", "://", "token ", "\\", "\0", "\u2603"])
def test_a_strangers_text_after_an_error_is_cut_before_it_costs_time(filler: str) -> None:
    """A library quotes up to 100 kilobytes that a server sent; the event loop waits while they are masked."""
    error = Transient("url_unreachable", "The server cannot be reached now.")
    error.__cause__ = ValueError(filler * 100_000)
    began = time.thread_time()
    entry = finish_for(error, a_claim(), "fetching").as_json(a_claim())
    assert time.thread_time() - began < 0.5
    cause = entry["error_detail"]["cause"]
    assert cause.startswith("ValueError(")
    assert len(cause) < CAUSE_CHARACTERS + 50
    assert len(json.dumps(entry)) < 65_536


def test_a_secret_after_an_error_is_masked_wherever_the_text_is_cut() -> None:
    secret = "CANARY-0123456789-of-aftermath"
    masking.register(secret)
    for place in range(CAUSE_CHARACTERS - 60, CAUSE_CHARACTERS + 5):
        error = Transient("url_unreachable", "The server cannot be reached now.")
        error.__cause__ = ValueError("x " * (place // 2) + "y" * (place % 2) + secret + " x" * 5000)
        assert "CANAR" not in str(finish_for(error, a_claim(), "fetching").error_detail)


def test_waiting_for_an_outage_ends_but_waiting_for_others_does_not() -> None:
    old = dataclasses.replace(a_claim(), created_at=datetime.now(UTC) - timedelta(days=2))
    assert finish_for(Transient("storage_unreachable", "Storage is away."), old, "fetching").outcome == "retry"
    assert finish_for(Transient("worker_busy", "Others first."), old, "fetching").outcome == "snoozed"


def test_a_lost_lease_has_no_outcome() -> None:
    with pytest.raises(LeaseLost):
        finish_for(LeaseLost(), a_claim(), "fetching")


class Unspeakable(Exception):
    """An error that cannot be converted to text."""

    def __repr__(self) -> str:
        raise ValueError("a fault")


def caused_by(cause: Exception) -> Transient:
    error = Transient("decoder_lost", "The decoder died.")
    error.__cause__ = cause
    return error


@pytest.mark.parametrize("error", [ValueError("a bug"), ExceptionGroup("bugs", [KeyError()]), caused_by(Unspeakable())])
def test_an_unexpected_error_is_the_workers_and_costs_an_attempt(error: Exception) -> None:
    with structlog.testing.capture_logs() as lines:
        finish = finish_for(error, a_claim(), "probing")
    assert (finish.outcome, finish.error_code, finish.error_message) == ("retry", "internal_error", FAULT)
    assert [(line["event"], line["stage"]) for line in lines] == [("request.crashed", "probing")]


def test_an_auto_request_that_nobody_here_serves_waits_for_another_worker() -> None:
    error = Permanent("detector_unavailable", "No detector for pictures runs here.")
    fresh = dataclasses.replace(a_claim(), media_kind="auto", created_at=datetime.now(UTC))
    assert (finish_for(error, fresh, "probing").outcome, finish_for(error, fresh, "probing").delay_seconds) == (
        "snoozed",
        ELSEWHERE_SECONDS,
    )
    old = dataclasses.replace(fresh, created_at=datetime.now(UTC) - timedelta(minutes=20))
    assert finish_for(error, old, "probing").outcome == "failed"
    assert finish_for(error, dataclasses.replace(fresh, media_kind="video"), "probing").outcome == "failed"
