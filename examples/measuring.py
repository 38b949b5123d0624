"""Figures of the demo checkpoints: files with known labels through the worker's own modules, right answers by trait."""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from sentinel_worker.detectors.registry import DetectorSpec
from sentinel_worker.domain.verdict import Judgement
from sentinel_worker.inference.examiner import open_examiner

CLEAN = "clean"


@dataclass(frozen=True, slots=True)
class Labelled:
    """A file. `group` is 'clean' or the kind of tampering; `traits` are words to count by, such as its format."""

    path: Path
    group: str
    traits: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Answer:
    """The detector's answer about one file, with the file's group and traits."""

    group: str
    judgement: Judgement
    traits: Mapping[str, str] = field(default_factory=dict)

    @property
    def is_right(self) -> bool:
        """True if the verdict is right; `uncertain` is wrong for both classes."""
        return self.judgement.verdict == ("real" if self.group == CLEAN else "fake")


async def examine_all(spec: DetectorSpec, files: Iterable[Labelled]) -> list[Answer]:
    """Judge the files as the command `analyze` does: each is decoded in a confined child."""
    with tempfile.TemporaryDirectory() as work:
        async with open_examiner([spec], Path(work), device="cpu") as examiner:
            return [
                Answer(file.group, (await examiner.examine(file.path)).analysis.main.judgement, file.traits)
                for file in files
            ]


def accuracy(answers: Sequence[Answer]) -> float:
    """Return the share of right verdicts."""
    return sum(answer.is_right for answer in answers) / len(answers)


def area_under_curve(answers: Sequence[Answer]) -> float:
    """Return the chance that a tampered file has a higher probability than a clean one."""
    clean = [a.judgement.fake_probability or 0.0 for a in answers if a.group == CLEAN]
    tampered = [a.judgement.fake_probability or 0.0 for a in answers if a.group != CLEAN]
    won = sum((t > c) + 0.5 * (t == c) for t in tampered for c in clean)
    return won / (len(clean) * len(tampered))


def table(answers: Sequence[Answer]) -> str:
    """Format accuracy, AUC, both classes' verdicts, and the share of right ones by group and trait as lines of text."""
    lines = [f"{len(answers)} files: accuracy {accuracy(answers):.3f}, AUC {area_under_curve(answers):.3f}"]
    for is_clean, name in ((True, CLEAN), (False, "tampered")):
        counts = Counter(a.judgement.verdict for a in answers if (a.group == CLEAN) == is_clean)
        lines.append(f"  {name:10} " + ", ".join(f"{verdict} {count}" for verdict, count in sorted(counts.items())))
    described = [({"group": answer.group, **answer.traits}, answer) for answer in answers]
    for name in dict.fromkeys(name for words, _ in described for name in words):
        by_word: dict[str, list[Answer]] = {}
        for words, answer in described:
            by_word.setdefault(words[name], []).append(answer)
        for word, some in sorted(by_word.items()):
            unsure = sum(answer.judgement.verdict == "uncertain" for answer in some)
            lines.append(f"  {word:10} {len(some):4} files, right {accuracy(some):.3f}, uncertain {unsure}")
    return "\n".join(lines)
