"""The matrix as a page for people: docs/rights.md, and the output of `python -m tests.rights`."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from tests.rights import allowed
from tests.rights.matrix import Cells, Matrix, listed
from tests.rights.missing import TAKEN
from tests.rights.world import CALLERS

PATH = Path(__file__).parents[2] / "docs" / "rights.md"

_HEAD = """\
# Who may do what

An upper-case letter covers every row, a lower-case one only the caller's own rows. Everything without a letter is
refused. Users A and B have the same role; they differ only where a row names a user or a place belongs to A or B.
`admin` is the SQL role `postgres`, which no API key has. Tests ask every cell of this page as a real statement or
call, in SQL and over HTTP (`make test` asks over HTTP about what the API exposes and places of every kind;
`make test-all` about everything). `python -m tests.rights` prints what they find, and `python -m tests.rights --write`
writes this page.
"""
_SCHEMA_TEXT = "No API exposes the schemas `sentinel` and `supabase_migrations`."
_TABLE_TEXT = """\
The first line of a table covers the whole table: it has I and U if at least one column has them. The lines below it
list columns that differ. A user may name the default of a column that is not an input, such as `status: 'queued'`. The
role `sentinel_admin`, which no API becomes, may select [what admins read](database.md#views), and nothing else.

Users have grants for more columns, and for UPDATE and DELETE, only so that the triggers `analysis_requests_accept`,
`analysis_requests_refuse` and `analysis_results_refuse` can refuse them with a sentence instead of "permission denied
for table". Row security refuses the same in case a trigger is missing, and the triggers refuse in case row security is
switched off. To give users such a right, drop the trigger, revoke what they shall not have, and add a policy."""
_PLATFORM_TEXT = """\
These are the rows of objects and messages. D is a DELETE as the Storage API sends it; a plain DELETE is refused to
everybody. `<A>` is user A's id, `<gone>` the id of a deleted user whose files the outbox names, `other` a bucket that
is not ours. The objects that the outbox names are in `media/<A>/`."""
_OBJECT_TEXT = """\
Over HTTP on `/storage/v1`. The other end of a move or copy is the caller's own folder of `media`, for workers user A's
in `derived`."""
_CHANGE_TEXT = """\
Supabase Realtime sends the primary keys of deleted rows to everybody who may read the table (D)."""
_TOPIC_TEXT = """\
Public topics belong to the platform and carry none of our messages: a message on the public topic `sentinel:wake` does
not arrive on the private one."""
_TAKEN_TEXT = """\
## A right of a worker is missing

`sentinel-worker check` prints a missing right. So does the worker, at its start and in the log when a call is refused
later (`right.missing`, or the error of the call). Without a needed right the worker does not start, and a running one
claims nothing until the right is back, so that no request loses an attempt. Without the others it keeps working. While
`realtime.messages` does not exist, because Realtime has not run yet, it prints that `sentinel-worker migrate` is to be
run later ([why](database.md#applying-the-migrations)).

| missing | printed | needed |
| --- | --- | --- |
"""
_CALLERS = tuple(who.name for who in CALLERS)


def render(matrix: Matrix) -> str:
    """Return the page of a matrix, in the order of allowed.py."""
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
    """Yield functions of `public` one by one; those of other schemas are grouped by equal cells."""
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
