"""Open a picture or an animation: it is decoded while it is probed, because only that shows whether it is complete."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from PIL import Image
from PIL.Jpeg2KImagePlugin import Jpeg2KImageFile
from torch import Tensor

from sentinel_worker.domain.errors import CodedError
from sentinel_worker.domain.machine_errors import out_of_memory
from sentinel_worker.domain.media_facts import MediaLimits
from sentinel_worker.media.containers.cut_files import ends_early
from sentinel_worker.media.opened_media import OpenedMedia, Shown
from sentinel_worker.media.pictures import jpeg2000
from sentinel_worker.media.pictures.animations import check_animation, open_sought
from sentinel_worker.media.pictures.bmp import read_bmp
from sentinel_worker.media.pictures.colours import Colours
from sentinel_worker.media.pictures.decoded import Decoded, decoded
from sentinel_worker.media.pictures.drawn import open_gif, open_png
from sentinel_worker.media.pictures.formats import open_image, register_plugins
from sentinel_worker.media.pictures.heif import describe_heif
from sentinel_worker.media.pictures.jpeg import open_jpeg
from sentinel_worker.media.pictures.mapped import mapped
from sentinel_worker.media.pictures.orientation import exif_orientation
from sentinel_worker.media.pictures.refusals import cut_off, damaged
from sentinel_worker.media.pictures.sequence_sound import add_sound
from sentinel_worker.media.pictures.sizes import Declared, check_size, reduction
from sentinel_worker.media.pictures.tiff import open_tiff
from sentinel_worker.media.pictures.webp import webp_size
from sentinel_worker.media.protocol import ProbedFacts
from sentinel_worker.media.refused_files import too_large

_ANIMATED: Final = frozenset({"webp", "avif", "heic"})
_CUT_SIGNS: Final = ("truncated", "unexpected end of file", "not enough")


@dataclass(frozen=True, slots=True)
class OpenedPicture(OpenedMedia):
    """One decoded picture, uint8 RGB [3, H, W]; it is shown at any time.

    A large one has fewer pixels than the facts say.
    """

    pixels: Tensor

    def frames(self) -> _OnePicture:
        """Return a reader that always shows it."""
        return _OnePicture(self.pixels)


class _OnePicture:
    def __init__(self, pixels: Tensor) -> None:
        self._shown = Shown(pixels, 0.0, math.inf)

    def at(self, seconds: float) -> Shown | None:
        return self._shown


def open_pictures(path: Path, container: str, size: int, limits: MediaLimits) -> OpenedMedia:
    """Decode the picture, or learn the number and the times of an animation's pictures."""
    register_plugins()
    facts = ProbedFacts(
        kind="image", container=container, duration_seconds=0.0, size_bytes=size, has_video=False, has_audio=False
    )
    with _damage(path, container, limits):
        opened = _open(path, facts, limits)
        return _picture(path, facts, opened) if isinstance(opened, Decoded) else opened


def _open(path: Path, facts: ProbedFacts, limits: MediaLimits) -> OpenedMedia | Decoded:
    match facts.container:
        case "png" | "apng":
            return open_png(path, facts, limits)
        case "gif":
            return open_gif(path, facts, limits)
        case "bmp":
            return _open_bmp(path, limits)
        case "jpeg":
            return open_jpeg(path, limits)
        case "tiff":
            return open_tiff(path, limits)
        case _:
            return _open_with_pillow(path, facts, limits)


def _picture(path: Path, facts: ProbedFacts, picture: Decoded) -> OpenedPicture:
    facts = replace(facts, width=picture.width, height=picture.height, frame_count=1, truncated=picture.truncated)
    return OpenedPicture(path, facts, picture.pixels)


def _open_bmp(path: Path, limits: MediaLimits) -> Decoded:
    bmp = read_bmp(mapped(path))
    check_size(bmp.width, bmp.height, "bmp", limits)
    image, missing = bmp.image()
    factor = reduction(bmp.width, bmp.height, limits)
    return decoded(image, Colours(image), reduced_by=factor, truncated=missing > 0)


def _open_with_pillow(path: Path, facts: ProbedFacts, limits: MediaLimits) -> OpenedMedia | Decoded:
    container = facts.container
    _check_declared(path, container, limits)
    # Pillow reads an animation whole when it is opened, so the file is closed either way.
    with path.open("rb") as file:
        image = open_image(file, container)
        check_size(*image.size, container, limits)
        frames = getattr(image, "n_frames", 1)
        if container in _ANIMATED and frames > 1 and image.format != "HEIF":
            check_animation(*image.size, frames, limits)
            opened = open_sought(path, replace(facts, width=image.width, height=image.height), image, limits)
            if container == "webp":
                return opened
            with_sound, sound = add_sound(path, opened.facts, limits)
            return replace(opened, facts=with_sound, sound=sound)
        size = image.size
        if isinstance(image, Jpeg2KImageFile):
            # The decoder leaves out the finest details, and the memory for them. Pillow rounds only halves as it does.
            image.reduce = int(reduction(*size, limits) > 1)
        image.load()
        return decoded(
            image,
            Colours(image, profile=image.info.get("icc_profile")),
            orientation=exif_orientation(image.info.get("exif")),
            reduced_by=reduction(*image.size, limits),
            size=size,
        )


def _check_declared(path: Path, container: str, limits: MediaLimits) -> None:
    """Check the size before a library that would refuse it without a reason, or take the memory for it."""
    found = Declared()
    if container == "webp":
        found = Declared(*webp_size(path))
    elif container in ("avif", "heic"):
        found = describe_heif(path)
    if found.width > 0 and found.height > 0:
        check_size(found.width, found.height, container, limits, deep=found.deep)


@contextmanager
def _damage(path: Path, container: str, limits: MediaLimits) -> Iterator[None]:
    """Turn the many errors of parsers into sentences. Pillow's bomb check is for pictures inside pictures."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        Image.MAX_IMAGE_PIXELS = limits.max_picture_pixels
        try:
            yield
        except CodedError:
            raise
        except (Image.DecompressionBombWarning, Image.DecompressionBombError) as error:
            allowed = limits.max_picture_pixels
            raise too_large(f"The picture is too large; at most {allowed} pixels are allowed.", allowed) from error
        except Exception as error:
            if out_of_memory(error):
                raise
            if any(sign in str(error).lower() for sign in _CUT_SIGNS) or _ends_early(path, container):
                raise cut_off() from error
            raise damaged() from error


def _ends_early(path: Path, container: str) -> bool:
    return jpeg2000.is_cut(path) if container == "jp2" else ends_early(path)
