"""Choice of a command's detectors: checks that they are known and on this machine before imports that take seconds."""

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
    """A detector whose weights are not on this machine."""

    spec: DetectorSpec
    why: Fatal


def all_here(keys: Sequence[str], detectors_file: Path | None) -> list[DetectorSpec]:
    """Return the detectors of `keys`, in this order.

    Raises Fatal: 'bad_detectors', 'unknown_detector', what `locate` raises, and 'checkpoint_missing', which names all
    detectors without weights on this machine if there are several.
    """
    here, absent = _part(keys, detectors_file)
    if len(absent) == 1:
        raise absent[0].why
    if absent:
        raise Fatal("checkpoint_missing", f"The weights of {_names(absent)} are not on this machine: {_remedy(absent)}")
    return here


def those_here(keys: Sequence[str], detectors_file: Path | None) -> list[DetectorSpec]:
    """Return the detectors of `keys` that have weights here, and name the others on standard error.

    Raises as `all_here` does, but 'checkpoint_missing' only if none has weights.
    """
    here, absent = _part(keys, detectors_file)
    if not here:
        raise Fatal("checkpoint_missing", f"No detector has its weights on this machine: {_remedy(absent)}")
    if absent:
        said = plain(f"skipping {_names(absent)}, whose weights are not on this machine: {_remedy(absent)}")
        errors.print(f"[yellow]{said}[/yellow]", soft_wrap=True)
    return here


def _part(keys: Sequence[str], detectors_file: Path | None) -> tuple[list[DetectorSpec], list[_Absent]]:
    if not keys:
        raise Fatal("unknown_detector", "No detector is named; set SENTINEL_DETECTOR or --detector.")
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
    """Return one command for all that can be pulled, and the reasons why the others are missing."""
    pulled = [one.spec for one in absent if one.spec.folder is None]
    command = [pull_command(*pulled)] if pulled else []
    return "; ".join(command + [one.why.message for one in absent if one.spec.folder is not None])
