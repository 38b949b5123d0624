"""The same splices in real films: decoded and scored by the demo detector with the worker's own modules, and judged.

The demo detector takes the mean of its windows, because a single one of its answers is not reliable, but a suspicious
window leaves no `real`. The detectors for faces take the highest windows (`top_k`), so the same scores are judged by
that rule, too.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

import torch

from examples.demo_checkpoint.evaluate import judge_file
from sentinel_worker.detectors.registry import TOP_K
from sentinel_worker.detectors.video import VideoDetector
from sentinel_worker.domain.verdict import Judgement, judge
from tests.integration.splices.films import LongFilms, Splice
from tests.integration.splices.plan import lands

HEADINGS: Final = (
    "| film | splice | longest gap | a window lands on it | verdicts (demo) | verdicts (top_k) |\n"
    "| --- | --- | --- | --- | --- | --- |"
)


@dataclass(frozen=True, slots=True)
class Answered:
    """A film with a splice, judged by the demo detector's rule and by `top_k`."""

    splice: Splice
    demo: Judgement
    top_k: Judgement

    @property
    def inside(self) -> list[float]:
        """P(fake) of the windows that lie in the splice."""
        start, end = self.splice.start_seconds, self.splice.end_seconds
        found = ((answer.window, answer.fake_probability) for answer in self.demo.windows)
        return [p for window, p in found if p and start <= window.start_seconds and window.end_seconds <= end]

    @property
    def outside(self) -> list[float]:
        """P(fake) of the windows that show nothing of the splice."""
        start, end = self.splice.start_seconds, self.splice.end_seconds
        return [
            answer.fake_probability
            for answer in self.demo.windows
            if answer.fake_probability is not None and not lands([answer.window], start, end)
        ]

    @property
    def landed(self) -> bool:
        """True if a window shows a part of the splice."""
        return len(self.outside) < len(self.demo.windows)


def answered(
    detector: VideoDetector, films: LongFilms, splice_seconds: float, starts: Sequence[float]
) -> list[Answered]:
    """Make, decode and judge a film with a splice at each of `starts`."""

    def one(start: float) -> Answered:
        splice = films.splice(start, splice_seconds)
        demo = judge_file(detector, splice.path)
        scores = [answer.score for answer in demo.windows]
        top_k = judge(scores, films.seconds, TOP_K, part_windows=detector.spec.window_policy.budget)
        return Answered(splice, demo, top_k)

    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # a clip is too small for more
    try:
        return [one(start) for start in starts]
    finally:
        torch.set_num_threads(threads)


def row(minutes: int, splice_seconds: float, found: Sequence[Answered]) -> str:
    """A row of the table."""
    landed = sum(one.landed for one in found)
    gap = max(one.demo.coverage.longest_gap_seconds for one in found)
    verdicts = (_counted(one.demo for one in found), _counted(one.top_k for one in found))
    film = f"| {minutes} min | {splice_seconds:g} s | {gap:.1f} s"
    return f"{film} | {landed} of {len(found)} | {verdicts[0]} | {verdicts[1]} |"


def _counted(judgements: Iterable[Judgement]) -> str:
    counts = Counter(judgement.verdict for judgement in judgements)
    return ", ".join(f"{verdict} {count}" for verdict, count in sorted(counts.items()))
