"""PNG and GIF: one picture, or an animation whose pictures are drawn over each other."""

from __future__ import annotations

import io
import struct
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from PIL import Image

from sentinel_worker.domain.machine_errors import out_of_memory
from sentinel_worker.domain.media_facts import MediaLimits
from sentinel_worker.media.opened_media import OpenedMedia
from sentinel_worker.media.pictures import gif, png
from sentinel_worker.media.pictures.animations import check_animation, open_layers
from sentinel_worker.media.pictures.colours import Colours
from sentinel_worker.media.pictures.decoded import Decoded, decoded
from sentinel_worker.media.pictures.inflate import mended, raw_bytes
from sentinel_worker.media.pictures.layers import Layer
from sentinel_worker.media.pictures.mapped import mapped
from sentinel_worker.media.pictures.orientation import exif_orientation
from sentinel_worker.media.pictures.refusals import cut_off, damaged
from sentinel_worker.media.pictures.sizes import check_size, reduction
from sentinel_worker.media.protocol import ProbedFacts
from sentinel_worker.media.refused_files import check_pixels


def open_png(path: Path, facts: ProbedFacts, limits: MediaLimits) -> OpenedMedia | Decoded:
    """Open what browsers show of a PNG: the frames of its animation, or its picture."""
    found = png.read_png(mapped(path), limits.max_animation_frames)
    check_size(found.width, found.height, "png", limits)
    cut, orientation = found.drop_cut_frame(), exif_orientation(found.exif)
    if found.frame_count > 1:
        check_animation(found.width, found.height, found.frame_count, limits)
        facts = replace(facts, container="apng", width=found.width, height=found.height, truncated=cut)
        layers = [_png_layer(found, frame) for frame in found.frames]
        times = [frame.milliseconds for frame in found.frames]
        return open_layers(path, facts, layers, times, limits, orientation=orientation)
    image, colours, missing = _only_picture(found, limits)
    factor = reduction(*image.size, limits)
    return decoded(image, colours, orientation=orientation, reduced_by=factor, truncated=cut or missing > 0)


def _only_picture(found: png.Png, limits: MediaLimits) -> tuple[Image.Image, Colours, float]:
    """Decode the picture of a PNG that does not move, and return the share of it that is missing."""
    frame = found.frames[0] if found.frames else None
    if frame is None or (frame.width, frame.height) == (found.width, found.height):
        spans = found.image if frame is None else frame.spans
        image, missing = _png_image(found, spans, found.width, found.height)
        return image, _png_colours(found, image), missing
    check_animation(found.width, found.height, 1, limits)
    part, missing = _png_image(found, frame.spans, frame.width, frame.height)
    image = Image.new("RGBA", (found.width, found.height))
    image.paste(_png_colours(found, part).rgba(part), (frame.left, frame.top))
    return image, Colours(image), missing


def _png_layer(found: png.Png, frame: png.Frame) -> Layer:
    def decode() -> Image.Image:
        image, _ = _png_image(found, frame.spans, frame.width, frame.height)
        return _png_colours(found, image).rgba(image)

    return Layer(frame.left, frame.top, frame.width, frame.height, frame.after, frame.over, decode)


def _png_colours(found: png.Png, image: Image.Image) -> Colours:
    return Colours(image, profile=found.profile, gamma=found.gamma)


def _png_image(found: png.Png, spans: Sequence[png.Span], width: int, height: int) -> tuple[Image.Image, float]:
    """Decode one picture of a PNG, and return the share of it that is missing."""
    if not spans:
        raise damaged() if found.is_whole else cut_off()
    data = found.packed(spans)
    try:
        return _loaded(found.wrapped(data, width, height)), 0.0
    except (OSError, SyntaxError, ValueError, struct.error) as error:
        if out_of_memory(error):
            raise
    wanted = raw_bytes(width, height, found.pixel_bits, interlaced=found.interlaced)
    data, missing = mended(data, wanted)
    return _loaded(found.wrapped(data, width, height)), missing


def _loaded(content: bytes) -> Image.Image:
    image = Image.open(io.BytesIO(content), formats=["PNG"])
    image.load()
    return image


def open_gif(path: Path, facts: ProbedFacts, limits: MediaLimits) -> OpenedMedia | Decoded:
    """Open what browsers show of a GIF: its frames, or its only picture."""
    found = gif.read_gif(mapped(path), limits.max_animation_frames)
    check_size(found.width, found.height, "gif", limits)
    cut, first = found.drop_cut_frame(), found.frames[0]
    if found.frame_count > 1:
        check_animation(found.width, found.height, found.frame_count, limits)
        for frame in found.frames:  # they may overhang the screen
            check_pixels(frame.width, frame.height, limits)
        facts = replace(facts, width=found.width, height=found.height, truncated=cut)
        layers = [_gif_layer(found, frame) for frame in found.frames]
        return open_layers(path, facts, layers, [frame.milliseconds for frame in found.frames], limits)
    image, missing = found.image(first)
    if image.size != (found.width, found.height):
        check_animation(found.width, found.height, 1, limits)
        screen = Image.new("RGBA", (found.width, found.height))
        screen.paste(image.convert("RGBA"), (first.left, first.top))
        image = screen
    factor = reduction(*image.size, limits)
    return decoded(image, Colours(image), reduced_by=factor, truncated=cut or missing > 0)


def _gif_layer(found: gif.Gif, frame: gif.Frame) -> Layer:
    over = frame.transparent is not None

    def decode() -> Image.Image:
        return found.image(frame)[0].convert("RGBA")

    return Layer(frame.left, frame.top, frame.width, frame.height, frame.after, over, decode)
