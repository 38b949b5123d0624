"""How long to wait before the next try: exponential with full jitter, so that workers do not retry in step."""

from typing import Final, cast

from tenacity import BaseRetrying, RetryCallState, wait_random_exponential

LARGEST_FAILURES: Final = 64
"""More of them change nothing."""


def full_jitter_seconds(failures: int, *, first: float, cap: float) -> float:
    """Seconds to wait after `failures` failures in a row, drawn from [0, min(cap, first × 2^(failures − 1))].

    `first` and `cap` are seconds. Any number of failures is fine, for ever.
    """
    return wait_random_exponential(multiplier=first, max=cap)(_after(failures))


def _after(failures: int) -> RetryCallState:
    """What tenacity's waits read; the loops here decide themselves what is tried again, so nothing else is in it."""
    state = RetryCallState(cast(BaseRetrying, None), None, (), {})
    state.attempt_number = min(max(failures, 1), LARGEST_FAILURES)
    return state
