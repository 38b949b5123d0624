"""`sentinel-worker analyze`: files examined here and now, without a database."""

from __future__ import annotations

import asyncio
import json
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Column, Table

from sentinel_worker.commands.opening import opened
from sentinel_worker.detectors.base import Device
from sentinel_worker.detectors.registry import DetectorSpec
from sentinel_worker.errors import CodedError, Fatal
from sentinel_worker.examiner import Examined, Examiner
from sentinel_worker.reports import analysis_page

COLOURS = {"fake": "red", "real": "green", "uncertain": "yellow", "not_applicable": "dim"}
MEANING = (
    "A verdict is a statistical judgement and no proof: see docs/detectors.md for what it means and what it does not."
)

console = Console()
errors = Console(stderr=True)


@dataclass(frozen=True, slots=True)
class Answered:
    """One source and what came of it: either is set."""

    source: str
    examined: Examined | None = None
    error: CodedError | None = None

    def as_json(self) -> dict[str, Any]:
        """A line of `--json`."""
        if self.examined is not None:
            return {"source": self.source, **self.examined.document}
        assert self.error is not None
        return {"source": self.source, "error_code": self.error.code, "error_message": self.error.message}


async def analyze(
    sources: Sequence[str],
    specs: Sequence[DetectorSpec],
    *,
    key: str | None,
    device: Device,
    as_json: bool,
    report: Path | None,
) -> bool:
    """Examine every source and print the answers; whether all of them got one. Raises Fatal."""
    with tempfile.TemporaryDirectory() as name:
        async with opened(specs, device) as examiner:
            answers = await _examine_all(examiner, sources, key, Path(name) if report else None)
        if report is not None:
            found = [(one.as_json(), one.examined.pictures if one.examined else {}) for one in answers]
            await asyncio.to_thread(analysis_page.write, report, found)
            errors.print(f"report written to {escape(str(report))}")
    if as_json:
        for answer in answers:
            print(json.dumps(answer.as_json()))  # noqa: T201  # for machines: no markup, no wrapping
    else:
        _show(answers)
    return all(answer.error is None for answer in answers)


async def _examine_all(
    examiner: Examiner, sources: Sequence[str], key: str | None, folder: Path | None
) -> list[Answered]:
    """In the order of the sources, a few at a time, with a bar for each."""
    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.percentage:>3.0f} %"))
    with Progress(*columns, TimeElapsedColumn(), console=errors, transient=True) as bars:

        async def one(number: int, source: str) -> Answered:
            bar = bars.add_task(escape(source[-40:]), total=1.0)
            keep = folder / str(number) if folder else None
            if keep is not None:
                keep.mkdir()
            answered = await _answer(examiner, source, key, keep, lambda done: bars.update(bar, completed=done))
            bars.remove_task(bar)
            return answered

        return await asyncio.gather(*(one(number, source) for number, source in enumerate(sources)))


async def _answer(
    examiner: Examiner, source: str, key: str | None, keep: Path | None, on_progress: Callable[[float], None]
) -> Answered:
    address = source.startswith(("http://", "https://"))
    try:
        examined = await examiner.examine(
            source if address else Path(source), key=key, keep=keep, on_progress=on_progress
        )
    except Fatal:
        raise
    except CodedError as error:
        return Answered(source, error=error)
    return Answered(source, examined)


def _show(answers: Sequence[Answered]) -> None:
    headings = ("kind", "verdict", "P(fake)", "windows", "detector", "seconds")
    # A long name gives way, the answer does not.
    columns = (Column(heading, no_wrap=True) for heading in headings)
    table = Table(Column("file", overflow="fold"), *columns, box=None, pad_edge=False)
    for answer in answers:
        table.add_row(*_cells(answer))
    console.print(table)
    for answer in answers:
        if answer.error is not None:
            console.print(f"[red]{escape(answer.source)}[/red]: {escape(answer.error.message)}")
    notices = dict.fromkeys(one.examined.document["notice"] for one in answers if one.examined)
    for notice in filter(None, notices):
        console.print(f"[yellow]{escape(notice)}[/yellow]")
    if any(answer.examined for answer in answers):
        console.print(MEANING)


def _cells(answer: Answered) -> tuple[str, ...]:
    name = escape(Path(answer.source).name or answer.source)
    if answer.examined is None:
        return (name, "", "[red]failed[/red]", "", "", "", "")
    found, analysis = answer.examined.document, answer.examined.analysis
    verdict, probability = found["verdict"], found["fake_probability"]
    shown = f"[{COLOURS[verdict]}]{verdict}[/{COLOURS[verdict]}]"
    reason = f" ({found['verdict_reason']})" if found["verdict_reason"] else ""
    tracks = [track.scorer.spec.key for track in (analysis.pictures, analysis.sound) if track is not None]
    return (
        name,
        analysis.facts.kind,
        shown + reason,
        f"{probability:.3f}" if probability is not None else "",
        str(len(found["timeline"])),
        " + ".join(tracks),
        f"{sum(found['timings'].values()):.1f}",
    )
