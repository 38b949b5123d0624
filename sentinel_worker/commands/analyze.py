"""`sentinel-worker analyze`: examine files immediately, without a database."""

from __future__ import annotations

import asyncio
import importlib
import json
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Column, Table

from sentinel_worker.commands.console import needs_extra, plain, writing
from sentinel_worker.commands.opened_examiner import opened
from sentinel_worker.detectors.base import Device
from sentinel_worker.detectors.registry import DetectorSpec
from sentinel_worker.domain.errors import CodedError, Fatal
from sentinel_worker.inference.examiner import ExaminedFile, Examiner
from sentinel_worker.inference.result import software
from sentinel_worker.sources.choosing import shown

COLOURS = {"fake": "red", "real": "green", "uncertain": "yellow", "not_applicable": "dim"}
MEANING = (
    "A verdict is a statistical judgement, not proof: docs/detectors.md explains what it means and what it does not."
)

console = Console()
errors = Console(stderr=True)


@dataclass(frozen=True, slots=True)
class Answered:
    """One source, as it may be shown, and its answer or its error."""

    source: str
    examined: ExaminedFile | None = None
    error: CodedError | None = None

    def as_json(self) -> dict[str, Any]:
        """Return a line of `--json`."""
        if self.examined is not None:
            return {"source": self.source, **self.examined.document, "software": software()}
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
    """Examine every source and print the answers; returns True if all of them got one. Raises Fatal."""
    if report is not None:
        _check_report(report)
    with tempfile.TemporaryDirectory() as name:
        async with opened(specs, device) as examiner:
            answers = await _examine_all(examiner, sources, key, Path(name) if report else None)
        _print(answers, as_json=as_json)
        if report is not None:
            await asyncio.to_thread(_write, report, answers)
            errors.print(f"report written to {plain(report)}", soft_wrap=True)
    return all(answer.error is None for answer in answers)


def _print(answers: Sequence[Answered], *, as_json: bool) -> None:
    if not as_json:
        _show(answers)
        return
    for answer in answers:
        print(json.dumps(answer.as_json()))  # noqa: T201  # for machines: no markup, no wrapping


def _write(report: Path, answers: Sequence[Answered]) -> None:
    from sentinel_worker.reports import analysis_page  # needs the extra `reports`, only here

    with writing(report):
        analysis_page.write(report, [(one.as_json(), one.examined.pictures if one.examined else {}) for one in answers])


def _check_report(report: Path) -> None:
    """Raise Fatal if the report cannot be written, before minutes of work."""
    with needs_extra("reports"):
        importlib.import_module("sentinel_worker.reports.analysis_page")
    if not report.parent.is_dir():
        raise Fatal("report_unwritable", f"{report} cannot be written: the folder {report.parent} does not exist.")


async def _examine_all(
    examiner: Examiner, sources: Sequence[str], key: str | None, folder: Path | None
) -> list[Answered]:
    """Examine the sources, a few at a time, with a progress bar for each; returns answers in their order."""
    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.percentage:>3.0f} %"))
    with Progress(*columns, TimeElapsedColumn(), console=errors, transient=True) as bars:

        async def one(number: int, source: str) -> Answered:
            bar = bars.add_task(plain(shown(source)[-40:]), total=1.0, visible=False)
            keep = folder / str(number) if folder else None
            if keep is not None:
                keep.mkdir()
            answered = await _answer(
                examiner, source, key, keep, lambda done: bars.update(bar, completed=done, visible=True)
            )
            bars.remove_task(bar)
            return answered

        return await asyncio.gather(*(one(number, source) for number, source in enumerate(sources)))


async def _answer(
    examiner: Examiner, source: str, key: str | None, keep: Path | None, on_progress: Callable[[float], None]
) -> Answered:
    try:
        examined = await examiner.examine(source, key=key, keep=keep, on_progress=on_progress)
    except Fatal:
        raise
    except CodedError as error:
        return Answered(shown(source), error=error)
    return Answered(shown(source), examined)


def _show(answers: Sequence[Answered]) -> None:
    headings = ("kind", "verdict", "P(fake)", "windows", "detector", "seconds")
    # A long name is shortened, the answer is not.
    columns = (Column(heading, no_wrap=True) for heading in headings)
    table = Table(Column("file", overflow="fold"), *columns, box=None, pad_edge=False)
    for answer in answers:
        table.add_row(*_cells(answer))
    console.print(table)
    for answer in answers:
        if answer.error is not None:
            console.print(f"[red]{plain(answer.source)}[/red]: {plain(answer.error.message)}", soft_wrap=True)
    notices = dict.fromkeys(one.examined.document["notice"] for one in answers if one.examined)
    for notice in filter(None, notices):
        console.print(f"[yellow]{plain(notice)}[/yellow]")
    if any(answer.examined for answer in answers):
        console.print(MEANING)


def _cells(answer: Answered) -> tuple[str, ...]:
    name = plain(Path(answer.source).name or answer.source)
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
