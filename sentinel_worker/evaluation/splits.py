"""Split and resample labelled files by group: one source is never on both sides."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
from sklearn.model_selection import StratifiedGroupKFold  # type: ignore[import-untyped]

from sentinel_worker.domain.errors import Fatal
from sentinel_worker.evaluation.scores import Booleans

Indices = npt.NDArray[np.int64]

MOST_FOLDS = 5


def folds(labels: Booleans, groups: Indices, seed: int) -> list[tuple[Indices, Indices]]:
    """Return pairs of (fitted, held out) indices; each file is held out once, and fitted files include both classes.

    Makes at most five folds, fewer if few groups contain a class. Raises Fatal('calibration_impossible') if no split
    exists.
    """
    most = min(MOST_FOLDS, *(len(np.unique(groups[labels == label])) for label in (False, True)))
    for count in range(most, 1, -1):
        splitter = StratifiedGroupKFold(count, shuffle=True, random_state=seed)
        pairs = [(fitted, held) for fitted, held in splitter.split(labels, labels, groups) if len(held)]
        if all(len(np.unique(labels[fitted])) > 1 for fitted, _ in pairs):
            return pairs
    raise Fatal(
        "calibration_impossible",
        "Fakes and reals must come from at least two groups each, so that a calibration can be measured on "
        "groups that it was not fitted on. Give all files of one source the same group, and add sources.",
    )


def resamples(labels: Booleans, groups: Indices, count: int, seed: int) -> Iterator[Indices]:
    """Yield `count` bootstrap samples of whole groups, each with both classes."""
    rng = np.random.default_rng(seed)
    members = [np.flatnonzero(groups == group) for group in np.unique(groups)]
    made = 0
    while made < count:
        drawn = np.concatenate([members[i] for i in rng.integers(len(members), size=len(members))])
        if len(np.unique(labels[drawn])) > 1:
            made += 1
            yield drawn
