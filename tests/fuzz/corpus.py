"""Small real files of every container and codec that FFmpeg here can write, as input of the mutations."""

from __future__ import annotations

import io
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from PIL import Image

from sentinel_worker.media.pictures.formats import register_plugins
from tests.integration.formats.encodings import FORMATS
from tests.integration.formats.sounds import ID3, JUNK, amr, amr_wide, ape, musepack_7, musepack_8
from tests.integration.media.pictures import gif_files
from tests.integration.media.pictures.bmp_files import FIELDS, MASKS_444, bmp, head
from tests.integration.media.pictures.gif_files import RED, gif
from tests.integration.media.pictures.icc_profiles import rgb_profile
from tests.integration.media.pictures.png_files import Drawn, apng, plain
from tests.made_once import made_once

# The same bytes on each run: no random serial numbers, no encoder's name.
_BIT_EXACT = ("-fflags", "+bitexact", "-flags:v", "+bitexact", "-flags:a", "+bitexact", "-threads", "1")
_FILM = ("-f", "lavfi", "-i", "testsrc=s=128x96:r=25:d=0.4")
_TONE = ("-f", "lavfi", "-i", "sine=f=440:r=16000:d=0.4")
_H264 = ("-c:v", "libx264", "-pix_fmt", "yuv420p")

_SOUNDS: Mapping[str, tuple[str, ...]] = {
    "wav": ("-f", "wav"),
    "wav 24 bit": ("-c:a", "pcm_s24le", "-f", "wav"),
    "wav rf64": ("-rf64", "always", "-f", "wav"),
    "flac": ("-f", "flac"),
    "mp3": ("-metadata", "title=tone", "-f", "mp3"),
    "aac": ("-c:a", "aac", "-f", "adts"),
    "m4a": ("-c:a", "aac", "-f", "ipod"),
    "m4a alac": ("-c:a", "alac", "-f", "ipod"),
    "opus": ("-c:a", "libopus", "-f", "ogg"),
    "vorbis": ("-c:a", "libvorbis", "-f", "ogg"),
    "ogg flac": ("-c:a", "flac", "-f", "ogg"),
    "mka": ("-c:a", "ac3", "-f", "matroska"),
    "wma": ("-c:a", "wmav2", "-f", "asf"),
    "w64": ("-f", "w64"),
    "aiff": ("-f", "aiff"),
    "caf": ("-f", "caf"),
    "caf alac": ("-c:a", "alac", "-f", "caf"),
    "au": ("-f", "au"),
    "ac3": ("-c:a", "ac3", "-f", "ac3"),
    "eac3": ("-c:a", "eac3", "-f", "eac3"),
    "wavpack": ("-f", "wv"),
    "tta": ("-f", "tta"),
}
_WITHOUT_FFMPEG: Mapping[str, Callable[[], bytes]] = {
    "amr": amr,
    "amr, wide band": amr_wide,
    "ape": ape,
    "mpc7": musepack_7,
    "mpc8": musepack_8,
}
_FILMS_WITH_SOUND: Mapping[str, tuple[str, ...]] = {
    "mp4 with sound": (*_H264, "-c:a", "aac", "-f", "mp4"),
    "mp4 in fragments": (*_H264, "-c:a", "aac", "-movflags", "frag_keyframe+empty_moov", "-f", "mp4"),
    "mov with sound": ("-c:v", "mjpeg", "-c:a", "pcm_s16le", "-f", "mov"),
    "webm with sound": ("-c:v", "libvpx", "-c:a", "libopus", "-f", "webm"),
    "mkv with sound": (*_H264, "-c:a", "libvorbis", "-f", "matroska"),
    "avi with sound": ("-c:v", "mpeg4", "-c:a", "mp3", "-f", "avi"),
    "flv with sound": ("-c:v", "flv1", "-c:a", "mp3", "-ar", "22050", "-f", "flv"),
    "wmv with sound": ("-c:v", "wmv2", "-c:a", "wmav2", "-f", "asf"),
    "mpg with sound": ("-c:v", "mpeg1video", "-c:a", "mp2", "-f", "mpeg"),
    "ts with sound": (*_H264, "-c:a", "aac", "-f", "mpegts"),
    "ogv with sound": ("-c:v", "libtheora", "-c:a", "libvorbis", "-f", "ogg"),
}
_PICTURES: Mapping[str, tuple[str, Mapping[str, object]]] = {
    "jpeg": ("JPEG", {}),
    "jpeg, progressive": ("JPEG", {"progressive": True}),
    "png": ("PNG", {}),
    "bmp": ("BMP", {}),
    "tiff": ("TIFF", {}),
    "tiff lzw": ("TIFF", {"compression": "tiff_lzw"}),
    "tiff jpeg": ("TIFF", {"compression": "jpeg"}),
    "tiff deflate": ("TIFF", {"compression": "tiff_adobe_deflate"}),
    "webp": ("WEBP", {}),
    "webp, lossless": ("WEBP", {"lossless": True}),
    "avif": ("AVIF", {}),
    "heic": ("HEIF", {}),
    "gif still": ("GIF", {}),
    "jpeg with a profile": ("JPEG", {"icc_profile": rgb_profile(1.0)}),
    "png with a profile": ("PNG", {"icc_profile": rgb_profile(1.0)}),
    "jpeg 2000": ("JPEG2000", {}),
    "ico": ("ICO", {}),
}
_RUNS = (bytes([9, 3, 0, 3, 1, 2, 3, 0, 0, 2, 1, 0]) + bytes(2)) * 16
_PATCHES = [Drawn(plain(8, 8, 9, 9, 9), 4, 4, after=number, over=number > 0) for number in range(3)]
_BUILT: dict[str, bytes] = {
    "bmp, bit fields": bmp(head(108, 16, 16, 16, FIELDS, (*MASKS_444, 0xF000)), bytes(range(256)) * 2),
    "bmp, runs": bmp(head(40, 16, 16, 8, 1), _RUNS, bytes(1024)),
    "bmp, OS-2": bmp(head(12, 16, 16, 8), bytes(range(256)), bytes(range(256)) * 3),
    "png, animated behind a default image": apng((16, 16), _PATCHES, default=plain(16, 16, 1, 1, 1)),
    "gif, frames that are disposed of": gif(
        16, 16, [gif_files.Drawn(RED, 8, 8, 4, 4, after=n, transparent=n) for n in range(4)]
    ),
}
_ANIMATIONS = ("GIF", "PNG", "WEBP", "AVIF")
_BEHIND_JUNK = "mp3 behind tags and junk"
NAMES = (
    *(name for name in FORMATS if name != "rotated"),
    *_FILMS_WITH_SOUND,
    *_SOUNDS,
    _BEHIND_JUNK,
    *_WITHOUT_FFMPEG,
    *_PICTURES,
    *_BUILT,
    *(f"{kind.lower()}, animated by Pillow" for kind in _ANIMATIONS),
    *_BUILT,
)
"""Names of the files, for tests that are collected before the files are made."""


def shared_corpus(factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """The files by name, made once for all processes of this test run."""

    def make(folder: Path) -> None:
        for name, content in make_corpus(folder).items():
            (folder / f"{name}.file").write_bytes(content)

    return {path.stem: path.read_bytes() for path in sorted(made_once(factory, "corpus", make).glob("*.file"))}


def make_corpus(folder: Path) -> dict[str, bytes]:
    """Make the files in `folder` and return them by name; takes about ten seconds."""
    return _films(folder) | _sounds(folder) | _pictures()


def _films(folder: Path) -> dict[str, bytes]:
    film = folder / "film.mkv"
    _encode(*_FILM, "-c:v", "ffv1", "-f", "matroska", film)
    found = {}
    for name, wanted in FORMATS.items():
        if name == "rotated":
            continue
        path = folder / f"made.{wanted.suffix}"
        _encode("-i", film, *wanted.options, "-t", "0.4", path)
        found[name] = wanted.before + path.read_bytes()
    for name, options in _FILMS_WITH_SOUND.items():
        path = folder / "made"
        _encode(*_FILM, *_TONE, *options, path)
        found[name] = path.read_bytes()
    return found


def _sounds(folder: Path) -> dict[str, bytes]:
    found = {}
    for name, options in _SOUNDS.items():
        path = folder / "made"
        _encode(*_TONE, *options, path)
        found[name] = path.read_bytes()
    found[_BEHIND_JUNK] = ID3 + ID3 + JUNK + found["mp3"]
    return found | {name: make() for name, make in _WITHOUT_FFMPEG.items()}


def _pictures() -> dict[str, bytes]:
    register_plugins()
    frames = [Image.effect_mandelbrot((64, 48), (-2, -1, 1, 1), quality).convert("RGB") for quality in (20, 40, 60)]
    exif = Image.Exif()
    exif[0x0112] = 6
    found = {}
    for name, (kind, options) in _PICTURES.items():
        file = io.BytesIO()
        frames[0].save(file, kind, exif=exif, **options)
        found[name] = file.getvalue()
    for kind in _ANIMATIONS:
        file = io.BytesIO()
        frames[0].save(file, kind, save_all=True, append_images=frames[1:], duration=100)
        found[f"{kind.lower()}, animated by Pillow"] = file.getvalue()
    return found | _BUILT


def _encode(*arguments: str | Path) -> None:
    *options, path = map(str, arguments)
    command = ["ffmpeg", "-v", "error", "-nostdin", "-y", *options, *_BIT_EXACT, path]
    subprocess.run(command, check=True)
