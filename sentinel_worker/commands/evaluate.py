"""`sentinel-worker evaluate`: measure and calibrate a detector on labelled files."""

from __future__ import annotations

import asyncio
import datetime
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.progress import Progress
from rich.table import Column, Table

from sentinel_worker.commands.console import plain, writing
from sentinel_worker.commands.opened_examiner import opened
from sentinel_worker.detectors.base import Device
from sentinel_worker.detectors.files import locate
from sentinel_worker.detectors.registry import DetectorSpec
from sentinel_worker.domain.errors import CodedError, Fatal
from sentinel_worker.evaluation.evaluate import Evaluation, Measured
from sentinel_worker.evaluation.evaluate import evaluate as measure
from sentinel_worker.evaluation.fitting import check_counts
from sentinel_worker.evaluation.manifest import Entry, read_manifest
from sentinel_worker.evaluation.scores import ScoredFile
from sentinel_worker.inference.examiner import Examiner
from sentinel_worker.reports import evaluation_page

REPLICATES: Final = 500
"""Bootstrap samples for the 95 % intervals."""
console = Console()
errors = Console(stderr=True)


async def evaluate(manifest: Path, spec: DetectorSpec, *, device: Device, out: Path, seed: int) -> None:
    """Score the files of `manifest`, print the metrics, and write the report and the calibration to `out`.

    Raises Fatal: the codes of `read_manifest` and `evaluation.evaluate`, and 'report_unwritable'.
    """
    entries = read_manifest(manifest)
    check_counts([entry.is_fake for entry in entries])
    with writing(out):  # before scoring, which may take hours
        await asyncio.to_thread(out.mkdir, parents=True, exist_ok=True)
    async with opened([spec], device) as examiner:
        described = examiner.roster.scorers[spec.key].describe() | {"notice": spec.notice}
        files = await _score(examiner, spec.key, entries)
    with errors.status("fitting and measuring"):
        digest = await asyncio.to_thread(locate(spec).weights_sha256)
        evaluation = await asyncio.to_thread(
            measure,
            files,
            spec.rule,
            spec.key,
            today=datetime.datetime.now(datetime.UTC).date(),
            replicates=REPLICATES,
            weights_sha256=digest,
            seed=seed,
        )
    _show(evaluation)
    with writing(out):
        report = await asyncio.to_thread(evaluation_page.write, evaluation, described, out)
    console.print(f"{plain(report)}: the report, with its pictures beside it", soft_wrap=True)
    console.print(
        f"{plain(out / evaluation_page.CALIBRATION)}: name it as this detector's `calibration` in the file of "
        "SENTINEL_DETECTORS",
        soft_wrap=True,
    )


async def _score(examiner: Examiner, key: str, entries: Sequence[Entry]) -> list[ScoredFile]:
    with Progress(console=errors, transient=True) as bars:
        bar = bars.add_task("scoring", total=len(entries))
        scored = (_score_one(examiner, key, entry, lambda: bars.advance(bar)) for entry in entries)
        return list(await asyncio.gather(*scored))


async def _score_one(examiner: Examiner, key: str, entry: Entry, on_done: Callable[[], None]) -> ScoredFile:
    try:
        examined = await examiner.examine(entry.path, key=key)
    except Fatal:
        raise
    except CodedError as error:
        return ScoredFile(entry, failure=error.message)
    finally:
        on_done()
    analysis = examined.analysis
    return ScoredFile(
        entry,
        tuple(answer.score for answer in analysis.main.judgement.windows),
        analysis.facts.duration_seconds if analysis.pictures else analysis.facts.audio_seconds,
        examined.document["media"]["sha256"],
        part_windows=analysis.main.scorer.spec.window_policy.budget,
        unread_seconds=analysis.facts.unread_seconds,
    )


def _show(evaluation: Evaluation) -> None:
    scores = evaluation.scores
    console.print(
        f"{len(scores.files)} files in {scores.group_count} groups; "
        f"{len(scores.not_applicable)} not applicable, {len(scores.failed)} failed"
    )
    table = Table(Column("figure"), Column("before"), Column("after, on other groups"), box=None, pad_edge=False)
    for name in asdict(evaluation.before.metrics):
        table.add_row(name, _cell(name, evaluation.before), _cell(name, evaluation.after))
    console.print(table)
    fitted = evaluation.calibration
    console.print(
        f"temperature {fitted.temperature:.3f}, real below {fitted.real_below:.3f}, fake from {fitted.fake_from:.3f}"
    )


def _cell(name: str, measured: Measured) -> str:
    values = measured.metrics.as_dict()
    if name not in values:
        return "none"
    lower, upper = measured.intervals[name]
    return f"{values[name]:.3f}  ({lower:.3f} to {upper:.3f})"
