"""What a fault cost: the figures of a case, printed as a row of a table (`-s` shows it)."""

from collections.abc import Sequence
from typing import Any, NamedTuple


class Costs(NamedTuple):
    """Numbers of requests, and of the attempts that they lost."""

    inserted: int
    succeeded: int
    attempts_lost: int
    failed: int


def printed_costs(case: str, rows: Sequence[dict[str, Any]]) -> Costs:
    """Print what `rows`, the requests of a case when all are final, cost; return it."""
    costs = Costs(
        inserted=len(rows),
        succeeded=sum(row["status"] == "succeeded" for row in rows),
        attempts_lost=sum(row["attempt"] - 1 + row["crashes"] for row in rows),
        failed=sum(row["status"] == "failed" for row in rows),
    )
    print(f"{case:40}", *(f"{name.replace('_', ' ')} {value:2}" for name, value in costs._asdict().items()))  # noqa: T201
    return costs
