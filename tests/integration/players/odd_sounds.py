"""Sound with a false length or none, after junk, joined, or of unusual layouts."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Final

from tests.integration.players.made import Corpus, Make, encoded, ffmpeg, tone

_TAG: Final = b"ID3\x04\0\0\0\0\x08\0" + b"\0" * 1024


def _joined(suffix: str, *options: str, second: tuple[str, ...] = ()) -> Make:
    """Two recordings, the second an octave higher, one after the other in the file."""

    def make(path: Path) -> None:
        parts = [path.with_name(f"part{number}.{suffix}") for number in range(2)]
        ffmpeg(*tone(440), *options, parts[0])
        ffmpeg(*tone(880), *options, *second, parts[1])
        path.write_bytes(b"".join(part.read_bytes() for part in parts))
        for part in parts:
            part.unlink()

    return make


def _altered(make: Make, alter: Callable[[bytes], bytes]) -> Make:
    def altered(path: Path) -> None:
        make(path)
        path.write_bytes(alter(path.read_bytes()))

    return altered


def _piped(kind: str, *options: str) -> Make:
    """A file whose header could not be completed, because its encoder wrote into a pipe."""

    def make(path: Path) -> None:
        command = ["ffmpeg", "-v", "error", "-nostdin", *tone(), *options, "-f", kind, "-"]
        path.write_bytes(subprocess.run(command, check=True, capture_output=True).stdout)

    return make


def _length_of_all_ones(content: bytes) -> bytes:
    place = content.index(b"data") + 4
    return content[:4] + b"\xff" * 4 + content[8:place] + b"\xff" * 4 + content[place + 4 :]


_MP3: Final = encoded(*tone(), "-write_xing", "0", "-q:a", "2")
SOUNDS: Final[Corpus] = {
    "without a length.mp3": encoded(*tone(440, 3.0), "-write_xing", "0", "-q:a", "2"),
    "two tags.mp3": _altered(_MP3, lambda content: _TAG + _TAG + content),
    "zeros before it.mp3": _altered(_MP3, lambda content: bytes(4096) + content),
    "one bad packet.mp3": _altered(_MP3, lambda content: content[:3000] + bytes(200) + content[3200:]),
    "joined.mp3": _joined("mp3"),
    "joined.aac": _joined("aac"),
    "joined.ogg": _joined("ogg", "-c:a", "libvorbis"),
    "joined.opus": _joined("opus", "-c:a", "libopus"),
    "joined, then stereo.opus": _joined("opus", "-c:a", "libopus", second=("-ac", "2")),
    "joined.flac": _joined("flac"),
    "joined.wav": _joined("wav"),
    "piped.flac": _piped("flac"),
    "piped.wav": _piped("wav"),
    "piped.mka": _piped("matroska", "-c:a", "aac", "-live", "1"),
    "piped.webm": _piped("webm", "-c:a", "libopus", "-live", "1"),
    "length of all ones.wav": _altered(encoded(*tone()), _length_of_all_ones),
    "cut in half.wav": _altered(encoded(*tone(440, 4.0)), lambda content: content[: len(content) // 2]),
    "cut in half.mp3": _altered(encoded(*tone(440, 4.0)), lambda content: content[: len(content) // 2]),
    "cut in half.flac": _altered(encoded(*tone(440, 4.0)), lambda content: content[: len(content) // 2]),
    "32 bit.flac": encoded(*tone(), "-c:a", "flac", "-sample_fmt", "s32", "-strict", "experimental"),
    "MP3 in it.wav": encoded(*tone(), "-c:a", "mp3"),
    "5.1.flac": encoded(*tone(), "-ac", "6"),
    "opposite channels.m4a": encoded(*tone(), "-af", "pan=stereo|c0=c0|c1=-1*c0", "-c:a", "aac"),
    "ALAC.mka": encoded(*tone(), "-c:a", "alac"),
    "FLAC.mp4": encoded(*tone(), "-c:a", "flac", "-strict", "-2"),
    "Opus.mp4": encoded(*tone(), "-c:a", "libopus"),
    "MP3.mp4": encoded(*tone(), "-c:a", "mp3"),
    "AC-3.mp4": encoded(*tone(), "-c:a", "ac3"),
    "Speex.ogg": encoded(*tone(), "-ar", "16000", "-c:a", "libspeex"),
    "sound only.flv": encoded(*tone(), "-c:a", "aac"),
    "begins before 0.m4a": encoded(*tone(440, 2.0), "-c:a", "aac", "-output_ts_offset", "-0.5"),
}
