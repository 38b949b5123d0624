"""Why a player shows something else than the worker looks at.

An explanation that no difference needs fails the test, like a difference without an explanation.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from tests.integration.players.comparison import Kind, Player


@dataclass(frozen=True, slots=True)
class Explanation:
    """The reason for differences of these kinds in these files. Not `always`: it depends on chance if there is one."""

    player: Player
    kinds: tuple[Kind, ...]
    reason: str
    files: tuple[str, ...]
    always: bool = True


_AMBIGUOUS: Final = ("mp4", "mov", "mkv", "webm")
EXPLAINED: Final = (
    # Several tracks
    Explanation(
        "FFmpeg",
        ("size", "picture"),
        "FFmpeg's command prefers the larger of two films; browsers play the first one",
        (
            *(f"two tracks, {flagged} flagged.{kind}" for kind in _AMBIGUOUS for flagged in ("both", "neither")),
            *(f"two tracks.{kind}" for kind in ("ts", "avi", "ogv", "wmv")),
            "film disabled.mp4",
            "sound disabled.mp4",
        ),
    ),
    Explanation(
        "FFmpeg",
        ("size", "picture", "pitch"),
        "FFmpeg's command prefers default tracks; browsers ignore Matroska's flags",
        ("two tracks, second flagged.mkv", "two tracks, second flagged.webm"),
    ),
    Explanation(
        "FFmpeg",
        ("size", "picture", "pitch"),
        "FFmpeg's command plays MPEG-4 Part 2 and AC-3; browsers pass over them",
        ("rare codecs first.mkv",),
    ),
    Explanation(
        "FFmpeg",
        ("sound",),
        "no player decodes that sound; the worker says that it is there and was not heard",
        ("unknown sound.mp4",),
    ),
    Explanation(
        "Chromium",
        ("sound",),
        "no player decodes that sound; the worker says that it is there and was not heard",
        ("unknown sound.mp4",),
    ),
    Explanation(
        "the worker",
        ("damage",),
        "no player decodes that sound; the worker says that it is there and was not heard",
        ("unknown sound.mp4",),
    ),
    Explanation(
        "Chromium",
        ("pictures",),
        "Chromium plays no disabled track, FFmpeg and other players do",
        ("film disabled.mp4",),
    ),
    Explanation(
        "Chromium",
        ("sound",),
        "Chromium plays no disabled track, FFmpeg and other players do",
        ("sound disabled.mp4",),
    ),
    Explanation(
        "FFmpeg",
        ("pictures",),
        "a single picture beside sound is its cover, also where it is not flagged as one",
        ("cover as a track.mka", "cover as a track.mp4"),
    ),
    # Codecs
    Explanation(
        "Chromium",
        ("pictures",),
        "Chromium has no decoder for the film (Theora, Motion JPEG, PNG) and plays only the sound",
        (
            "format mkv mjpeg with sound",
            "format mkv png with sound",
            "format fragmented mp4 mjpeg with sound",
            "format mov with sound",
            "format ogv with sound",
            "two tracks.ogv",
            "joined.ogv",
        ),
    ),
    Explanation(
        "the worker",
        ("not played",),
        "HEIC is shown by Apple's browsers only; FFmpeg cannot before version 7",
        ("format heic", "HEIC of the brand heis"),
    ),
    Explanation(
        "FFmpeg", ("refused",), "PyAV's FFmpeg and Pillow have no decoder for JPEG XL", ("picture.jxl", "JPEG XL")
    ),
    Explanation(
        "Chromium", ("refused",), "PyAV's FFmpeg and Pillow have no decoder for JPEG XL", ("picture.jxl", "JPEG XL")
    ),
    Explanation(
        "the worker",
        ("not played",),
        "Pillow reads what neither FFmpeg nor a browser does",
        ("TIFF of floating point numbers", "TIFF in CIELAB"),
    ),
    Explanation(
        "FFmpeg",
        ("refused",),
        "nothing marks a Targa picture as one, so it is recognized but not read",
        ("Targa",),
    ),
    Explanation(
        "FFmpeg",
        ("refused",),
        "FFmpeg's command takes MPEG-H for another codec, and decodes it to noise",
        ("MPEG-H in MPEG-TS",),
    ),
    Explanation(
        "FFmpeg",
        ("refused",),
        "FFmpeg's command decodes encrypted bytes to noise, if any of them look like pictures",
        ("protected film",),
        always=False,
    ),
    Explanation(
        "FFmpeg",
        ("sound length", "pitch"),
        "FFmpeg's command decodes the first AMR frame of a packet only",
        ("phone's 3GP, 5 AMR frames a packet", "phone's 3GP, 50 AMR frames a packet"),
    ),
    Explanation(
        "FFmpeg",
        ("frames", "length", "picture"),
        "FFmpeg's command takes an animation for a still picture if its control chunk comes late",
        ("APNG that says so behind a long text",),
    ),
    Explanation(
        "Chromium",
        ("sound",),
        "an animated picture in a page is silent; its file in a player is not",
        ("animated AVIF with sound",),
    ),
    Explanation(
        "Chromium",
        ("picture",),
        "the worker's thumbnail is a lossy WebP, which smooths noise",
        ("format bmp, bit fields",),
    ),
    # Times
    Explanation(
        "Chromium",
        ("picture", "length"),
        "Chromium ends where the first part's length ends; FFmpeg and the worker read on",
        (
            "joined.webm",
            "joined.mkv",
            "WebM, tampered and real joined",
            "WebM of a browser, tampered and real joined",
        ),
    ),
    Explanation(
        "Chromium",
        ("length",),
        "Chromium shows the length of the first part; FFmpeg and the worker read on",
        ("joined, in fragments.mp4",),
    ),
    Explanation(
        "Chromium",
        ("length",),
        "a track counts from its own first sample, and the sound begins half a second after the pictures",
        ("sound begins late.mp4",),
    ),
    Explanation(
        "FFmpeg",
        ("sound length",),
        "FFmpeg 8.1 cannot read on where a chained Ogg file changes its channels; the worker says what is unread",
        ("joined, then stereo.opus",),
    ),
    Explanation(
        "Chromium",
        ("sound length",),
        "Chromium leaves out the last frames before a second FLAC header",
        ("joined.flac",),
    ),
    Explanation(
        "Chromium",
        ("length",),
        "Chromium shows the length by the stamps of the sound, and plays its samples without the gaps",
        ("film whose sound has gaps.webm",),
    ),
    Explanation(
        "Chromium",
        ("length",),
        "Chromium shows the length that the header promises",
        ("MKV that promises five hours",),
    ),
    Explanation(
        "Chromium",
        ("refused",),
        "Chromium shows the length in the index, though there is nothing to hear",
        ("M4A cut behind its index",),
    ),
    # Shapes
    Explanation(
        "FFmpeg",
        ("picture",),
        "films are turned by quarters only",
        ("turned by 45.mp4",),
    ),
    Explanation(
        "Chromium",
        ("picture",),
        "films are turned by quarters only, and half a quarter is rounded up by Chromium",
        ("turned by 45.mp4",),
    ),
    Explanation(
        "FFmpeg",
        ("size",),
        "an aspect of pixels beyond 10 counts as damaged",
        ("very wide pixels.mp4",),
    ),
    Explanation(
        "Chromium",
        ("size", "picture"),
        "an aspect of pixels beyond 10 counts as damaged",
        ("very wide pixels.mp4",),
    ),
    Explanation(
        "Chromium",
        ("picture",),
        "FFmpeg does not cut off columns on the left unless it is told to waste memory alignment",
        ("cut by the stream.mp4",),
    ),
    Explanation(
        "Chromium",
        ("picture",),
        "FFmpeg ignores the transparency of VP8 and VP9, so what is hidden is looked at, too",
        ("see-through.webm",),
    ),
    # Pictures
    Explanation(
        "FFmpeg",
        ("size", "picture"),
        "FFmpeg's command follows the orientation of JPEG only",
        (
            "format png",
            "format tiff",
            "format tiff lzw",
            "format tiff jpeg",
            "format tiff deflate",
            "format webp",
            "format webp, lossless",
            "format avif",
            "orientation 6.png",
            "orientation 6.webp",
            "orientation 6.avif",
            "orientation 5.avif",
            "orientation 6.tiff",
        ),
    ),
    Explanation(
        "Chromium",
        ("size", "picture"),
        "Chromium does not follow the orientation of WebP; WebKit does",
        ("format webp", "format webp, lossless", "orientation 6.webp"),
    ),
    Explanation(
        "FFmpeg",
        ("picture",),
        "FFmpeg's command follows no colour profile and no gamma",
        (
            *(f"exchanged colours.{kind}" for kind in ("jpg", "png", "webp", "avif")),
            "gamma of 1.png",
            "gamma of 0.02.png",
            "format jpeg with a profile",
            "format png with a profile",
        ),
    ),
    Explanation(
        "FFmpeg",
        ("picture",),
        "FFmpeg's command shows the colours under transparency; on a page it lies on white",
        (
            "transparent.png",
            "transparent.webp",
            "animation through holes.png",
            "format bmp, bit fields",
            "BMP of four bits a colour",
        ),
    ),
    Explanation(
        "FFmpeg",
        ("frames", "length"),
        "FFmpeg's command plays more frames than the animation says it has",
        ("animation of one frame.png",),
    ),
    Explanation(
        "Chromium",
        ("picture",),
        "Chromium takes the full range of an animation for the narrow one of films",
        ("animation.avif", "format avif, animated by Pillow", "animated AVIF with sound"),
    ),
    Explanation(
        "Chromium",
        ("picture",),
        "Chromium leaves out the last lines of blocks",
        ("without its end mark.jpg", "JPEG without its end marker"),
    ),
    Explanation(
        "Chromium",
        ("refused",),
        "a picture that was cut off is refused as such, though browsers show its upper part",
        ("cut in half.png", "cut in half.webp", "cut in half.gif", "cut GIF"),
    ),
)


def explanations(name: str) -> dict[tuple[Player, Kind], Explanation]:
    """The expected differences of a file."""
    return {(one.player, kind): one for one in EXPLAINED if name in one.files for kind in one.kinds}
