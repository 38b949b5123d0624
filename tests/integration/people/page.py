"""The table of files, what they should be answered, and what they were answered."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tests.integration.people.expectations import Facts, described, differences


@dataclass(frozen=True, slots=True)
class Line:
    """A file's expected and found facts."""

    name: str
    expected: Facts
    found: Facts

    @property
    def is_right(self) -> bool:
        """True if every expected fact was found."""
        return not differences(self.expected, self.found)

    def __str__(self) -> str:
        """A row of the table: of what was found, only what was asked for, unless the file was refused."""
        asked = {name: self.found[name] for name in self.expected if name in self.found} or self.found
        return f"| {self.name} | {described(self.expected)} | {described(asked)} | {'yes' if self.is_right else 'NO'} |"


HEADING = "| file | expected | answered | ok |\n| --- | --- | --- | --- |"


def summary(lines: Sequence[Line]) -> str:
    """The count, and each difference in words."""
    wrong = [line for line in lines if not line.is_right]
    said = [f"{line.name}: {'; '.join(differences(line.expected, line.found))}" for line in wrong]
    return "\n".join([f"{len(lines) - len(wrong)} of {len(lines)} files are answered as expected", *said])
