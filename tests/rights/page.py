"""The matrix as a page for people: docs/rights.md, and what `python -m tests.rights` prints."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from tests.rights import allowed
from tests.rights.matrix import Cells, Matrix, listed
from tests.rights.missing import TAKEN
from tests.rights.world import CALLERS

PATH = Path(__file__).parents[2] / "docs" / "rights.md"

_HEAD = """\
# Who may do what

An upper-case letter reaches every row, a lower-case one the caller's own rows alone. What has no letter is refused.
Users A and B have the same role; where a row names a user, or a place belongs to A or B, they differ. `admin` is the
SQL role `postgres`, which no API key has. Tests ask every cell of this page as a real statement or call, in SQL and
by HTTP (`make test` by HTTP of what the API exposes, and of places of every kind; `make test-all` everything).
`python -m tests.rights` prints what they find; this page is written by `python -m tests.rights --write`.
"""
_SCHEMA_TEXT = "No API exposes the schemas `sentinel` and `supabase_migrations`."
_TABLE_TEXT = """\
The first line of a table is about all of it: I and U stand there where at least one column has them. The lines
below it name columns that differ."""
_PLATFORM_TEXT = """\
These rows stand for objects and messages. D is a DELETE as the Storage API makes it; a plain one is refused to
everybody. `<A>` is user A's id, `<gone>` that of a deleted user whose files the outbox names, `other` a bucket that is
not ours. The objects that the outbox names lie in `media/<A>/`."""
_OBJECT_TEXT = """\
By HTTP on `/storage/v1`. The other end of a move or copy is the caller's own folder of `media`, for workers that of
user A in `derived`."""
_CHANGE_TEXT = """\
Realtime sends the primary keys of deleted rows to everybody who may read the table (D): that is the platform's way."""
_TOPIC_TEXT = """\
Public topics belong to the platform and carry nothing of ours: what is sent on the public topic `sentinel:wake` is not
heard on the private one."""
_TAKEN_TEXT = """\
## A right of a worker is missing

`sentinel-worker check` prints it, and so does the worker: at its start, and in the log when a call is refused later
(`right.missing`, or the error of the call). Where the last column says so the worker does not start, and one that runs
claims nothing until the right is there: no request loses an attempt. Without the others the job goes on.

| taken away | printed | needed |
| --- | --- | --- |
"""
_CALLERS = tuple(who.name for who in CALLERS)


def render(matrix: Matrix) -> str:
    """The page of a matrix, in the order of allowed.py."""
    order = {key: place for place, key in enumerate(listed().cells)}
    keys = sorted(matrix.cells, key=lambda key: (order.get(key, len(order)), key))
    found = Matrix({key: matrix.cells[key] for key in keys})
    roles, callers = allowed.ROLES, _CALLERS
    parts = [
        _HEAD,
        _section("Schemas", {"X": "use", "C": "create objects in it"}, roles, _rows(found, "schemas"), _SCHEMA_TEXT),
        _section("Tables", _only("SIUDTRGM"), roles, _table_rows(found), _TABLE_TEXT),
        _section("Functions", {"X": "execute"}, roles, _function_rows(found)),
        _section("Objects and messages in SQL", _only("SIUD"), roles, _rows(found, "platform rows"), _PLATFORM_TEXT),
        _section("Objects", allowed.OBJECT_LETTERS, callers, _rows(found, "objects"), _OBJECT_TEXT),
        _section("Buckets", allowed.BUCKET_LETTERS, callers, _rows(found, "buckets")),
        _section("Changes that Realtime delivers", _only("IUD"), callers, _rows(found, "changes"), _CHANGE_TEXT),
        _section("Topics", allowed.TOPIC_LETTERS, callers, _rows(found, "topics"), _TOPIC_TEXT),
        _TAKEN_TEXT + "".join(f"| {one.right} | {one.sentence} | {'yes' if one.needed else 'no'} |\n" for one in TAKEN),
    ]
    return "\n".join(parts)


def _only(letters: str) -> dict[str, str]:
    return {letter: allowed.LETTERS[letter] for letter in letters}


def _section(
    title: str, letters: Mapping[str, str], roles: Sequence[str], rows: Iterable[tuple[str, Cells]], text: str = ""
) -> str:
    legend = "; ".join(f"{letter} {meaning}" for letter, meaning in letters.items())
    lines = [f"## {title}", "", *([text, ""] if text else []), f"{legend}.", "", f"| | {' | '.join(roles)} |"]
    lines.append("| --- |" + " --- |" * len(roles))
    for name, cells in rows:
        lines.append(f"| {name} |" + "".join(f" {_ordered(cells.get(role, ''), letters)} |" for role in roles))
    return "\n".join(lines) + "\n"


def _ordered(cell: str, letters: Iterable[str]) -> str:
    order = "".join(letters)
    return "".join(sorted(set(cell), key=lambda letter: (order.index(letter.upper()), letter))) or "–"


def _rows(matrix: Matrix, section: str) -> list[tuple[str, Cells]]:
    return [(f"`{name}`", cells) for (kind, name), cells in matrix.cells.items() if kind == section]


def _function_rows(matrix: Matrix) -> Iterable[tuple[str, Cells]]:
    """Functions of `public` one by one; those of other schemas together where their cells are the same."""
    together: dict[tuple[str, ...], list[str]] = {}
    for name, cells in _rows(matrix, "functions"):
        if name.startswith("`public."):
            yield name, cells
        else:
            key = tuple(cells.get(role, "") for role in allowed.ROLES)
            together.setdefault(key, []).append(f"{name.partition('(')[0]}`")
    for key, names in together.items():
        yield " ".join(names), dict(zip(allowed.ROLES, key, strict=True))


def _table_rows(matrix: Matrix) -> Iterable[tuple[str, Cells]]:
    for name, cells in _rows(matrix, "tables"):
        prefix = f"{name.strip('`')}."
        columns = {
            column.removeprefix(prefix): rights
            for (kind, column), rights in matrix.cells.items()
            if kind == "columns" and column.startswith(prefix)
        }
        yield name, {role: cells[role] + "".join(c.get(role, "") for c in columns.values()) for role in cells}
        groups: dict[tuple[str, ...], list[str]] = {}
        for column, rights in columns.items():
            groups.setdefault(tuple(rights.get(role, "") for role in allowed.ROLES), []).append(column)
        for key, names in groups.items() if len(groups) > 1 else ():
            yield "↳ " + " ".join(f"`{name}`" for name in names), dict(zip(allowed.ROLES, key, strict=True))
