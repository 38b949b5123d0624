"""Which detectors a command asks: known, and on this machine, before seconds of imports are spent on them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from rich.console import Console

from sentinel_worker.detectors.catalogue import read_detectors
from sentinel_worker.detectors.files import locate
from sentinel_worker.detectors.registry import DetectorSpec, find_detector, split_keys
from sentinel_worker.errors import Fatal

NOT_HERE = frozenset({"checkpoint_missing", "checkpoint_unpinned"})

errors = Console(stderr=True)


def all_here(keys: Sequence[str], detectors_file: Path | None) -> None:
    """Raises Fatal, as `the_one` does, for the first of these that cannot be served."""
    for key in keys:
        the_one(key, detectors_file)


def the_one(key: str, detectors_file: Path | None) -> DetectorSpec:
    """Raises Fatal('unknown_detector') or the one of `locate`, where its weights are not on this machine."""
    spec = find_detector(key, read_detectors(detectors_file))
    locate(spec)
    return spec


def defaults_here(defaults: str, detectors_file: Path | None) -> list[DetectorSpec]:
    """Those of the keys in `defaults`, by commas, whose weights are on this machine. Raises Fatal."""
    return _those_here(split_keys(defaults), read_detectors(detectors_file))


def _those_here(keys: Sequence[str], detectors: Mapping[str, DetectorSpec]) -> list[DetectorSpec]:
    """The detectors of `keys` whose weights are on this machine; the others are named on standard error.

    Raises Fatal('checkpoint_missing') when none is left, and 'unknown_detector'.
    """
    here, missing = [], []
    for spec in (find_detector(key, detectors) for key in keys):
        try:
            locate(spec)
        except Fatal as error:
            if error.code not in NOT_HERE:
                raise
            missing.append(spec)
        else:
            here.append(spec)
    names = ", ".join(spec.key for spec in missing)
    pull = f"sentinel-worker models pull {' '.join(spec.key for spec in missing)}"
    if not here:
        raise Fatal("checkpoint_missing", f"No detector is on this machine: {pull}")
    if missing:
        errors.print(f"[yellow]without {names}, which are not on this machine: {pull}[/yellow]", soft_wrap=True)
    return here
