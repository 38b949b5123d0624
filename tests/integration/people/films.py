"""Films as people upload them: joined, cut, mirrored, with odd tracks and odd clocks."""

from __future__ import annotations

import re
import struct
from pathlib import Path

from tests.integration.attacks.iso import words
from tests.integration.media.films import ffmpeg
from tests.integration.people.studio import H264, VOICE, Clip, Make, Studio

LIVE = ("-live", "1", "-cluster_time_limit", "300")
"""A WebM file as a browser records it: nothing says how long anything is."""
_PACKET = 188


def encoded(clip: Clip, name: str, *options: str) -> Make:
    """The clip with these options of FFmpeg's command."""
    return lambda studio: studio.encoded(clip, name, *options)


def joined(first: Clip, second: Clip, suffix: str, *options: str, later: tuple[str, ...] = ()) -> Make:
    """Two recordings, one file appended to the other: time stamps begin anew, or jump with the options `later`."""

    def make(studio: Studio) -> Path:
        one = studio.encoded(first, f"one.{suffix}", *options).read_bytes()
        two = studio.encoded(second, f"two.{suffix}", *options, *later).read_bytes()
        return studio.written(f"joined.{suffix}", one + two)

    return make


def two_films(studio: Studio) -> Path:
    """Two video tracks, both flagged as default, the tampered one first; the real one has the higher bit rate."""
    made = studio.folder / "two.mp4"
    quality = ("-crf:v:0", "22", "-crf:v:1", "10")
    flags = ("-disposition:v:0", "default", "-disposition:v:1", "default")
    ffmpeg("-i", studio.tampered, "-i", studio.real, "-map", "0:v", "-map", "1:v", *H264, *quality, *flags, made)
    return made


def two_sounds(studio: Studio) -> Path:
    """Two sound tracks: a voice first, then silence that is flagged as default, which browsers ignore in Matroska."""
    made = studio.folder / "two.mka"
    ffmpeg(
        *("-f", "lavfi", "-i", VOICE.format(seconds=4), "-f", "lavfi", "-i", "anullsrc=r=48000:cl=mono:d=4"),
        *("-map", "0", "-map", "1", "-c:a", "libopus", "-disposition:a:0", "0", "-disposition:a:1", "default", made),
    )
    return made


def with_voice(clip: Clip, name: str, *options: str) -> Make:
    """The clip with a voice."""

    def make(studio: Studio) -> Path:
        voice = ("-f", "lavfi", "-i", VOICE.format(seconds=4), "-map", "0:v", "-map", "1:a")
        return studio.encoded(clip, name, *voice, *options)

    return make


def broadcast_cut_at_its_start(studio: Studio) -> Path:
    """A transport stream that begins inside a group of pictures."""
    whole = studio.encoded("real", "whole.ts", "-g", "15", *H264).read_bytes()
    return studio.written("cut.ts", whole[40 * _PACKET :])


def mirrored(flip: str) -> Make:
    """A selfie: the pixels are flipped, and the track's matrix flips them back."""
    matrices = {
        "hflip": (-1, 0, 0, 0, 1, 0, 176, 0),
        "vflip": (1, 0, 0, 0, -1, 0, 0, 144),
        "transpose=0": (0, 1, 0, 1, 0, 0, 0, 0),
    }

    def make(studio: Studio) -> Path:
        content = bytearray(studio.encoded("real", "flipped.mp4", "-vf", flip, *H264).read_bytes())
        place = content.index(b"tkhd") + 4 + 40
        content[place : place + 36] = struct.pack(">9i", *(number << 16 for number in matrices[flip]), 1 << 30)
        return studio.written("mirrored.mp4", bytes(content))

    return make


def unknown_length(studio: Studio) -> Path:
    """Fragments behind a header whose durations are all ones."""
    flags = "empty_moov+frag_keyframe+default_base_moof"
    content = bytearray(studio.encoded("real", "fragments.mp4", *H264, "-movflags", flags).read_bytes())
    _set_durations(content, 0xFFFFFFFF)
    return studio.written("unknown.mp4", bytes(content))


def hours_promised(suffix: str) -> Make:
    """A header that promises five hours of a film of four seconds, of which no byte is missing."""

    def make(studio: Studio) -> Path:
        content = bytearray(studio.encoded("real", f"honest.{suffix}", *H264).read_bytes())
        seconds = 5 * 3600
        if suffix == "mp4":
            _set_durations(content, seconds * 30_000)
        elif suffix == "mkv":
            place = content.index(b"\x44\x89\x88")  # Duration, as a number of 8 bytes, in milliseconds
            content[place + 3 : place + 11] = struct.pack(">d", seconds * 1000)
        elif suffix == "flv":
            place = content.index(b"\x00\x08duration\x00")
            content[place + 11 : place + 19] = struct.pack(">d", seconds)
        else:
            for place in (content.index(b"avih") + 8 + 16, content.index(b"strh") + 8 + 32):
                content[place : place + 4] = struct.pack("<I", seconds * 30)
        return studio.written(f"hours.{suffix}", bytes(content))

    return make


def _set_durations(content: bytearray, value: int) -> None:
    for kind, offset in ((b"mvhd", 16), (b"mdhd", 16), (b"tkhd", 20)):
        for found in re.finditer(kind, bytes(content)):
            content[found.end() + offset : found.end() + offset + 4] = words(value)


def with_fonts(studio: Studio) -> Path:
    """Subtitles' fonts are attached to the film, forty of them."""
    font = studio.written("font.ttf", bytes(104))
    attached: list[str | Path] = []
    for number in range(40):
        attached += ["-attach", font, f"-metadata:s:t:{number}", "mimetype=application/x-truetype-font"]
    made = studio.folder / "fonts.mkv"
    ffmpeg("-i", studio.real, *attached, "-c", "copy", made)
    return made


def pictures_late(studio: Studio) -> Path:
    """The pictures start 1.5 s after the sound."""
    made = studio.folder / "late.mp4"
    sound = ("-f", "lavfi", "-i", VOICE.format(seconds=4), "-map", "0:v", "-map", "1:a", "-c:v", "copy", "-c:a", "aac")
    ffmpeg("-itsoffset", "1.5", "-i", studio.real, *sound, made)
    return made


def screen_recording(studio: Studio) -> Path:
    """Two pictures that stand still for ten seconds each, then 118 tampered ones in four seconds."""
    stamps = "setpts='if(lt(N,2),N*10/TB,20/TB+PTS)'"
    options = ("-vf", stamps, "-fps_mode", "passthrough", "-video_track_timescale", "90000")
    return studio.encoded("tampered", "screen.mp4", *options, *H264)


BROWSER_CAMERA = (
    *(*H264, "-c:a", "libopus", "-frame_duration", "60"),
    *("-movflags", "empty_moov+frag_keyframe+default_base_moof"),
)
"""MP4 as a browser records it."""
SLOW_MOTION = ("-vf", "setpts=N/(240.1*TB)", "-r", "240.1", "-video_track_timescale", "24010", *H264)
"""Slightly more frames a second than are allowed."""
WIDE_PIXELS = ("-vf", "scale=720:576,setsar=64/45", *H264)
"""PAL for a wide screen."""
ENCRYPTED = (
    *(*H264, "-encryption_scheme", "cenc-aes-ctr", "-encryption_key", "76a6c65c5ea762046bd749a2e632ccbb"),
    *("-encryption_kid", "a7e61c373e219033c21091fa607bf3b8"),
)
"""Protected by Common Encryption."""
