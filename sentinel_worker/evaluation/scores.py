"""A detector's scores of labelled files, as arrays. Other rules can be tried on them without scoring again."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from sentinel_worker.domain.errors import Fatal
from sentinel_worker.domain.verdict import Judgement, Verdict, VerdictRule, WindowScore, judge
from sentinel_worker.evaluation.manifest import Entry

Floats = npt.NDArray[np.float64]
Booleans = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class ScoredFile:
    """A labelled file with the log-odds of its windows; without any, `failure` is the reason as a sentence.

    `duration_seconds` is the length of the track that the windows divide, `sha256` the hash of the file, `part_windows`
    the number of windows that are judged together, and `unread_seconds` the part that no decoder reads (both as in
    `verdict.judge`).
    """

    entry: Entry
    windows: tuple[WindowScore, ...] = ()
    duration_seconds: float = 0.0
    sha256: str | None = None
    failure: str | None = None
    part_windows: int | None = None
    unread_seconds: float = 0.0

    def judge(self, rule: VerdictRule) -> Judgement | None:
        """Judge by `rule`, as a worker with the default coverage does; returns None if the file failed."""
        if not self.windows:
            return None
        return judge(
            self.windows,
            self.duration_seconds,
            rule,
            part_windows=self.part_windows,
            unread_seconds=self.unread_seconds,
        )


@dataclass(frozen=True, slots=True, eq=False)
class Scores:
    """Scored files in one order: `labels` (True: fake), `groups` (each file's group number, from 0), and `log_odds` of
    being fake at temperature 1. `not_applicable` and `failed` have no probability."""

    files: tuple[ScoredFile, ...]
    labels: Booleans
    groups: npt.NDArray[np.int64]
    log_odds: Floats
    not_applicable: tuple[ScoredFile, ...]
    failed: tuple[ScoredFile, ...]

    @property
    def group_count(self) -> int:
        return len(np.unique(self.groups))


@dataclass(frozen=True, slots=True, eq=False)
class Answers:
    """Calibrated P(fake), 0 to 1, and the verdict of each file of a `Scores`, in its order."""

    probabilities: Floats
    verdicts: npt.NDArray[np.str_]


def collect(files: Sequence[ScoredFile], rule: VerdictRule) -> Scores:
    """Separate `files` with a probability from those without; raises Fatal('manifest_invalid') if identical files have
    different labels or groups."""
    _check_contents(files)
    judged = [(file, file.judge(rule)) for file in files]
    scored = [(file, j.log_odds) for file, j in judged if j and j.log_odds is not None]
    names = [file.entry.group for file, _ in scored]
    return Scores(
        files=tuple(file for file, _ in scored),
        labels=np.array([file.entry.is_fake for file, _ in scored], dtype=np.bool_),
        groups=np.unique(np.array(names, dtype=np.str_), return_inverse=True)[1],
        log_odds=np.array([log_odds for _, log_odds in scored], dtype=np.float64),
        not_applicable=tuple(file for file, j in judged if j and j.fake_probability is None),
        failed=tuple(file for file, j in judged if j is None),
    )


def answer(files: Sequence[ScoredFile], rules: Sequence[VerdictRule]) -> Answers:
    """Judge each of `files`, which all have a probability, by its rule in `rules`."""
    judged = [file.judge(rule) for file, rule in zip(files, rules, strict=True)]
    probabilities = [j.fake_probability for j in judged if j and j.fake_probability is not None]
    verdicts: list[Verdict] = [j.verdict for j in judged if j]
    return Answers(np.array(probabilities, dtype=np.float64), np.array(verdicts, dtype=np.str_))


def _check_contents(files: Sequence[ScoredFile]) -> None:
    """Refuse identical files with different labels or groups: they could be on both sides of a split."""
    contents: defaultdict[str, list[Entry]] = defaultdict(list)
    for file in files:
        if file.sha256 is not None:
            contents[file.sha256].append(file.entry)
    for first, *others in contents.values():
        for other in others:
            where = f"Lines {first.line} and {other.line} of the manifest name identical files"
            if other.is_fake != first.is_fake:
                raise Fatal("manifest_invalid", f"{where} with different labels.")
            if other.group != first.group:
                raise Fatal("manifest_invalid", f"{where} with different groups.")
