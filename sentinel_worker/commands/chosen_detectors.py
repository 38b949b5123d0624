"""Which detectors a command asks: known, and on this machine, before seconds of imports are spent on them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from rich.console import Console

from sentinel_worker.commands.console import plain
from sentinel_worker.detectors.catalogue import read_detectors
from sentinel_worker.detectors.files import NOT_HERE, locate, pull_command
from sentinel_worker.detectors.registry import DetectorSpec, find_detectors
from sentinel_worker.domain.errors import Fatal

errors = Console(stderr=True)


class _Absent(NamedTuple):
    """A detector whose weights are not here."""

    spec: DetectorSpec
    why: Fatal


def all_here(keys: Sequence[str], detectors_file: Path | None) -> list[DetectorSpec]:
    """The detectors of `keys`, in this order.

    Raises Fatal: 'bad_detectors', 'unknown_detector', what `locate` raises, and 'checkpoint_missing' where several have
    no weights here, all of which it names.
    """
    here, absent = _part(keys, detectors_file)
    if len(absent) == 1:
        raise absent[0].why
    if absent:
        raise Fatal("checkpoint_missing", f"{_names(absent)} are not on this machine: {_remedy(absent)}")
    return here


def those_here(keys: Sequence[str], detectors_file: Path | None) -> list[DetectorSpec]:
    """As `all_here`, but the detectors without weights are left out and named on standard error while one is left."""
    here, absent = _part(keys, detectors_file)
    if not here:
        raise Fatal("checkpoint_missing", f"No detector is on this machine: {_remedy(absent)}")
    if absent:
        said = plain(f"without {_names(absent)}, which are not on this machine: {_remedy(absent)}")
        errors.print(f"[yellow]{said}[/yellow]", soft_wrap=True)
    return here


def _part(keys: Sequence[str], detectors_file: Path | None) -> tuple[list[DetectorSpec], list[_Absent]]:
    if not keys:
        raise Fatal("unknown_detector", "No detector is named.")
    known = read_detectors(detectors_file)
    here, absent = [], []
    for spec in find_detectors(keys, known):
        try:
            locate(spec)
        except Fatal as error:
            if error.code not in NOT_HERE:
                raise
            absent.append(_Absent(spec, error))
        else:
            here.append(spec)
    return here, absent


def _names(absent: Sequence[_Absent]) -> str:
    return ", ".join(one.spec.key for one in absent)


def _remedy(absent: Sequence[_Absent]) -> str:
    """One command for all that can be pulled, and what is wrong with the others."""
    pulled = [one.spec for one in absent if one.spec.folder is None]
    command = [pull_command(*pulled)] if pulled else []
    return "; ".join(command + [one.why.message for one in absent if one.spec.folder is not None])
