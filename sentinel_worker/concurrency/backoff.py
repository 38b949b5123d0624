"""Exponential backoff with full jitter, so that workers do not retry in step."""

from typing import Final, cast

from tenacity import BaseRetrying, RetryCallState, wait_random_exponential

LARGEST_FAILURES: Final = 64
"""Counting further changes nothing: every cap is reached long before."""


def full_jitter_seconds(failures: int, *, first: float, cap: float) -> float:
    """Seconds to wait after `failures` failures in a row, drawn from [0, min(cap, first × 2^(failures − 1))].

    `first` and `cap` are seconds. `failures` may grow without limit.
    """
    return wait_random_exponential(multiplier=first, max=cap)(_after(failures))


def _after(failures: int) -> RetryCallState:
    """State that tenacity's waits read. The loops here decide what is retried, so it holds nothing else."""
    state = RetryCallState(cast(BaseRetrying, None), None, (), {})
    state.attempt_number = min(max(failures, 1), LARGEST_FAILURES)
    return state
