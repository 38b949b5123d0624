"""Pictures as a detector gets them, before they are resized."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from sentinel_worker.domain.errors import Permanent
from sentinel_worker.domain.media_facts import MediaLimits
from sentinel_worker.media.opened_media import OpenedMedia
from sentinel_worker.media.pictures.animations import OpenedAnimation
from sentinel_worker.media.probe import open_media

LIMITS = MediaLimits()

Pixels = npt.NDArray[np.uint8]


def photograph(width: int = 64, height: int = 48) -> Image.Image:
    """A smooth picture: red grows to the right, green downwards."""
    rows, columns = np.mgrid[0:height, 0:width]
    red, green, blue = columns * 255 // width, rows * 255 // height, 255 - columns * 127 // width
    return Image.fromarray(np.stack([red, green, blue], axis=2).astype(np.uint8))


def saved(image: Image.Image, kind: str, **options: Any) -> bytes:
    """The file that Pillow writes."""
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def opened(folder: Path, content: bytes, limits: MediaLimits = LIMITS) -> OpenedMedia:
    """The file with this content, opened."""
    path = folder / "media"
    path.write_bytes(content)
    return open_media(path, limits)


def pixels(media: OpenedMedia, seconds: float = 0.0) -> Pixels:
    """Pixels [height, width, 3] that are on screen then."""
    shown = media.frames().at(seconds)
    assert shown is not None
    found: Pixels = shown.pixels.permute(1, 2, 0).numpy()
    return found


def frames(media: OpenedMedia) -> list[Pixels | None]:
    """Every picture of an animation, in order; None for one that is damaged."""
    assert isinstance(media, OpenedAnimation)
    reader = media.frames()
    assert media.frame_starts is not None
    shown = [reader.at(start) for start in media.frame_starts]
    return [None if each is None else each.pixels.permute(1, 2, 0).numpy() for each in shown]


def refusal(folder: Path, content: bytes, limits: MediaLimits = LIMITS) -> Permanent:
    """The error for a file with this content."""
    with pytest.raises(Permanent) as refused:
        opened(folder, content, limits)
    assert str(folder) not in refused.value.message
    return refused.value


def array(image: Image.Image) -> Pixels:
    """Pixels of an image, RGB."""
    return np.asarray(image.convert("RGB"))
