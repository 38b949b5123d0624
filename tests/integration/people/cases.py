"""Files that people make, and the right answer about each: how it is made, and what must be found."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from tests.integration.people import films, pictures, sounds
from tests.integration.people.expectations import (
    JUDGED,
    NOT_REAL,
    Between,
    Facts,
    film,
    picture,
    refused,
    sound,
)
from tests.integration.people.field_pictures import fields
from tests.integration.people.films import (
    BROWSER_CAMERA,
    ENCRYPTED,
    LIVE,
    SLOW_MOTION,
    WIDE_PIXELS,
    encoded,
    hours_promised,
    joined,
    mirrored,
    with_voice,
)
from tests.integration.people.sounds import from_media, of_format, voice
from tests.integration.people.studio import H264, VP8, Make

_MPEG2 = ("-c:v", "mpeg2video", "-q:v", "2")
_THEORA = ("-c:v", "libtheora", "-q:v", "10")
_MP3 = ("-q:a", "2", "-write_xing", "0", "-id3v2_version", "0")
_BLUE = picture("blue", size="64x64")
_NOT_SUPPORTED = "media_not_supported"


@dataclass(frozen=True, slots=True)
class Case:
    """How a file is made, and what must be answered about it. `is_further` cases repeat a promise of another."""

    make: Make
    expected: Facts
    is_further: bool = False


def _further(make: Make, expected: Facts) -> Case:
    return Case(make, expected, is_further=True)


_WHOLE: Final = film("real", 4.0, frames=120)
_TAMPERED: Final = film("fake", 4.0, frames=120)
_JOINED: Final = film(NOT_REAL, 8.0, frames=240)
_TALKIE: Final = film("real", 4.0, frames=120, heard="whole", sound_seconds=4.0)

FILMS: Final[Mapping[str, Case]] = {
    "WebM of a browser, tampered and real joined": Case(joined("tampered", "real", "webm", *VP8, *LIVE), _JOINED),
    "WebM, tampered and real joined": _further(joined("tampered", "real", "webm", *VP8), _JOINED),
    "MPEG-TS, real and tampered joined": Case(joined("real", "tampered", "ts", "-g", "15", *H264), _JOINED),
    "MPEG-TS whose stamps jump ahead where it is joined": Case(
        joined("tampered", "real", "ts", *H264, later=("-output_ts_offset", "100")), _JOINED
    ),
    "cells of a DVD, tampered and real": _further(joined("tampered", "real", "mpg", *_MPEG2), _JOINED),
    "two default films, the tampered one first": Case(films.two_films, {**_TAMPERED, "video_tracks": 2}),
    "camera of a browser": Case(with_voice("real", "camera.mp4", *BROWSER_CAMERA), _TALKIE),
    "broadcast that begins inside a group of pictures": Case(
        films.broadcast_cut_at_its_start, film("real", 3.5, frames=105)
    ),
    "broadcast that begins at 40,000 s": Case(
        encoded("tampered", "late.ts", *H264, "-output_ts_offset", "40000"), _TAMPERED
    ),
    "mirrored selfie": Case(mirrored("hflip"), {**_WHOLE, "pose": "as filmed"}),
    "selfie upside down": _further(mirrored("vflip"), {**_WHOLE, "pose": "as filmed"}),
    "transposed selfie": _further(mirrored("transpose=0"), {**_WHOLE, "pose": "as filmed"}),
    "fragments of unknown length": Case(films.unknown_length, _WHOLE),
    "FLV that promises five hours": Case(hours_promised("flv"), _WHOLE),
    "MP4 that promises five hours": _further(hours_promised("mp4"), _WHOLE),
    "MKV that promises five hours": _further(hours_promised("mkv"), _WHOLE),
    "AVI that promises five hours": _further(hours_promised("avi"), _WHOLE),
    "slow motion at 240.1 frames a second": Case(
        encoded("real", "slow.mov", *SLOW_MOTION), film("real", 0.5, frames=120, rate=240.1)
    ),
    "security camera, packets without times": Case(
        encoded("tampered", "cctv.mpg", "-bf", "0", *H264, "-f", "vob"), _TAMPERED
    ),
    "camera of 1080i, two fields a frame": Case(
        fields("tampered", "fields.mts"), film("fake", 2.4, frames=60, rate=25.0)
    ),
    "television of two fields a frame": _further(
        fields("real", "fields.ts", blu_ray=False), film("real", 2.4, frames=60, rate=25.0)
    ),
    "AVI with B-frames": Case(encoded("tampered", "bframes.avi", "-bf", "3", *H264), _TAMPERED),
    "MKV with forty fonts": Case(films.with_fonts, _WHOLE),
    "pictures that start after the sound": Case(films.pictures_late, _TALKIE),
    "pixels that are not square": Case(
        encoded("real", "wide.mp4", *WIDE_PIXELS), {**_WHOLE, "size": "1024x576", "shape": 1.78}
    ),
    "screen recording that stands still for 20 s": Case(
        films.screen_recording, film(NOT_REAL, Between(23.9, 24.05), frames=120)
    ),
    "MPEG-PS of three frames": Case(
        with_voice("real", "short.mpg", *_MPEG2, "-frames:v", "3", "-t", "0.1"), film("real", 0.1, frames=3)
    ),
    "Ogg of three frames": _further(encoded("real", "short.ogv", *_THEORA, "-frames:v", "3"), film("real", 0.1)),
    "Theora of an odd size": Case(encoded("real", "odd.ogv", "-vf", "scale=180:150", *_THEORA), _WHOLE),
    "MPEG-1 without a container": _further(
        encoded("tampered", "bare.m1v", "-c:v", "mpeg1video", "-q:v", "2"), _TAMPERED
    ),
    "protected film": Case(encoded("real", "cenc.mp4", *ENCRYPTED), refused(_NOT_SUPPORTED, "protected", "DRM")),
}

SOUNDS: Final[Mapping[str, Case]] = {
    "slices of a browser's recording, without a length": Case(voice("slices.webm", *sounds.SLICES), sound(4.0)),
    "microphone of a browser, packets without durations": Case(from_media("camera.mp4"), sound(3.0)),
    "Firefox's recording": Case(from_media("firefox.webm"), sound(3.0)),
    "Chrome's recording": _further(from_media("chromium.webm"), sound(3.0)),
    "MP4 whose sound starts before 0": Case(from_media("before_zero.mp4"), sound(2.5)),
    "MOV whose sound starts before 0": _further(from_media("before_zero.mov"), sound(2.5)),
    "AAC that begins with silence": Case(sounds.quiet_first("aac"), sound(24.0)),
    "MP3 of variable rate that begins with silence": _further(sounds.quiet_first("mp3", *_MP3), sound(24.0)),
    "chained Ogg": Case(sounds.quiet_first("ogg", "-c:a", "libvorbis"), sound(24.0)),
    "song with a broken cover": Case(sounds.behind(sounds.BROKEN_COVER), sound(4.0)),
    "song with two tags": Case(sounds.behind(sounds.TITLE, sounds.TITLE), sound(4.0)),
    "song with zeros behind its tag": Case(sounds.behind(sounds.TITLE, bytes(3000)), sound(4.0)),
    "WAV behind a tag": _further(of_format("wav behind a tag"), sound(2.0)),
    "voice memo in AMR": Case(of_format("amr"), sound(2.0)),
    "phone's 3GP, 5 AMR frames a packet": _further(from_media("five_frames.3gp"), sound(3.0)),
    "phone's 3GP, 50 AMR frames a packet": Case(from_media("fifty_frames.3gp"), sound(3.0)),
    **{f"sound in {name.upper()}": _further(of_format(name), sound(2.0)) for name in ("aiff", "caf", "ac3", "w64")},
    **{f"sound in {name.upper()}": _further(of_format(name), sound(2.0)) for name in ("wavpack", "tta", "ape")},
    "Musepack of silence": _further(of_format("mpc7"), sound(2.0, "silence")),
    "WMA Lossless": _further(from_media("lossless.wma"), sound(3.0)),
    "channels that cancel out": Case(voice("out.m4a", *sounds.ANTIPHASE), sound(4.0, "one channel", channels=2)),
    "WAV of twelve channels": Case(sounds.many_channels, sound(4.0, channels=12)),
    "two sound tracks, the voice first": Case(films.two_sounds, sound(4.0, audio_tracks=2)),
    "AVI without key flags": Case(from_media("no_key_flags.avi"), sound(3.0)),
    "AVI with a false length": Case(from_media("false_length.avi"), sound(3.0)),
    "FLAC of 32 bits": Case(from_media("bits32.flac"), sound(3.0)),
    "ALAC in Matroska, packets without durations": Case(sounds.laced, sound(4.0)),
    "podcast with chapter pictures": Case(sounds.chapter_pictures, sound(4.0, video_tracks=0)),
    "cut FLAC": Case(sounds.cut("flac", 0.3), sound(Between(5.7, 6.1), truncated=True)),
    "cut MP3": Case(sounds.cut("mp3", 0.3), sound(Between(5.7, 6.1), truncated=True)),
    "cut WMA": Case(sounds.cut("wma", 0.3), sound(Between(5.7, 6.1), truncated=True)),
    "M4A cut behind its index": Case(sounds.index_without_sound, refused("media_truncated", "cut off")),
    "short MP3 with one bad packet": Case(sounds.one_bad_packet, sound(Between(0.45, 0.6))),
    "WAV whose RIFF length is too long": Case(sounds.riff_too_long, sound(4.0)),
    "MPEG-H in MP4": _further(sounds.other_codec, refused(_NOT_SUPPORTED, "sound", "codec", "MPEG-H")),
    "MPEG-H in MPEG-TS": Case(sounds.other_codec_in_stream, refused(_NOT_SUPPORTED, "sound", "codec", "MPEG-H")),
    "Immersive Audio": Case(sounds.immersive, refused(_NOT_SUPPORTED, "sound", "codec", "IAMF")),
}

PICTURES: Final[Mapping[str, Case]] = {
    "APNG of one frame behind a hidden image": Case(pictures.hidden_default(1), _BLUE),
    "APNG of three frames behind a hidden image": _further(
        pictures.hidden_default(3), film(JUDGED, 1.5, frames=3, colour="blue")
    ),
    "APNG that says so behind a long text": Case(
        pictures.hidden_default(3, late=True), film(JUDGED, 1.5, frames=3, colour="blue")
    ),
    "PNG with three megabytes of packed text": Case(pictures.text_of_megabytes, _BLUE),
    "JPEG without its end marker": Case(pictures.without_end, _BLUE),
    "photo of 108 megapixels": _further(pictures.large_photo, picture("grey", size="12000x9000")),
    "BMP of four bits a colour": Case(pictures.bitmap(16, (0xF00, 0xF0, 0xF, 0xF000), 0xF11D), _BLUE),
    "BMP of 16 bits": _further(pictures.bitmap(16, (0xF800, 0x7E0, 0x1F), 0x18FB), _BLUE),
    "BMP of ten bits a colour": Case(
        pictures.bitmap(32, (0x3FF00000, 0xFFC00, 0x3FF), 0x078 << 20 | 0x078 << 10 | 0x378), _BLUE
    ),
    "BMP of OS/2": Case(pictures.os2_bitmap, _BLUE),
    "TIFF of floating point numbers": Case(pictures.float_tiff, _BLUE),
    "TIFF in CIELAB": Case(pictures.saved("lab.tif", "TIFF", "LAB", (82, 196, 16)), _BLUE),
    "ICO": Case(pictures.saved("picture.ico", "ICO"), _BLUE),
    "JPEG 2000": Case(pictures.saved("picture.jp2", "JPEG2000"), _BLUE),
    "Targa": Case(pictures.saved("picture.tga", "TGA"), refused(_NOT_SUPPORTED, "Targa")),
    "JPEG XL": Case(pictures.jpeg_xl, refused(_NOT_SUPPORTED, "JPEG XL")),
    "HEIC of the brand heis": Case(pictures.branded(b"heis"), {**_BLUE, "container": "heic"}),
    "HEIF of the brand mif3": Case(pictures.branded(b"mif3"), refused(_NOT_SUPPORTED, "HEIF", "compact header")),
    "HEIF of the brand jpeg": Case(pictures.branded(b"jpeg"), refused(_NOT_SUPPORTED, "HEIF", "JPEG")),
    "HEIF of the brand vvic": Case(pictures.branded(b"vvic"), refused(_NOT_SUPPORTED, "HEIF", "VVC")),
    "HEIF without compression": Case(pictures.uncompressed, refused(_NOT_SUPPORTED, "HEIF", "without compression")),
    "AVIF of 17,000 x 17,000 pixels": Case(pictures.huge_avif, refused("media_too_large", "17000 x 17000")),
    "animated AVIF with sound": Case(
        pictures.with_sound, film(JUDGED, 0.6, frames=3, has_audio=True, sound_seconds=1.0, heard="whole")
    ),
    "cut GIF": Case(pictures.cut_gif, refused("media_truncated", "picture")),
    "RTF document": Case(pictures.rich_text, refused(_NOT_SUPPORTED, "RTF")),
}

CASES: Final[Mapping[str, Case]] = {**FILMS, **SOUNDS, **PICTURES}
"""Every file by its name."""
