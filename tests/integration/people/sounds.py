"""Sound as people upload it: without a length, with a false one, cut, tagged, and in the containers of phones."""

from __future__ import annotations

import struct
from pathlib import Path

import av
import numpy as np

from tests.integration.attacks.iso import box, boxes, words
from tests.integration.formats import sounds as formats
from tests.integration.media import sound_files
from tests.integration.media.films import ffmpeg
from tests.integration.people.studio import VOICE, Make, Studio

_MP3 = ("-c:a", "libmp3lame", "-id3v2_version", "0", "-write_xing", "0")
_ERROR_PAGE = b"<html>404 not found</html>"


def voice(name: str, *options: str, seconds: float = 4) -> Make:
    """The voice with these options of FFmpeg's command."""
    return lambda studio: studio.voice(name, *options, seconds=seconds)


def from_media(name: str) -> Make:
    """One of the kinds of sound files that the tests of decoding use."""

    def make(studio: Studio) -> Path:
        made = studio.folder / name
        sound_files.FILES[name](made)
        return made

    return make


def of_format(name: str) -> Make:
    """One of the containers that the tests of formats use."""
    return lambda studio: formats.sound(name, studio.folder)


def behind(*parts: bytes) -> Make:
    """An MP3 without a header of its own behind these bytes."""

    def make(studio: Studio) -> Path:
        bare = studio.voice("bare.mp3", *_MP3).read_bytes()
        return studio.written("behind.mp3", b"".join(parts) + bare)

    return make


def id3(frames: bytes) -> bytes:
    """An ID3v2 tag."""
    size = len(frames)
    return b"ID3\x03\x00\x00" + bytes(size >> shift & 0x7F for shift in (21, 14, 7, 0)) + frames


def _id3_frame(kind: bytes, body: bytes) -> bytes:
    return kind + struct.pack(">IH", len(body), 0) + body


TITLE = id3(_id3_frame(b"TIT2", b"\x00hello") + bytes(200))
BROKEN_COVER = id3(_id3_frame(b"APIC", b"\x00image/jpeg\x00\x03\x00" + _ERROR_PAGE))
"""The picture of an album, of which a server's error page was saved."""


def quiet_first(suffix: str, *options: str) -> Make:
    """Silence and then a voice, one file appended to the other: a length guessed from the first bytes is far off."""

    def make(studio: Studio) -> Path:
        quiet = studio.folder / f"quiet.{suffix}"
        ffmpeg("-f", "lavfi", "-i", "anullsrc=r=48000:cl=mono:d=4", *options, quiet)
        loud = studio.voice(f"loud.{suffix}", *options, seconds=20)
        return studio.written(f"joined.{suffix}", quiet.read_bytes() + loud.read_bytes())

    return make


def cut(suffix: str, share: float, *options: str) -> Make:
    """An upload of which only the first part arrived."""

    def make(studio: Studio) -> Path:
        content = studio.voice(f"whole.{suffix}", *options, seconds=20).read_bytes()
        return studio.written(f"cut.{suffix}", content[: round(share * len(content))])

    return make


def index_without_sound(studio: Studio) -> Path:
    """An M4A with its index first, cut behind it."""
    content = studio.voice("whole.m4a", "-c:a", "aac", "-movflags", "+faststart").read_bytes()
    return studio.written("cut.m4a", content[: content.index(b"mdat") + 4])


def one_bad_packet(studio: Studio) -> Path:
    """A short MP3 in which one packet behind a good header is noise."""
    content = bytearray(studio.voice("whole.mp3", *_MP3, "-b:a", "64k", seconds=0.5).read_bytes())
    packet = content.index(b"\xff\xfb", len(content) // 2)
    content[packet + 4 : packet + 100] = b"\xa5\x5a" * 48
    return studio.written("bad.mp3", bytes(content))


def riff_too_long(studio: Studio) -> Path:
    """A WAV whose outer length counts more bytes than there are; the chunk of samples is whole."""
    content = studio.voice("whole.wav", "-ar", "16000").read_bytes()
    return studio.written("long.wav", content[:4] + struct.pack("<I", len(content) + 500) + content[8:])


def many_channels(studio: Studio) -> Path:
    """A WAV of twelve channels."""
    times = np.arange(4 * 16_000) / 16_000
    tone = np.rint(9000 * np.sin(2 * np.pi * 220 * times)).astype(np.int16)
    made = studio.folder / "twelve.wav"
    sound_files.wav(made, np.repeat(tone[:, None], 12, axis=1), 16_000)
    return made


def chapter_pictures(studio: Studio) -> Path:
    """A podcast: sound, and a track of two pictures that the sound names as those of its chapters."""
    plain = studio.folder / "plain.m4a"
    pictures = ("-f", "lavfi", "-i", "testsrc=s=300x300:r=1/2:d=4")
    ffmpeg(
        *("-f", "lavfi", "-i", VOICE.format(seconds=4), *pictures, "-map", "0:a", "-map", "1:v", "-f", "mov"),
        *("-c:a", "aac", "-c:v", "mjpeg", "-pix_fmt", "yuvj420p", plain),
    )
    names_chapters = box(b"tref", box(b"chap", words(2)))
    parts = []
    for kind, body in boxes(plain.read_bytes()):
        if kind == b"moov":  # it comes last, so what it points at stays where it is
            inside = [*boxes(body)]
            first = next(number for number, (name, _) in enumerate(inside) if name == b"trak")
            inside[first] = (b"trak", inside[first][1] + names_chapters)
            parts.append(box(kind, *(box(name, part) for name, part in inside)))
        else:
            parts.append(box(kind, b"M4A " + body[4:] if kind == b"ftyp" else body))
    return studio.written("podcast.m4a", b"".join(parts))


def laced(studio: Studio) -> Path:
    """ALAC in Matroska, several packets in a block: only the first has a time, and none a duration."""
    plain = studio.voice("plain.m4a", "-c:a", "alac")
    with av.open(str(plain)) as opened:
        track = opened.streams.audio[0]
        configuration = bytes(track.codec_context.extradata or b"")
        packets = [(packet.pts or 0, bytes(packet)) for packet in opened.demux(track) if packet.size]
    blocks = []
    for start in range(0, len(packets), 4):
        group = [content for _, content in packets[start : start + 4]]
        sizes = b"".join(b"\xff" * (len(one) // 255) + bytes([len(one) % 255]) for one in group[:-1])
        milliseconds = packets[start][0] * 1000 // 48_000
        head = b"\x81" + struct.pack(">h", milliseconds) + b"\x82" + bytes([len(group) - 1])
        blocks.append(_element("a3", head + sizes + b"".join(group)))
    sound = _element("b5", struct.pack(">d", 48_000.0)) + _element("9f", b"\x01") + _element("6264", b"\x10")
    entry = (
        *(_element("d7", b"\x01"), _element("73c5", b"\x01"), _element("83", b"\x02"), _element("86", b"A_ALAC")),
        *(_element("63a2", configuration[-24:]), _element("e1", sound)),
    )
    header = _element("1a45dfa3", _element("4282", b"matroska") + _element("4285", b"\x02"))
    info = _element("1549a966", _element("2ad7b1", (1_000_000).to_bytes(3, "big")))
    tracks = _element("1654ae6b", _element("ae", b"".join(entry)))
    cluster = _element("1f43b675", _element("e7", b"\x00") + b"".join(blocks))
    return studio.written("laced.mka", header + _element("18538067", info + tracks + cluster))


def _element(kind: str, body: bytes) -> bytes:
    """An element of EBML."""
    return bytes.fromhex(kind) + b"\x08" + len(body).to_bytes(4, "big") + body


def other_codec(studio: Studio) -> Path:
    """A track of MPEG-H in MP4, by the name of its codec."""
    content = studio.voice("plain.mp4", "-c:a", "libopus").read_bytes()
    return studio.written("mpegh.mp4", content.replace(b"Opus", b"mha1"))


def other_codec_in_stream(studio: Studio) -> Path:
    """A stream of MPEG-H in a transport stream, by the number of its kind."""
    content = studio.voice("plain.ts", "-c:a", "mp2").read_bytes()
    return studio.written("mpegh.ts", content.replace(b"\x03\xe1\x00", b"\x2d\xe1\x00"))


def immersive(studio: Studio) -> Path:
    """A track of Immersive Audio, by the name of its codec."""
    content = studio.voice("plain.mp4", "-c:a", "libopus").read_bytes()
    return studio.written("iamf.mp4", content.replace(b"Opus", b"iamf"))


ANTIPHASE = ("-af", "pan=stereo|c0=c0|c1=-1*c0", "-c:a", "aac", "-b:a", "192k")
"""Two channels that cancel out."""
SLICES = ("-c:a", "libopus", "-frame_duration", "60", "-f", "webm", "-live", "1", "-cluster_time_limit", "300")
"""A recording of a browser, handed over in slices: nothing says how long it is."""
