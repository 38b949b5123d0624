"""The same sound in every format: by FFmpeg, by PyAV's encoders, and byte by byte where neither has one."""

from __future__ import annotations

import random
import struct
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np

from tests.integration.formats.monkey import monkey

SECONDS = 2
STAIRS = f"aevalsrc='0.5*sin(2*PI*(200+100*floor(t))*t)':s=44100:d={SECONDS}"
"""In second n the pitch is 200 + 100 n hertz."""
ID3 = b"ID3\x04\x00\x00\x00\x00\x02\x2c" + bytes(300)
APE_TAG = b"APETAGEX" + struct.pack("<II", 2000, 40) + bytes(16) + bytes(40)
JUNK = bytes(range(255, 0, -1)) * 20


@dataclass(frozen=True, slots=True)
class SoundFormat:
    """Container, and FFmpeg's options or a function that makes the file.

    `before` precedes the file. `pitched` is False where only the length and the level can be checked, `silent` where
    not even the level.
    """

    container: str
    made: tuple[str, ...] | Callable[[], bytes]
    before: bytes = b""
    pitched: bool = True
    silent: bool = False


def amr() -> bytes:
    """AMR of narrow band, by the encoder that PyAV brings."""
    times = np.arange(8000 * SECONDS) / 8000
    samples = (16000 * np.sin(2 * np.pi * (200 + 100 * np.floor(times)) * times)).astype(np.int16)
    coder = av.CodecContext.create("libopencore_amrnb", "w")
    assert isinstance(coder, av.AudioCodecContext)
    coder.sample_rate, coder.layout, coder.format, coder.bit_rate = 8000, "mono", "s16", 12_200
    content = b"#!AMR\n"
    for at in range(0, len(samples), 160):
        frame = av.AudioFrame.from_ndarray(samples[None, at : at + 160], format="s16", layout="mono")
        frame.sample_rate = 8000
        content += b"".join(bytes(packet) for packet in coder.encode(frame))
    return content + b"".join(bytes(packet) for packet in coder.encode(None))


def amr_wide() -> bytes:
    """AMR of wide band: frames of 12.65 kbit/s that hold noise."""
    noise = random.Random(1)
    return b"#!AMR-WB\n" + b"".join(b"\x14" + noise.randbytes(32) for _ in range(50 * SECONDS))


def ape() -> bytes:
    """Monkey's Audio, with a little noise, which keeps its coder prepared for the change of pitch."""
    times = np.arange(16000 * SECONDS) / 16000
    samples = np.rint(8000 * np.sin(2 * np.pi * (200 + 100 * np.floor(times)) * times)).astype(int)
    noise = np.random.default_rng(1).integers(-200, 200, len(samples))
    return monkey((samples + noise).tolist(), 16000)


def musepack_7() -> bytes:
    """Musepack of stream version 7: frames of 1,152 samples whose only band is empty."""
    frames = 44100 * SECONDS // 1152
    bits = "0" * 8 + (f"{8:020b}" + "0" * 8) * frames
    bits += "0" * (-len(bits) % 32 + 64)
    words = b"".join(int(bits[at : at + 32], 2).to_bytes(4, "little") for at in range(0, len(bits), 32))
    return b"MP+\x07" + struct.pack("<I16x", frames) + words


def musepack_8() -> bytes:
    """Musepack of stream version 8, made of `STAIRS` by Debian's mpcenc."""
    return Path(__file__).with_name("stairs.mpc").read_bytes()


_MP3 = ("-c:a", "libmp3lame", "-id3v2_version", "0", "-f", "mp3")
_WAV = ("-f", "wav")
SOUNDS: Mapping[str, SoundFormat] = {
    "wav": SoundFormat("wav", _WAV),
    "wav, 8 bit": SoundFormat("wav", ("-c:a", "pcm_u8", "-f", "wav")),
    "wav, 24 bit": SoundFormat("wav", ("-c:a", "pcm_s24le", "-f", "wav")),
    "wav, float": SoundFormat("wav", ("-c:a", "pcm_f32le", "-f", "wav")),
    "wav, A-law": SoundFormat("wav", ("-c:a", "pcm_alaw", "-f", "wav")),
    "wav, ADPCM": SoundFormat("wav", ("-c:a", "adpcm_ms", "-f", "wav")),
    "wav, RF64": SoundFormat("wav", ("-rf64", "always", "-f", "wav")),
    "wav behind a tag": SoundFormat("wav", _WAV, ID3),
    "w64": SoundFormat("w64", ("-f", "w64")),
    "aiff": SoundFormat("aiff", ("-f", "aiff")),
    "aifc": SoundFormat("aiff", ("-c:a", "pcm_s16le", "-f", "aiff")),
    "aiff behind a tag": SoundFormat("aiff", ("-f", "aiff"), ID3),
    "caf": SoundFormat("caf", ("-f", "caf")),
    "caf, ALAC": SoundFormat("caf", ("-c:a", "alac", "-f", "caf")),
    "au": SoundFormat("au", ("-f", "au")),
    "au, mu-law": SoundFormat("au", ("-c:a", "pcm_mulaw", "-f", "au")),
    "flac": SoundFormat("flac", ("-f", "flac")),
    "flac behind two tags": SoundFormat("flac", ("-f", "flac"), ID3 + ID3),
    "wavpack": SoundFormat("wavpack", ("-f", "wv")),
    "tta": SoundFormat("tta", ("-f", "tta")),
    "ape": SoundFormat("ape", ape),
    "mpc7": SoundFormat("mpc7", musepack_7, pitched=False, silent=True),
    # A packet has 64 frames of 26 ms; the last one is not full, which only its decoder knows.
    "mpc8": SoundFormat("mpc8", musepack_8),
    "mp3": SoundFormat("mp3", _MP3),
    "mp3 behind two tags": SoundFormat("mp3", _MP3, ID3 + ID3),
    "mp3 behind a tag and zeros": SoundFormat("mp3", _MP3, ID3 + bytes(3000)),
    "mp3 behind a tag and junk": SoundFormat("mp3", _MP3, ID3 + JUNK),
    "mp2": SoundFormat("mp3", ("-c:a", "mp2", "-f", "mp2")),
    "aac": SoundFormat("aac", ("-c:a", "aac", "-f", "adts")),
    "aac behind junk": SoundFormat("aac", ("-c:a", "aac", "-f", "adts"), JUNK),
    "aac behind an APE tag": SoundFormat("aac", ("-c:a", "aac", "-f", "adts"), APE_TAG),
    "ac3": SoundFormat("ac3", ("-c:a", "ac3", "-f", "ac3")),
    "ac3 behind a tag": SoundFormat("ac3", ("-c:a", "ac3", "-f", "ac3"), ID3),
    "eac3": SoundFormat("eac3", ("-c:a", "eac3", "-f", "eac3")),
    "amr": SoundFormat("amr", amr),
    "amr, wide band": SoundFormat("amr", amr_wide, pitched=False),
    "ogg, Vorbis": SoundFormat("ogg", ("-c:a", "libvorbis", "-f", "ogg")),
    "ogg, Opus": SoundFormat("ogg", ("-c:a", "libopus", "-f", "ogg")),
    "ogg, FLAC": SoundFormat("ogg", ("-c:a", "flac", "-f", "ogg")),
    "m4a": SoundFormat("m4a", ("-c:a", "aac", "-f", "ipod")),
    "m4a, ALAC": SoundFormat("m4a", ("-c:a", "alac", "-f", "ipod")),
    "wma": SoundFormat("asf", ("-c:a", "wmav2", "-f", "asf")),
    "mka, FLAC": SoundFormat("matroska", ("-c:a", "flac", "-f", "matroska")),
    "webm": SoundFormat("webm", ("-c:a", "libopus", "-f", "webm")),
    "ts": SoundFormat("mpeg-ts", ("-c:a", "aac", "-f", "mpegts")),
}
SAMPLE = (
    *("wav, RF64", "wav behind a tag", "w64", "aifc", "caf, ALAC", "au, mu-law", "flac behind two tags", "wavpack"),
    *("tta", "ape", "mpc7", "mpc8", "mp3 behind a tag and zeros", "mp2", "aac behind junk", "ac3", "eac3", "amr"),
    "amr, wide band",
)
"""Each container of sound, and each kind of bytes before one, once."""


def sound(name: str, folder: Path) -> Path:
    """Make the sound of this name in the folder."""
    wanted, path = SOUNDS[name], folder / "media"
    if isinstance(wanted.made, tuple):
        command = ["ffmpeg", "-v", "error", "-nostdin", "-y", "-f", "lavfi", "-i", STAIRS, *wanted.made, str(path)]
        subprocess.run(command, check=True)
        content = path.read_bytes()
    else:
        content = wanted.made()
    path.write_bytes(wanted.before + content)
    return path
