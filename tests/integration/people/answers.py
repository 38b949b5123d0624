"""What the product answers about a file, through a real decoding child: one flat row of facts.

Films are judged by the demo detector. Of a sound, every half second is asked for. The thumbnail shows how a picture
lies and what it holds.
"""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
from PIL import Image

from sentinel_worker.confine.private_folders import private_directory
from sentinel_worker.detectors.registry import DEMO_DETECTOR, DETECTORS
from sentinel_worker.domain.derived import Still
from sentinel_worker.domain.errors import CodedError
from sentinel_worker.domain.media_facts import Clip, MediaLimits, SoundGeometry
from sentinel_worker.domain.windows import FrameStep, WindowPolicy, plan_windows
from sentinel_worker.inference.examiner import Examiner, open_examiner
from sentinel_worker.media.child_client import Child
from sentinel_worker.media.protocol import ProbedFacts
from tests.integration.people.expectations import Facts

Grey = npt.NDArray[np.float64]

HALF_SECOND: Final = SoundGeometry(samples=8000)
EVERY_HALF_SECOND: Final = WindowPolicy(HALF_SECOND.samples, FrameStep(source_frames=1), budget=10_000)
# Encoders add silence in front, and decoders drop the first frames of a sound that was cut out.
_UNHEARD_SECONDS: Final = 0.1
_COLOURS: Final = {
    "black": (0, 0, 0),
    "white": (255, 255, 255),
    "grey": (128, 128, 128),
    "red": (220, 30, 30),
    "green": (30, 160, 30),
    "blue": (30, 30, 220),
}
_POSES: Final[Mapping[str, Callable[[Grey], Grey]]] = {
    "as filmed": lambda seen: seen,
    "mirrored": lambda seen: seen[:, ::-1],
    "upside down": lambda seen: seen[::-1],
    "turned": lambda seen: seen[::-1, ::-1],
}
_SMALL: Final = (64, 48)


@dataclass(frozen=True, slots=True)
class Answerer:
    """Asks a running product about files. `filmed` is the thumbnail with whose pose those of films are compared."""

    examiner: Examiner
    work: Path
    filmed: Grey

    async def answer(self, path: Path) -> Facts:
        """All facts that were found about the file, or the refusal."""
        try:
            async with _opened(self.examiner, self.work, path) as child:
                facts = await child.probe()
                row = _described(facts)
                if facts.has_audio:
                    row |= {"heard": await _heard(child, facts)}
                if facts.kind != "audio":
                    row |= _seen(await _thumbnail(child, facts), self.filmed)
            if facts.kind == "video":
                row |= await self._judged(path)
        except CodedError as error:
            return {"refused": error.code, "sentence": error.message}
        return row

    async def _judged(self, path: Path) -> dict[str, object]:
        document = (await self.examiner.examine(path, key=DEMO_DETECTOR)).document
        probability = document["fake_probability"]
        return {
            "verdict": document["verdict"],
            "reason": document["verdict_reason"],
            "probability": None if probability is None else round(probability, 3),
        }


@asynccontextmanager
async def open_answerer(filmed: Path, work: Path) -> AsyncIterator[Answerer]:
    """Start the product with the demo detector; `filmed` is an upright clip."""
    async with open_examiner([DETECTORS[DEMO_DETECTOR]], work, device="cpu") as examiner:
        async with _opened(examiner, work, filmed) as child:
            thumbnail = await _thumbnail(child, await child.probe())
        yield Answerer(examiner, work, _grey(thumbnail))


@asynccontextmanager
async def _opened(examiner: Examiner, work: Path, path: Path) -> AsyncIterator[Child]:
    async with private_directory(work) as folder:
        copy = folder / "media"
        shutil.copyfile(path, copy)
        async with examiner.zygote.open(copy, folder, MediaLimits()) as child:
            yield child


async def _thumbnail(child: Child, facts: ProbedFacts) -> Image.Image:
    (path,) = await child.derive([Still(facts.duration_seconds / 2)], names=["seen.webp"])
    with Image.open(path) as image:
        image.load()
        return image


def _seen(thumbnail: Image.Image, filmed: Grey) -> dict[str, object]:
    width, height = thumbnail.size
    centre = thumbnail.crop((width // 4, height // 4, width - width // 4, height - height // 4))
    return {
        "shape": round(width / height, 2),
        "colour": _colour(centre),
        "pose": _pose(_grey(thumbnail), filmed),
    }


def _described(facts: ProbedFacts) -> dict[str, object]:
    return {
        "kind": facts.kind,
        "container": facts.container,
        "seconds": facts.duration_seconds,
        "frames": facts.frame_count,
        "rate": facts.planning_rate if facts.kind == "video" else 0.0,
        "size": f"{facts.width}x{facts.height}",
        "video_tracks": facts.video_tracks,
        "has_audio": facts.has_audio,
        "sound_seconds": facts.audio_seconds,
        "audio_tracks": facts.audio_tracks,
        "channels": facts.channels,
        "truncated": facts.truncated,
    }


async def _heard(child: Child, facts: ProbedFacts) -> str:
    """`whole` if every half second of the sound can be heard, or what is missing; silence is named too."""
    windows = plan_windows(facts.audio_seconds, HALF_SECOND.sample_rate, EVERY_HALF_SECOND)
    answers = [one async for one in child.sounds(windows, HALF_SECOND)]
    clips = [one for one in answers if isinstance(one, Clip)]
    partly = [one for one in clips if _missing(one) > _UNHEARD_SECONDS]
    if len(answers) < len(windows):
        return f"{len(windows) - len(answers)} of {len(windows)} windows damaged"
    if not clips:
        return "silence"
    if partly:
        return f"{len(partly)} of {len(windows)} windows in part"
    return "one channel" if all(one.heard and one.heard.channel for one in clips) else "whole"


def _missing(clip: Clip) -> float:
    """Seconds of the window that are not in the clip."""
    if clip.heard is None or clip.heard.seconds is None:
        return 0.0
    return clip.window.duration_seconds - clip.heard.seconds


def _colour(image: Image.Image) -> str:
    """The nearest of a few colours."""
    mean = np.asarray(image.convert("RGB"), dtype=float).mean(axis=(0, 1))
    return min(_COLOURS, key=lambda name: float(np.abs(mean - _COLOURS[name]).sum()))


def _grey(image: Image.Image) -> Grey:
    return np.asarray(image.convert("L").resize(_SMALL), dtype=float)


def _pose(seen: Grey, filmed: Grey) -> str:
    """How the picture lies, compared with the clip as it was filmed."""
    return min(_POSES, key=lambda name: float(np.abs(_POSES[name](seen) - filmed).mean()))
