"""Films that are turned, mirrored, cut or stretched when they are shown."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from tests.integration.players.iso_boxes import Box, add_to_sample_entry, changed, set_matrix, tracks
from tests.integration.players.made import VP8, VP9, X264, Corpus, Make, encoded, ffmpeg, film

_MATRICES: Final[Mapping[str, tuple[float, float, float, float]]] = {
    "turned by 90": (0, 1, -1, 0),
    "turned by 180": (-1, 0, 0, -1),
    "turned by 270": (0, -1, 1, 0),
    "mirrored": (-1, 0, 0, 1),
    "upside down": (1, 0, 0, -1),
    "transposed": (0, 1, 1, 0),
    "transposed the other way": (0, -1, -1, 0),
    "turned by 45": (0.7071, 0.7071, -0.7071, 0.7071),
    "twice as large": (2, 0, 0, 2),
    "nothing": (0, 0, 0, 0),
}


def _with_matrix(*numbers: float, aspect: str = "1") -> Make:
    def make(path: Path) -> None:
        ffmpeg(*film(0.5), "-vf", f"setsar={aspect}", *X264, path)
        changed(path, lambda file: set_matrix(tracks(file)[0], *numbers))

    return make


def _cut_out(path: Path) -> None:
    """A clean aperture: the middle 32 x 24 pixels of 64 x 48."""
    ffmpeg(*film(0.5), *X264, path)
    aperture = struct.pack(">8I", 32, 1, 24, 1, 0, 1, 0, 1)
    changed(path, lambda file: add_to_sample_entry(tracks(file)[0], Box(b"clap", aperture)))


def _stretched_by_the_track(path: Path) -> None:
    """The track's header says 128 x 48, the pictures have 64 x 48."""
    ffmpeg(*film(0.5), *X264, path)

    def stretch(file: Box) -> None:
        header = next(file.every(b"tkhd"))
        header.body = header.body[:76] + struct.pack(">II", 128 << 16, 48 << 16)

    changed(path, stretch)


def _resized(kind: str, *options: str) -> Make:
    """The size of the pictures changes in the middle of the stream."""

    def make(path: Path) -> None:
        parts = [path.with_name(f"part{number}.{kind}") for number in range(2)]
        for part, size in zip(parts, ("64x48", "96x96"), strict=True):
            ffmpeg(*film(0.5, size=size), *options, part)
        listed = path.with_name("list.txt")
        listed.write_text("".join(f"file {part}\n" for part in parts))
        ffmpeg("-f", "concat", "-safe", "0", "-i", listed, "-c", "copy", path)
        for file in (*parts, listed):
            file.unlink()

    return make


SHAPES: Final[Corpus] = {
    **{f"{name}.mp4": _with_matrix(*numbers) for name, numbers in _MATRICES.items()},
    "turned by 90, wide pixels.mp4": _with_matrix(0, 1, -1, 0, aspect="2"),
    "wide pixels.mp4": encoded(*film(0.5), "-vf", "setsar=64/45", *X264),
    "narrow pixels.mp4": encoded(*film(0.5), "-vf", "setsar=8/9", *X264),
    "wide pixels.mkv": encoded(*film(0.5), "-vf", "setsar=64/45", *X264),
    "wide pixels.webm": encoded(*film(0.5), "-vf", "setsar=64/45", *VP8),
    "narrow pixels.webm": encoded(*film(0.5), "-vf", "setsar=8/9", *VP9),
    "very wide pixels.mp4": encoded(*film(0.5), "-vf", "setsar=20", *X264),
    "wide pixels in the stream only.mp4": encoded(
        *film(0.5), *X264, "-bsf:v", "h264_metadata=sample_aspect_ratio=2/1"
    ),
    "wide pixels.avi": encoded(*film(0.5), "-vf", "setsar=64/45", "-c:v", "mpeg4", "-q:v", "2"),
    "wide pixels.mpg": encoded(*film(0.5, rate=25), "-vf", "setsar=64/45", "-c:v", "mpeg2video", "-q:v", "2"),
    "cut by the stream.mp4": encoded(*film(0.5), *X264, "-bsf:v", "h264_metadata=crop_left=16:crop_top=8"),
    "cut by the container.mp4": _cut_out,
    "stretched by the track.mp4": _stretched_by_the_track,
    "resized.mp4": _resized("mp4", *X264),
    "resized.webm": _resized("webm", *VP9),
    "resized.mkv": _resized("mkv", *X264),
    "full range.mp4": encoded(*film(0.5), "-vf", "scale=out_range=full", *X264[:-4], "-pix_fmt", "yuvj420p"),
    "see-through.webm": encoded(
        *film(0.5), "-vf", "format=yuva420p,geq=lum='lum(X,Y)':cb=128:cr=128:a='if(lt(X,32),255,0)'",
        *VP8, "-pix_fmt", "yuva420p",
    ),
    "interlaced.mp4": encoded(*film(0.5), *X264, "-flags", "+ildct+ilme"),
}  # fmt: skip
