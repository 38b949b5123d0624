"""Labelled files whose log-odds are drawn from a known truth."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from sentinel_worker.domain.media_facts import Face, SkipReason
from sentinel_worker.domain.verdict import VerdictRule, WindowScore
from sentinel_worker.domain.windows import Window
from sentinel_worker.evaluation.manifest import Entry
from sentinel_worker.evaluation.scores import ScoredFile

RULE = VerdictRule("mean", fake_windows=0)


def scored(
    number: int,
    is_fake: bool,
    *logits: float,
    group: str = "",
    name: str = "",
    sha256: str | None = None,
    skipped: SkipReason | None = None,
    failure: str | None = None,
    faces: Sequence[Face] = (),
) -> ScoredFile:
    """The file `number`, with a one-second window for each of `logits`."""
    name = name or f"{number:04d}.mp4"
    entry = Entry(Path("/nowhere") / name, name, is_fake, group or name, number + 2)
    if skipped is not None:
        windows: tuple[WindowScore, ...] = (WindowScore(Window(0.0, 1.0), skipped=skipped),)
    else:
        windows = tuple(
            WindowScore(Window(float(start), start + 1.0), (logit,), tuple(faces)) for start, logit in enumerate(logits)
        )
    return ScoredFile(entry, windows, float(max(len(windows), 1)), sha256 or f"{number:064x}", failure)


def overconfident(count: int, temperature: float, *, seed: int = 0, per_group: int = 4) -> list[ScoredFile]:
    """`count` files whose log-odds are right once divided by `temperature`: of those with P(fake) = p, p are fakes."""
    rng = np.random.default_rng(seed)
    true = rng.normal(0, 2, count)
    fakes = rng.random(count) < 1 / (1 + np.exp(-true))
    return [
        scored(number, bool(is_fake), float(temperature * logit), group=f"source-{number // per_group}")
        for number, (logit, is_fake) in enumerate(zip(true, fakes, strict=True))
    ]
