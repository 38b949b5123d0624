"""Previews made by a real child, and looked at with the worker's own reader."""

from __future__ import annotations

import shutil
from pathlib import Path

from sentinel_worker.domain.derived import PreviewLimits
from sentinel_worker.domain.media_facts import MediaLimits, SoundGeometry
from sentinel_worker.domain.windows import Window
from sentinel_worker.media.opened_media import OpenedMedia
from sentinel_worker.media.probe import open_media
from sentinel_worker.media.sound.clips import decode_sounds
from sentinel_worker.media.zygote import Zygote

LIMITS = MediaLimits()


async def preview(zygote: Zygote, film: Path, folder: Path, limits: PreviewLimits | None = None) -> Path:
    """Make the preview of `film` in `folder`."""
    media = Path(shutil.copy(film, folder / "media"))
    async with zygote.open(media, folder, LIMITS, profile="preview") as child:
        return await child.preview(limits or PreviewLimits(), name="preview.mp4")


def looked_at(path: Path) -> OpenedMedia:
    """Open a preview as an upload is opened."""
    return open_media(path, LIMITS)


def grey(media: OpenedMedia, seconds: float) -> float:
    """Number of the ramp's frame on screen at `seconds` (`films.RAMP`)."""
    shown = media.frames().at(seconds)
    assert shown is not None
    return float(shown.pixels.float().mean()) * 219 / 255 / 4


def loudness(media: OpenedMedia, seconds: float) -> float:
    """Largest sample in the tenth of a second after `seconds`."""
    window, geometry = Window(seconds, seconds + 0.1), SoundGeometry(1600, silence_dbfs=-200.0)
    answers = [answer for answer in decode_sounds(media, [window], geometry) if hasattr(answer, "clip")]
    return max((float(abs(answer.clip.values).max()) for answer in answers), default=0.0)
