"""A matrix of rights, and the differences between the listed and the found one."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from tests.rights import allowed
from tests.rights.universe import Universe

Cells = dict[str, str]


@dataclass(slots=True)
class Matrix:
    """Letters by section, object and role.

    `asked` counts statements or calls; `unclear` lists answers that are neither yes nor no.
    """

    cells: dict[tuple[str, str], Cells] = field(default_factory=dict)
    asked: int = 0
    unclear: list[str] = field(default_factory=list)

    def add(self, section: str, name: str, role: str, letter: str) -> None:
        """Record one answer; an empty letter is a refusal."""
        cells = self.cells.setdefault((section, name), {})
        cells[role] = cells.get(role, "") + letter

    def merge(self, other: "Matrix") -> None:
        """Add another matrix's answers."""
        self.asked += other.asked
        self.unclear += other.unclear
        for key, cells in other.cells.items():
            self.cells.setdefault(key, {}).update(cells)


def listed() -> Matrix:
    """Return the matrix of allowed.py."""
    matrix = Matrix()
    for section in SECTIONS:
        for name, cells in _listed_rows(section):
            matrix.cells[section, name] = dict(zip(allowed.ROLES, cells, strict=True))
    return matrix


SECTIONS = (
    "schemas", "tables", "columns", "functions", "platform rows", "objects", "buckets", "changes", "topics",
)  # fmt: skip


def _listed_rows(section: str) -> Iterable[tuple[str, allowed.Cells]]:
    if section == "columns":
        for table, groups in allowed.COLUMNS.items():
            for names, cells in groups.items():
                yield from ((f"{table}.{name}", cells) for name in names.split())
        return
    plain: Mapping[str, Mapping[str, allowed.Cells]] = {
        "schemas": allowed.SCHEMAS,
        "tables": allowed.TABLES,
        "functions": allowed.FUNCTIONS,
        "platform rows": allowed.PLATFORM_ROWS,
        "objects": allowed.OBJECTS,
        "buckets": allowed.BUCKETS,
        "changes": allowed.CHANGES,
        "topics": allowed.TOPICS,
    }
    yield from plain[section].items()


def differences(
    found: Matrix,
    sections: Iterable[str],
    roles: Iterable[str],
    letters: str | None = None,
    *,
    of_a_sample: bool = False,
) -> list[str]:
    """Return the differences both ways: allowed but listed as refused, and refused but listed as allowed.

    `letters` (in upper case) restricts the comparison to the letters asked, `of_a_sample` to the objects asked.
    Unclear answers are differences, too.
    """
    expected, sections, roles = listed(), set(sections), list(roles)
    lines = []
    for section, name in dict.fromkeys([*found.cells, *(() if of_a_sample else expected.cells)]):
        if section not in sections:
            continue
        for role in roles:
            wanted = _only(expected.cells.get((section, name), {}).get(role, ""), letters)
            got = _only(found.cells.get((section, name), {}).get(role, ""), letters)
            lines += [f"{role} may {letter} on {section} {name}, which is not listed" for letter in _extra(got, wanted)]
            lines += [f"{role} may not {letter} on {section} {name}, as is listed" for letter in _extra(wanted, got)]
    return lines + found.unclear


def _only(cell: str, letters: str | None) -> str:
    return cell if letters is None else "".join(letter for letter in cell if letter.upper() in letters)


def _extra(these: str, those: str) -> list[str]:
    return [letter for letter in dict.fromkeys(these) if letter not in those]


def unlisted(universe: Universe) -> list[str]:
    """Return objects that exist but are not listed, and listed ones that do not exist."""
    exists: dict[str, list[str]] = {
        "schemas": universe.schemas,
        "tables": [table.name for table in universe.tables],
        "columns": [f"{c['table']}.{c['name']}" for table in universe.tables for c in table.columns],
        "functions": [function.name for function in universe.functions],
        "buckets": universe.buckets,
        "changes": universe.published,
    }
    lines = []
    for section, names in exists.items():
        known: Any = dict(_listed_rows(section))
        lines += [f"{section} {name} exists and is not listed" for name in names if name not in known]
        lines += [f"{section} {name} is listed and does not exist" for name in known if name not in names]
    return lines
