"""Batches of changes from PostgreSQL's log, in the form that `_realtime.apply` takes."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Final

from sentinel_local_supabase.realtime.pgoutput import Change, Relation, Row

LARGEST_RECORD_BYTES: Final = 1024 * 1024
CHANGES_A_CALL: Final = 500


def by_table(changes: Iterable[Change]) -> Iterable[tuple[Relation, list[Change]]]:
    """Yield runs of changes of one table, in log order and at most CHANGES_A_CALL long."""
    run: list[Change] = []
    for change in changes:
        if run and (run[0].relation.oid != change.relation.oid or len(run) == CHANGES_A_CALL):
            yield run[0].relation, run
            run = []
        run.append(change)
    if run:
        yield run[0].relation, run


def as_json(changes: Sequence[Change]) -> str:
    """Serialize to `[{i, type, at, new, old, large}, …]`: values are PostgreSQL's texts, in json columns JSON."""
    return "[" + ",".join(_change_json(index, change) for index, change in enumerate(changes)) + "]"


def _change_json(index: int, change: Change) -> str:
    milliseconds = change.committed_at.microsecond // 1000
    head = {
        "i": index,
        "type": change.kind,
        "at": change.committed_at.strftime("%Y-%m-%dT%H:%M:%S.") + f"{milliseconds:03d}Z",
        "large": change.size_bytes > LARGEST_RECORD_BYTES,
    }
    new, old = (_columns_json(change, row or {}) for row in (change.new, change.old))
    return f'{json.dumps(head)[:-1]},"new":{new},"old":{old}}}'


def _columns_json(change: Change, row: Row) -> str:
    """Serialize a row; json columns stay as PostgreSQL wrote them, as Python cannot parse every depth and number."""
    jsons = change.relation.json_columns
    pairs = (
        f"{json.dumps(name)}:{value if value is not None and name in jsons else json.dumps(value)}"
        for name, value in row.items()
    )
    return "{" + ",".join(pairs) + "}"
