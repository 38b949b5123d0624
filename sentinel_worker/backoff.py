"""How long to wait before the next try: exponential with full jitter, so that workers do not retry in step."""

import random
from collections.abc import Callable
from typing import Final

LARGEST_EXPONENT: Final = 62


def full_jitter_seconds(
    failures: int,
    *,
    first: float,
    cap: float,
    uniform: Callable[[float, float], float] = random.uniform,
) -> float:
    """Seconds to wait after `failures` failures in a row, drawn from [0, min(cap, first × 2^(failures − 1))].

    `first` and `cap` are seconds. Any number of failures is fine, for ever.
    """
    exponent = min(max(failures - 1, 0), LARGEST_EXPONENT)
    return uniform(0.0, min(cap, first * 2.0**exponent))
