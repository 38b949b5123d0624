"""Files of several tracks, flagged in every way, and sound with pictures that are no film."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from tests.integration.players.iso_boxes import Box, changed, set_flags, tracks
from tests.integration.players.made import VP8, X264, Corpus, Make, encoded, ffmpeg, film, tone

_TWO: Final = (
    *(*film(grey=40), *film(grey=150, size="128x96"), *tone(440), *tone(880)),
    *("-map", "0", "-map", "1", "-map", "2", "-map", "3"),
)
_RARE_FIRST: Final = (
    *("-c:v:0", "mpeg4", "-c:v:1", "libx264", "-pix_fmt", "yuv420p"),
    *("-c:a:0", "ac3", "-c:a:1", "aac"),
)
_CODECS: Final = {
    "mp4": (*X264, "-c:a", "aac"),
    "mov": (*X264, "-c:a", "aac"),
    "mkv": (*X264, "-c:a", "aac"),
    "webm": (*VP8, "-c:a", "libopus"),
    "ts": (*X264, "-c:a", "aac"),
    "avi": ("-c:v", "mpeg4", "-q:v", "2", "-c:a", "mp3"),
    "ogv": ("-c:v", "libtheora", "-q:v", "9", "-c:a", "libvorbis"),
    "wmv": ("-c:v", "wmv2", "-q:v", "2", "-c:a", "wmav2"),
    "flv": ("-c:v", "flv1", "-q:v", "2", "-c:a", "mp3", "-ar", "22050"),
}
_COVER: Final = (*tone(), *film(0.1, size="32x32"), "-map", "0", "-map", "1")


def _flagged(kind: str, first: bool, second: bool) -> Make:
    """Two films and two sounds; a default track of MP4 is an enabled one."""
    options = list[str]()
    for number, flag in enumerate((first, second)):
        for media in "va":
            options += [f"-disposition:{media}:{number}", "default" if flag else "0"]
    if kind in ("mkv", "webm"):
        options += ["-default_mode", "passthrough"]
    if kind in ("mp4", "mov"):
        return _enabled(kind, (first, second, first, second))
    return encoded(*_TWO, *_CODECS[kind], *options)


def _enabled(kind: str, enabled: Sequence[bool]) -> Make:
    def make(path: Path) -> None:
        ffmpeg(*_TWO, *_CODECS[kind], path)

        def flag(file: Box) -> None:
            for track, is_enabled in zip(tracks(file), enabled, strict=True):
                set_flags(track, 3 if is_enabled else 2)

        changed(path, flag)

    return make


def _chapters(*coding: str, rate: float) -> Make:
    """Pictures at `rate` a second in a track that the sound's track names as that of its chapters."""

    def refer(file: Box) -> None:
        sound, _ = tracks(file)
        sound.inside.insert(1, Box(b"tref", inside=[Box(b"chap", (2).to_bytes(4, "big"))]))

    def make(path: Path) -> None:
        pictures = film(4.0, size="64x64", rate=rate)
        ffmpeg(*tone(440, 4.0), *pictures, "-map", "0", "-map", "1", *coding, "-c:a", "aac", "-f", "mp4", path)
        changed(path, refer)

    return make


def _renamed(kind: bytes) -> Make:
    """A film with sound, one of which is coded in a way that nobody knows."""

    def make(path: Path) -> None:
        ffmpeg(*film(), *tone(), *X264, "-c:a", "ac3", path)
        before, after = path.read_bytes().rsplit(kind, 1)  # the first may be a brand of the file
        path.write_bytes(before + b"xxxx" + after)

    return make


def _late_keys(path: Path) -> None:
    """A film whose table of key frames names only the last one."""
    ffmpeg(*film(4.0), "-c:v", "mpeg4", "-q:v", "2", "-g", "10", path)

    def keep_last(file: Box) -> None:
        [table] = file.every(b"stss")
        table.body = table.body[:4] + (1).to_bytes(4, "big") + table.body[-4:]

    changed(path, keep_last)


_FLAGS: Final = {"first": (True, False), "second": (False, True), "both": (True, True), "neither": (False, False)}
TRACKS: Final[Corpus] = {
    **{
        f"two tracks, {which} flagged.{kind}": _flagged(kind, *flags)
        for kind in ("mp4", "mov", "mkv", "webm")
        for which, flags in _FLAGS.items()
    },
    **{f"two tracks.{kind}": encoded(*_TWO, *_CODECS[kind]) for kind in ("ts", "avi", "ogv", "wmv")},
    "film disabled.mp4": _enabled("mp4", (False, False, True, True)),
    "sound disabled.mp4": _enabled("mp4", (True, True, False, False)),
    "two tracks in fragments, second flagged.mp4": encoded(
        *_TWO, *_CODECS["mp4"], "-disposition:v:0", "0", "-disposition:v:1", "default",
        "-disposition:a:0", "0", "-disposition:a:1", "default", "-movflags", "frag_keyframe+empty_moov",
    ),
    "rare codecs first.mp4": encoded(*_TWO, *_RARE_FIRST),
    "rare codecs first.mkv": encoded(*_TWO, *_RARE_FIRST),
    "cover.mp3": encoded(*_COVER, "-c:v", "mjpeg", "-disposition:v", "attached_pic"),
    "cover.m4a": encoded(*_COVER, "-c:v", "mjpeg", "-disposition:v", "attached_pic"),
    "cover.flac": encoded(*_COVER, "-c:v", "png", "-disposition:v", "attached_pic"),
    "cover as a track.mka": encoded(*_COVER, "-c:v", "mjpeg", "-c:a", "aac", "-f", "matroska"),
    "cover as a track.mp4": encoded(*_COVER, "-c:v", "mjpeg", "-c:a", "aac"),
    "film with a cover first.mp4": encoded(
        *film(0.1, size="32x32", grey=200), *film(), *tone(), "-map", "0", "-map", "1", "-map", "2", "-c:a", "aac",
        *X264, "-c:v:0", "mjpeg", "-pix_fmt:v:0", "yuvj420p", "-disposition:v:0", "attached_pic",
    ),
    "unknown sound.mp4": _renamed(b"ac-3"),
    "unknown film.mp4": _renamed(b"avc1"),
    "film whose table names only the last key.mp4": _late_keys,
    "podcast with chapter pictures.m4a": _chapters("-c:v", "mjpeg", rate=0.5),
    "film that its sound names as chapters.mp4": _chapters(*X264, rate=25),
}  # fmt: skip
"""Sound of 440 Hz belongs to the first, dark, small film, 880 Hz to the second one."""
