"""Files that were handed to this project with their right answers, by name; they are not part of it.

`python -m tests.integration.people --files FOLDER` asks about those of them that are in the folder.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from tests.integration.people.expectations import (
    NOT_REAL,
    Among,
    Between,
    Facts,
    film,
    picture,
    refused,
    sound,
)

MADE_FOR_THIS_PROJECT: Final[Mapping[str, Facts]] = {
    "1-tampered-then-real.webm": film(NOT_REAL, 8.0, frames=240),
    "twoblobs_tr-T.webm": film(NOT_REAL, 8.0, frames=240),
    "1-real-then-tampered.ts": film(NOT_REAL, 8.0, frames=240),
    "two_TR-T.mp4": film("fake", 4.0, frames=120, video_tracks=2),
    "apng_default_then_1.png": picture("green"),
    "mic_slices.webm": sound(3.0),
    "mic.mp4": sound(3.0),
    "cam.mp4": film(Among(("real", "fake", "uncertain")), 3.0, frames=60, heard="whole", sound_seconds=3.0),
    "quietfirst.aac": sound(24.0),
    "midgop-R.ts": film("real", Between(3.3, 4.0), frames=105),
    "hflip-R.mp4": film("real", 4.0, frames=120, pose="as filmed"),
    "badcover.mp3": sound(4.0),
    "unkdurfrag-R.mp4": film("real", 4.0, frames=120),
    "flvdur-R.flv": film("real", 4.0, frames=120),
    "fps240_1-R.mov": film("real", 0.5, frames=120),
    "cctv-T.mpg": film("fake", 4.0, frames=120),
    "twotags.mp3": sound(4.0),
    "tagzeros.mp3": sound(4.0),
    "voice.amr": sound(4.0),
    "antiphase.m4a": sound(4.0, "one channel", channels=2),
    "fonts40-R.mkv": film("real", 4.0, frames=120),
    "noeoi.jpg": picture(Among(("black", "white", "grey", "red", "green", "blue")), size="200x134"),
    "itxt3mb.png": picture(Among(("black", "white", "grey", "red", "green", "blue")), size="200x133"),
    "videolate-R.mp4": film("real", 4.0, frames=120, heard="whole", sound_seconds=4.0),
    "pal169-R.mp4": film("real", 4.0, frames=120, size="1024x576", shape=1.78),
    "screenvfr-T.mp4": film("fake", Between(23.5, 24.1), frames=120),
    "brand_heis.heic": picture(Among(("black", "white", "grey", "red", "green", "blue")), container="heic"),
    "cenc-R.mp4": refused("media_not_supported", "protected", "DRM"),
    "demo.rtf": refused("media_not_supported", "RTF"),
}
"""From FFmpeg, Pillow, Chromium's MediaRecorder, and bytes set by hand."""

OF_OTHER_PROJECTS: Final[Mapping[str, Facts]] = {
    "firefox55_mediarecorder.webm": film(Among(("real", "fake", "uncertain")), 1.6, heard="whole", sound_seconds=1.6),
    "sound_starts_before_zero.mp4": film(
        Among(("real", "fake", "uncertain")), 1.07, frames=31, heard="whole", sound_seconds=1.07
    ),
    "avchd_sony_a7m3.mts": film(Among(("real", "fake", "uncertain")), Between(0.1, 0.2), rate=25.0, has_audio=True),
    "h264_bframes_nopts.avi": film(Among(("real", "fake", "uncertain")), 12.0, frames=360),
    "audio_not_flagged_key.avi": film(Among(("real", "fake", "uncertain")), 2.5, heard="whole", sound_seconds=2.5),
    "3gp_phone.3gp": film(Among(("real", "fake", "uncertain")), 9.7, frames=97, heard="whole", sound_seconds=9.7),
    "3gp_amr_50_frames_a_packet.3gp": film(
        Among(("real", "fake", "uncertain")), Between(15.0, 15.2), frames=222, heard="whole", sound_seconds=15.2
    ),
    "alac_no_durations.mka": sound(5.59),
    "podcast_chapter_pictures.m4a": sound(10.47, video_tracks=0),
    "cut_upload.flac": sound(Between(1.85, 2.05), truncated=True),
    "large_length.avi": film(Among(("real", "fake", "uncertain")), 1.93, heard="whole", sound_seconds=2.04),
    "short_mpeg2.mpg": film(Among(("real", "fake", "uncertain")), 0.12, frames=3),
    "flac_32bit.flac": sound(2.74),
    "bitfields_4444.bmp": picture(Among(("black", "white", "grey", "red", "green", "blue")), size="127x64"),
    "cielab.tif": picture(Among(("black", "white", "grey", "red", "green", "blue")), size="10x10"),
    "one_bad_packet.mp3": sound(Between(0.4, 0.5)),
    "avis_with_sound.avif": film(Among(("real", "fake", "uncertain")), 0.17, frames=5, has_audio=True),
    "riff_length_too_long.wav": sound(1.0),
    "cut.m4a": refused("media_truncated"),
    "iamf.mp4": refused("media_not_supported", "sound", "codec"),
    "mpegh.ts": refused("media_not_supported", "sound", "codec"),
}
"""From the test suites of other projects."""

HANDED: Final[Mapping[str, Facts]] = {**MADE_FOR_THIS_PROJECT, **OF_OTHER_PROJECTS}
