"""A hint is given up for rows that it did not announce: soon enough, and seldom while Realtime is overloaded."""

import itertools

from sentinel_worker.wake.connection import ConnectionTimes
from sentinel_worker.wake.silence import Silence

MINUTE, HOUR = 60, 3600
TIMES = ConnectionTimes()


def renewals(silence: Silence, queued: range) -> list[int]:
    """Return the times of the rows, none announced, after which the hint is renewed."""
    return [second for second in queued if silence.unannounced(second)]


def a_silence() -> Silence:
    return Silence(TIMES.deaf, TIMES.deaf_cap)


def test_a_burst_and_the_minute_of_a_rate_limit_renew_nothing() -> None:
    silence = a_silence()
    assert not renewals(silence, range(65))
    silence.heard()
    assert not renewals(silence, range(65, 130))


def test_rare_rows_renew_a_hint_that_announced_none_of_three() -> None:
    assert renewals(a_silence(), range(0, 3 * HOUR, HOUR)) == [2 * HOUR]


def test_a_day_of_overload_costs_ever_fewer_renewals() -> None:
    found = renewals(a_silence(), range(24 * HOUR))
    assert len(found) < 30
    assert found[0] < 2 * MINUTE
    pauses = [after - before for before, after in itertools.pairwise(found)]
    assert pauses == sorted(pauses)
    assert pauses[-1] <= HOUR + 1


def test_a_hint_ends_the_doubt() -> None:
    silence = a_silence()
    renewals(silence, range(HOUR))
    silence.heard()
    assert renewals(silence, range(HOUR, 2 * HOUR))[0] == HOUR + TIMES.deaf


def test_a_new_connection_starts_without_evidence_and_keeps_the_patience() -> None:
    silence = a_silence()
    assert renewals(silence, range(3 * MINUTE)) == [TIMES.deaf]
    silence.connected()
    began = 10 * MINUTE
    assert renewals(silence, range(began, began + HOUR))[0] == began + 2 * TIMES.deaf
