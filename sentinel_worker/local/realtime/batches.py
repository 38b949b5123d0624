"""Changes from PostgreSQL's log in the portions and the form that `_realtime.apply` takes."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any, Final

from sentinel_worker.local.realtime.pgoutput import Change, Relation, Row

LARGEST_RECORD_BYTES: Final = 1024 * 1024
CHANGES_A_CALL: Final = 500


def by_table(changes: Iterable[Change]) -> Iterable[tuple[Relation, list[Change]]]:
    """Runs of changes of one table, in the order of the log and at most CHANGES_A_CALL long."""
    run: list[Change] = []
    for change in changes:
        if run and (run[0].relation.oid != change.relation.oid or len(run) == CHANGES_A_CALL):
            yield run[0].relation, run
            run = []
        run.append(change)
    if run:
        yield run[0].relation, run


def as_json(changes: Sequence[Change]) -> str:
    """`[{i, type, at, new, old, large}, …]`: values are PostgreSQL's texts, those of json columns are JSON."""
    return json.dumps(
        [
            {
                "i": index,
                "type": change.kind,
                "at": change.committed_at.strftime("%Y-%m-%dT%H:%M:%S.")
                + f"{change.committed_at.microsecond // 1000:03d}Z",
                "new": _columns(change, change.new),
                "old": _columns(change, change.old),
                "large": change.size_bytes > LARGEST_RECORD_BYTES,
            }
            for index, change in enumerate(changes)
        ]
    )


def _columns(change: Change, row: Row | None) -> dict[str, Any]:
    jsons = change.relation.json_columns
    return {
        name: json.loads(value) if value is not None and name in jsons else value for name, value in (row or {}).items()
    }
