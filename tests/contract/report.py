"""Report on a replay of recorded exchanges with one service, for people, tests and docs/contract.md.

Every exchange of a recording is in the report once: it matches, it differs (explained by a reason, or unexplained,
which fails the run), or it was left out, with the reason why it could not be compared.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

Outcome = Literal["match", "explained", "unexplained", "left out"]


@dataclass(frozen=True, slots=True)
class Entry:
    """One exchange: its label, its outcome, the differing lines, and the reason if any."""

    label: str
    outcome: Outcome
    lines: tuple[str, ...] = ()
    reason: str | None = None

    def __str__(self) -> str:
        return "\n".join(f"{self.label}: {line}" for line in self.lines or ("",))


class Report:
    """The exchanges of one service, in replay order."""

    def __init__(self, service: str) -> None:
        self.service = service
        self.entries: list[Entry] = []

    def match(self, label: str) -> None:
        """Record a response that matches the recording."""
        self.entries.append(Entry(label, "match"))

    def differ(self, label: str, lines: list[str], reason: str | None = None) -> None:
        """Record a response that differs in `lines`; without a `reason` it is unexplained."""
        self.entries.append(Entry(label, "explained" if reason else "unexplained", tuple(lines), reason))

    def leave_out(self, label: str, reason: str) -> None:
        """Record an exchange that was not compared. Raises ValueError without a reason."""
        if not reason:
            raise ValueError(f"{label} is left out without a reason")
        self.entries.append(Entry(label, "left out", reason=reason))

    def compared(self, label: str, lines: list[str]) -> None:
        """Record a match without `lines`, otherwise an unexplained difference."""
        if lines:
            self.differ(label, lines)
        else:
            self.match(label)

    @property
    def unexplained(self) -> list[Entry]:
        """Differences without a reason."""
        return self._of("unexplained")

    @property
    def explained(self) -> list[Entry]:
        """Differences with a reason."""
        return self._of("explained")

    @property
    def left_out(self) -> list[Entry]:
        """Exchanges that were not compared."""
        return self._of("left out")

    @property
    def in_scope(self) -> int:
        """Number of exchanges that were compared."""
        return len(self.entries) - len(self.left_out)

    @property
    def matching(self) -> int:
        """Number of exchanges that match the recording."""
        return len(self._of("match"))

    @property
    def share(self) -> float:
        """`matching / in_scope`, 0 if nothing was compared."""
        return self.matching / self.in_scope if self.in_scope else 0.0

    def _of(self, outcome: Outcome) -> list[Entry]:
        return [entry for entry in self.entries if entry.outcome == outcome]

    def summary(self) -> str:
        """Return the summary as one line."""
        return (
            f"{self.service}: {self.matching} of {self.in_scope} exchanges match ({self.share:.1%}), "
            f"{len(self.explained)} differ for a known reason, {len(self.unexplained)} without one, "
            f"{len(self.left_out)} left out"
        )

    def text(self) -> str:
        """Format for a terminal: the summary, and every exchange that did not match."""
        lines = [self.summary()]
        lines += [f"  DIFFERS   {line}" for entry in self.unexplained for line in str(entry).splitlines()]
        for title, entries in (("explained", self.explained), ("left out ", self.left_out)):
            lines += [f"  {title} {reason}: {'; '.join(labels)}" for reason, labels in _by_reason(entries)]
        return "\n".join(lines)

    def markdown(self) -> str:
        """Format as this service's section in docs/contract.md."""
        lines = [
            f"## {self.service}",
            "",
            f"{self.matching} of {self.in_scope} compared exchanges match ({self.share:.1%}).",
            "",
        ]
        for title, entries in (("Differences", self.explained), ("Not compared", self.left_out)):
            if entries:
                lines += [f"| {title} | reason |", "| --- | --- |"]
                lines += [
                    f"| {'<br>'.join(f'`{_cell(label)}`' for label in labels)} | {_cell(reason)} |"
                    for reason, labels in _by_reason(entries)
                ]
                lines.append("")
        return "\n".join(lines)


def _by_reason(entries: Iterable[Entry]) -> list[tuple[str, list[str]]]:
    """Group labels by reason, both in order of first appearance."""
    gathered: dict[str, list[str]] = {}
    for entry in entries:
        gathered.setdefault(entry.reason or "", []).append(entry.label)
    return list(gathered.items())


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")
