"""Animations as films: when each picture appears, and readers that show it."""

from __future__ import annotations

import warnings
from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import numpy as np
from PIL import Image
from torch import Tensor

from sentinel_worker.domain.machine_errors import out_of_memory
from sentinel_worker.domain.media_facts import MediaLimits
from sentinel_worker.media.films.frame_steps import typical_rate
from sentinel_worker.media.opened_media import OpenedMedia, Shown
from sentinel_worker.media.pictures.colours import Colours
from sentinel_worker.media.pictures.decoded import decoded
from sentinel_worker.media.pictures.layers import Layer, Screen
from sentinel_worker.media.pictures.orientation import UPRIGHT, exif_orientation, is_transposed
from sentinel_worker.media.protocol import ProbedFacts
from sentinel_worker.media.refused_files import check_frames, check_picture_size, check_rate, too_long

# Browsers show pictures that ask for no more than this for a tenth of a second.
_IGNORED_MS: Final = 10.0
_MS_INSTEAD: Final = 100.0

Show = Callable[[int], Tensor | None]
"""Returns the animation's picture of this number, uint8 RGB [3, H, W], or None if it is damaged."""


@dataclass(frozen=True, slots=True)
class OpenedAnimation(OpenedMedia):
    """Pictures that follow each other, and a way to show them."""

    new_show: Callable[[], Show]

    def frames(self) -> _Frames:
        """Return a new reader."""
        assert self.frame_starts is not None
        return _Frames(self.new_show(), (*self.frame_starts.tolist(), self.facts.duration_seconds))


class _Frames:
    def __init__(self, show: Show, times: tuple[float, ...]) -> None:
        self._show = show
        self._times = times

    def at(self, seconds: float) -> Shown | None:
        last = len(self._times) - 2
        number = min(max(bisect_right(self._times, seconds) - 1, 0), last)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            pixels = self._show(number)
        return None if pixels is None else Shown(pixels, self._times[number], self._times[number + 1])


def check_animation(width: int, height: int, frames: int, limits: MediaLimits) -> None:
    """Refuse an animation that is too large or has too many pictures."""
    check_picture_size(width, height, limits)
    check_frames("animation", frames, min(limits.max_animation_frames, limits.max_frames))


def open_layers(
    path: Path,
    facts: ProbedFacts,
    layers: Sequence[Layer],
    milliseconds: Sequence[float],
    limits: MediaLimits,
    *,
    orientation: int = UPRIGHT,
) -> OpenedAnimation:
    """Open pictures that are drawn over each other. `facts` have the size of the screen as the file gives it."""
    size = facts.width, facts.height

    def new_show() -> Show:
        screen = Screen(*size, layers)

        def show(number: int) -> Tensor | None:
            image = screen.show(number)
            return None if image is None else decoded(image, Colours(image), orientation=orientation).pixels

        return show

    return _opened(path, facts, milliseconds, limits, new_show, orientation)


def open_sought(path: Path, facts: ProbedFacts, image: Image.Image, limits: MediaLimits) -> OpenedAnimation:
    """Open an image in which Pillow finds each picture (WebP, AVIF), and decode every one to learn the times."""
    count: int = image.n_frames  # type: ignore[attr-defined]  # checked by the caller
    milliseconds = []
    for number in range(count):
        image.seek(number)
        image.load()
        milliseconds.append(float(image.info.get("duration", 0)))
    orientation, profile = exif_orientation(image.info.get("exif")), image.info.get("icc_profile")

    def show(number: int) -> Tensor | None:
        try:
            image.seek(number)
            image.load()
            return decoded(image, Colours(image, profile=profile), orientation=orientation).pixels
        except Exception as error:  # its first pass succeeded, so this is rare; any parser may fail
            if out_of_memory(error):
                raise
            return None

    return _opened(path, facts, milliseconds, limits, lambda: show, orientation)


def _opened(
    path: Path,
    facts: ProbedFacts,
    milliseconds: Sequence[float],
    limits: MediaLimits,
    new_show: Callable[[], Show],
    orientation: int,
) -> OpenedAnimation:
    starts: list[float] = []
    end = 0.0
    for wanted in milliseconds:
        starts.append(end / 1000)
        end += wanted if wanted > _IGNORED_MS else _MS_INSTEAD
        if end > 1000 * limits.max_duration_seconds:
            raise too_long("animation", end / 1000, limits)
    rate = 1000 * len(starts) / end
    check_rate(rate, limits)
    upright = facts.height, facts.width
    width, height = upright if is_transposed(orientation) else upright[::-1]
    facts = replace(
        facts,
        kind="video",
        has_video=True,
        video_codec=facts.container,
        video_tracks=1,
        duration_seconds=end / 1000,
        width=width,
        height=height,
        frames_per_second=rate,
        frame_count=len(starts),
        typical_rate=typical_rate(np.array(starts), rate),
    )
    return OpenedAnimation(path, facts, new_show, frame_starts=np.array(starts))
