"""One decoded picture, and the making of it from an image of Pillow."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from sentinel_worker.media.pictures.colours import Colours, bands
from sentinel_worker.media.pictures.orientation import UPRIGHT, is_transposed, turned


@dataclass(frozen=True, slots=True)
class Decoded:
    """Upright uint8 RGB pixels [3, H, W] of a picture that is shown at `width` x `height`.

    A large picture is kept at a half, a quarter or less of its size. `truncated`: the file ends before a small part of
    the picture, or before the rest of an animation.
    """

    pixels: Tensor
    width: int
    height: int
    truncated: bool = False


def decoded(
    image: Image.Image,
    colours: Colours,
    *,
    orientation: int = UPRIGHT,
    reduced_by: int = 1,
    size: tuple[int, int] | None = None,
    truncated: bool = False,
) -> Decoded:
    """Convert a loaded image band by band, so that memory holds it once.

    Both its sides are divided by `reduced_by`. `size` is the picture's own if the decoder has reduced it already.
    """
    width, height = size or image.size
    if is_transposed(orientation):
        width, height = height, width
    pixels = turned(_pixels(image, colours, reduced_by), orientation)
    return Decoded(pixels, width, height, truncated)


def _pixels(image: Image.Image, colours: Colours, reduced_by: int) -> Tensor:
    height, width = (-(-side // reduced_by) for side in (image.height, image.width))
    pixels = np.empty((3, height, width), dtype=np.uint8)
    for top, part in bands(image):
        shown = colours.rgb(part)
        if reduced_by > 1:
            shown = shown.reduce(reduced_by)
        first = top // reduced_by
        pixels[:, first : first + shown.height] = np.asarray(shown).transpose(2, 0, 1)
    return torch.from_numpy(pixels)
