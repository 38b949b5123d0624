"""A real zygote and real files. Only the models are replaced, by arithmetic with known answers."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest_asyncio
import torch

from sentinel_worker.detectors.registry import DetectorSpec
from sentinel_worker.domain.media_facts import ClipGeometry, FaceSearch, MediaLimits, SoundGeometry
from sentinel_worker.domain.verdict import VerdictRule
from sentinel_worker.domain.windows import COVERAGE, CoverageRule, FrameStep, WindowPolicy
from sentinel_worker.inference.examiner import ExaminedFile, Examiner
from sentinel_worker.inference.roster import Roster
from sentinel_worker.inference.scorer import Scorer
from sentinel_worker.media.zygote import Zygote

EDGE, FRAMES, SAMPLES = 16, 8, 16_000


@dataclass
class Brightness:
    """Scores white pictures as fake (log-odds 8) and black ones as real (-8)."""

    spec: DetectorSpec
    clip_dtype = np.dtype(np.uint8)

    @property
    def clip_shape(self) -> tuple[int, ...]:
        return (self.spec.window_policy.frames, 3, EDGE, EDGE)

    def geometry(self, frames_per_second: float) -> ClipGeometry:
        policy = self.spec.window_policy
        step = policy.step.seconds_at(frames_per_second)
        return ClipGeometry(policy.frames, step, "squash", EDGE, EDGE, EDGE, EDGE)

    def score(self, clips: torch.Tensor) -> torch.Tensor:
        return clips.float().mean(dim=(1, 2, 3, 4)) / 255 * 16 - 8

    def describe(self) -> dict[str, object]:
        return {"key": self.spec.key}


@dataclass
class Shrillness:
    """Scores a 4 kHz tone as fake (log-odds 8) and a 100 Hz tone as real (nearly -8)."""

    spec: DetectorSpec
    clip_dtype = np.dtype(np.float32)
    clip_shape = (SAMPLES,)

    def geometry(self, frames_per_second: float) -> SoundGeometry:
        return SoundGeometry(SAMPLES)

    def score(self, clips: torch.Tensor) -> torch.Tensor:
        crossings = (clips[:, 1:] * clips[:, :-1] < 0).float().mean(dim=1)
        return crossings * 32 - 8

    def describe(self) -> dict[str, object]:
        return {"key": self.spec.key}


def spec(key: str, **changes: Any) -> DetectorSpec:
    values: dict[str, Any] = {
        "title": key,
        "window_policy": WindowPolicy(FRAMES, FrameStep(source_frames=1), budget=8),
        "rule": VerdictRule("mean", fake_windows=0),
        "licence": "none",
    }
    return DetectorSpec(key=key, **(values | changes))


SINGLE = WindowPolicy(1, FrameStep(source_frames=1), budget=4)
SPECS = {
    "clips": spec("clips"),
    "faces": spec("faces", faces=FaceSearch()),
    "closer": spec("closer", window_policy=WindowPolicy(FRAMES, FrameStep(source_frames=1), budget=4, refine=2)),
    "stills": spec("stills", task="image", media_kind="image", window_policy=SINGLE),
    "frames": spec("frames", task="image", window_policy=SINGLE),
    "sound": spec(
        "sound",
        task="audio",
        media_kind="audio",
        window_policy=WindowPolicy(SAMPLES, FrameStep(source_frames=1), budget=4),
        notice="Tones alone.",
    ),
}

Examine = Callable[..., Awaitable[ExaminedFile]]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def zygote() -> AsyncIterator[Zygote]:
    running = Zygote()
    await running.start()
    yield running
    await running.stop()


@pytest_asyncio.fixture(loop_scope="module")
async def examine(zygote: Zygote, tmp_path: Path) -> AsyncIterator[Examine]:
    """Examine a file with the detectors of these keys, in this order."""
    detectors = {key: (Shrillness if one.task == "audio" else Brightness)(one) for key, one in SPECS.items()}
    scorers = {key: Scorer(detector) for key, detector in detectors.items()}
    work = tmp_path / "work"
    work.mkdir()
    for scorer in scorers.values():
        await scorer.__aenter__()

    async def run(path: Path, *keys: str, coverage: CoverageRule = COVERAGE, **options: Any) -> ExaminedFile:
        roster = Roster({key: scorers[key] for key in keys})
        return await Examiner(zygote, roster, MediaLimits(), work, coverage).examine(path, **options)

    yield run
    for scorer in scorers.values():
        await scorer.close()
