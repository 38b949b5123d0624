"""Full jitter: within bounds and spread over all of them, for any number of failures."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sentinel_worker.concurrency.backoff import full_jitter_seconds


def test_the_bound_doubles_up_to_the_cap(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(random, "uniform", lambda _low, high: high)
    bounds = [full_jitter_seconds(n, first=0.5, cap=60) for n in range(10)]
    assert bounds == [0.5, 0.5, 1, 2, 4, 8, 16, 32, 60, 60]


@given(failures=st.integers(min_value=0, max_value=10**9))
def test_every_delay_is_within_the_cap(failures: int) -> None:
    assert 0 <= full_jitter_seconds(failures, first=0.5, cap=60) <= 60


def test_delays_use_the_whole_range() -> None:
    delays = [full_jitter_seconds(20, first=0.5, cap=60) for _ in range(500)]
    assert min(delays) < 6
    assert max(delays) > 54
