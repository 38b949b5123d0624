"""Choice of the loaded detectors for a file, by the request and by the file's own kind."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Literal

from sentinel_worker.detectors.base import Device
from sentinel_worker.detectors.loading import load_detector
from sentinel_worker.detectors.registry import DetectorSpec
from sentinel_worker.domain.errors import Permanent
from sentinel_worker.domain.media_facts import Kind
from sentinel_worker.domain.request import MediaKind
from sentinel_worker.inference.scorer import Scorer
from sentinel_worker.inference.scoring_thread import ScoringThread
from sentinel_worker.media.protocol import ProbedFacts

PICTURE_FILES = frozenset({"apng", "avif", "gif", "heic", "webp"})
"""Containers of pictures that may be animated: a request for an image may mean one of them."""
_MAX_REPEATED_SHARE = 0.5

Unheard = Literal["not_asked", "no_detector"]
"""Reason why sound is not looked at: the request named a detector of pictures, or no detector of sound is loaded."""


@dataclass(frozen=True, slots=True)
class Choice:
    """Detectors of the pictures and of the sound; at least one is set.

    `instead_of` is the key of the detector that could not take the pictures. `unheard` is set if `sound` is not.
    """

    pictures: Scorer | None = None
    sound: Scorer | None = None
    instead_of: str | None = None
    unheard: Unheard | None = None


class Roster:
    """Detectors of one worker, in the operator's order: the first of each kind is the default for it."""

    def __init__(self, scorers: Mapping[str, Scorer]) -> None:
        self.scorers = dict(scorers)
        self._defaults: dict[str, Scorer] = {}
        for scorer in self.scorers.values():
            self._defaults.setdefault(scorer.spec.media_kind, scorer)

    @property
    def lanes(self) -> list[str]:
        """The lanes of the queue that this worker can serve."""
        named = [f"{kind}/{key}" for key, scorer in self.scorers.items() for kind in (scorer.spec.media_kind, "auto")]
        return [*(f"{kind}/default" for kind in (*self._defaults, "auto")), *named]

    def offer(self, kind: MediaKind, key: str | None) -> None:
        """Raise Permanent('detector_unavailable') for a request that cannot be served, regardless of its file."""
        if key is not None and key not in self.scorers:
            raise _unavailable(kind, key)
        if key is None and kind != "auto" and kind not in self._defaults:
            raise _unavailable(kind, key)

    def choose(self, kind: MediaKind, key: str | None, facts: ProbedFacts) -> Choice:
        """Choose the detectors for a file requested as `kind`; with `key`, only that one.

        Raises Permanent with `media_kind_mismatch`, `no_sound`, or `detector_unavailable`.
        """
        self.offer(kind, key)
        wanted = _wanted(kind, facts)
        if key is not None:
            return self._named(self.scorers[key], facts)
        sound = self._defaults.get("audio") if facts.has_audio else None
        if wanted == "audio":
            if sound is None:
                raise _unavailable("audio", None)
            return Choice(sound=sound)
        pictures = self._defaults.get(wanted)
        if pictures is None and facts.container in PICTURE_FILES:
            pictures = self._defaults.get("image")
        if pictures is None:
            raise _unavailable(wanted, None)
        return self._with_stand_in(pictures, sound, facts)

    def _with_stand_in(self, pictures: Scorer, sound: Scorer | None, facts: ProbedFacts) -> Choice:
        """Replace a video detector that cannot take the file by an image detector over frames, if one is loaded."""
        unheard: Unheard | None = "no_detector" if sound is None else None
        images = [scorer for scorer in self.scorers.values() if scorer.spec.task == "image"]
        images.sort(key=lambda scorer: scorer.spec.media_kind != "video")  # detectors made for videos come first
        if takes(pictures.spec, facts) or not images:
            return Choice(pictures, sound, unheard=unheard)
        return Choice(images[0], sound, pictures.spec.key, unheard)

    def _named(self, scorer: Scorer, facts: ProbedFacts) -> Choice:
        spec = scorer.spec
        if spec.task == "audio":
            if not facts.has_audio:
                raise _no_sound()
            return Choice(sound=scorer)
        moving_picture = facts.container in PICTURE_FILES and spec.media_kind == "image"
        if spec.media_kind != facts.kind and not moving_picture:
            raise Permanent(
                "media_kind_mismatch",
                f"Detector '{spec.key}' takes {_NAMES[spec.media_kind]}, and the file is {_NAMES[facts.kind]}.",
                params={"detector": spec.key, "found": facts.kind},
            )
        return Choice(pictures=scorer, unheard="not_asked")


@asynccontextmanager
async def open_roster(specs: Sequence[DetectorSpec], *, device: Device, batch_windows: int) -> AsyncIterator[Roster]:
    """Load the detectors one after another, and run all of them on one thread, because they share a device."""
    async with ScoringThread(batch_windows=batch_windows) as thread:
        loaded = {spec.key: await asyncio.to_thread(load_detector, spec, device) for spec in specs}
        yield Roster({key: Scorer(detector, thread) for key, detector in loaded.items()})


def takes(spec: DetectorSpec, facts: ProbedFacts) -> bool:
    """Return True if a clip of the file is more than a few repeated pictures: a video detector needs motion."""
    if spec.task != "video":
        return True
    step = spec.window_policy.step.seconds_at(facts.frames_per_second)
    return facts.frame_count > 1 and facts.frames_per_second * step >= _MAX_REPEATED_SHARE


_NAMES: Mapping[str, str] = {"video": "a video", "image": "a picture", "audio": "sound"}


def _wanted(kind: MediaKind, facts: ProbedFacts) -> Kind:
    """Return the kind of work: the requested kind, if the file has it."""
    if kind in ("auto", facts.kind):
        return facts.kind
    if kind == "audio":
        if not facts.has_audio:
            raise _no_sound()
        return "audio"
    if kind == "image" and facts.container in PICTURE_FILES:
        return "image"
    raise Permanent(
        "media_kind_mismatch",
        f"The request asks for {_NAMES[kind]}, and the file is {_NAMES[facts.kind]}.",
        params={"asked": kind, "found": facts.kind},
    )


def _no_sound() -> Permanent:
    return Permanent("no_sound", "The file has no sound track.")


def _unavailable(kind: MediaKind, key: str | None) -> Permanent:
    what = f"detector '{key}'" if key is not None else "detector"
    return Permanent(
        "detector_unavailable",
        f"This worker has no {what} for media of kind '{kind}'.",
        params={"detector": key, "media_kind": kind},
    )
