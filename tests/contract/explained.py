"""Differences between two responses and the reasons for them: value by value, never for an exchange as a whole."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tests.contract.report import Report

_LONGEST_CHARACTERS = 300


@dataclass(frozen=True, slots=True)
class Difference:
    """`kind` is `status`, `body` or the name of a header; a body's values are masked and `short`."""

    kind: str
    here: int | str | None
    there: int | str | None

    def __str__(self) -> str:
        return f"{self.kind} {self.here}, recorded {self.there}"


@dataclass(frozen=True, slots=True)
class Known:
    """The differences of one exchange that `reason` explains: the local values by kind."""

    reason: str
    here: Mapping[str, int | str | None]

    def strays(self, found: Sequence[Difference]) -> list[str]:
        """Return what the reason does not cover: other kinds, other values, and kinds that do not differ."""
        lines = [
            f"{one}, explained is {self.here[one.kind]}" if one.kind in self.here else str(one)
            for one in found
            if one.kind not in self.here or one.here != self.here[one.kind]
        ]
        missing = self.here.keys() - {one.kind for one in found}
        return lines + [f"{kind} is as recorded, though it is explained: {self.reason}" for kind in sorted(missing)]


def judge(report: Report, label: str, found: Sequence[Difference], known: Known | None = None) -> None:
    """Report an exchange. Its differences count as explained only if all of them are."""
    if known is not None and not (strays := known.strays(found)):
        report.differ(label, [str(one) for one in found], known.reason)
    else:
        report.compared(label, [str(one) for one in found] if known is None else strays)


def short(body: str) -> str:
    """Return a body, or size and hash of a long one."""
    if len(body) <= _LONGEST_CHARACTERS:
        return body
    return f"{body[:100]}… ({len(body)} characters, sha256={hashlib.sha256(body.encode()).hexdigest()})"
