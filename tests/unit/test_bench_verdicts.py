"""Verdicts of the benchmarks, given their counts."""

import pytest

from bench import insert, latency
from bench.fairness import Measured
from bench.soak_requests import Totals
from bench.workers import Look, Rate

ANSWERED = Totals(inserted=10, succeeded=9, failed=0, cancelled=1, duplicated=0, expired=3)


def test_a_soak_passes_when_everything_was_answered_once() -> None:
    assert (ANSWERED.lost, ANSWERED.well) == (0, True)


@pytest.mark.parametrize(
    "totals",
    [
        Totals(inserted=11, succeeded=9, failed=0, cancelled=1, duplicated=0, expired=0),  # also of a row that is gone
        Totals(inserted=10, succeeded=9, failed=1, cancelled=0, duplicated=0, expired=0),
        Totals(inserted=10, succeeded=10, failed=0, cancelled=0, duplicated=1, expired=0),
    ],
    ids=["lost", "failed", "duplicated"],
)
def test_a_soak_fails_for_a_lost_failed_or_duplicated_request(totals: Totals) -> None:
    assert not totals.well


@pytest.mark.parametrize(("limit", "within"), [(None, True), (11, True), (10, False)])
def test_a_percentile_over_its_limit_is_reported(limit: float | None, within: bool) -> None:
    assert latency.report("a wait", [1.0] * 10 + [10.0] * 10, limit) is within


@pytest.mark.parametrize(("ours", "within"), [(1.9, True), (2.0, False)])
def test_an_insert_that_costs_twice_a_plain_one_is_reported(ours: float, within: bool) -> None:
    assert insert.report(20_000, ours, 1.0) is within


@pytest.mark.parametrize(("begun", "fair"), [((0, 3, 1), True), ((0, 4, 1), False)])
def test_a_clip_that_waits_for_as_many_files_as_there_are_places_is_reported(
    begun: tuple[int, ...], fair: bool
) -> None:
    assert Measured(1, [1.0] * 3, begun, held=2).fair(4) is fair


def test_a_rate_is_what_was_ended_between_the_first_and_the_last_look() -> None:
    rate = Rate([Look(1.0, 900), Look(2.0, 600), Look(3.0, 500)])
    assert (rate.per_second, rate.seconds, str(rate)) == (200, 2, "200")


def test_a_queue_that_ran_empty_ends_the_measurement_before_that() -> None:
    rate = Rate([Look(1.0, 900), Look(3.0, 100), Look(5.0, 0)])
    assert (rate.per_second, rate.seconds, str(rate)) == (400, 2, "400 (empty after 2.0 s)")


def test_a_queue_that_was_emptied_at_once_gives_no_rate() -> None:
    with pytest.raises(ValueError, match="ran empty"):
        Rate([Look(1.0, 900), Look(2.0, 0)])
