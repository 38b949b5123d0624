"""Files that were handed to this project with their right answers, by name; they are not part of it.

`python -m tests.integration.people --files FOLDER` asks about those of them that are in the folder.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

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

_WHOLE: Final = film("real", 4.0, frames=120)
_JOINED: Final = film(NOT_REAL, 8.0, frames=240)

MADE_FOR_THIS_PROJECT: Final[Mapping[str, Facts]] = {
    "1-tampered-then-real.webm": _JOINED,
    "twoblobs_tr-T.webm": _JOINED,
    "1-real-then-tampered.ts": _JOINED,
    "two_TR-T.mp4": film("fake", 4.0, frames=120, video_tracks=2),
    "apng_default_then_1.png": picture("blue", size="64x64"),
    "mic_slices.webm": sound(3.0),
    "4-no-length.webm": sound(4.0),
    # Of three seconds of Opus 80 ms come before what plays.
    "mic.mp4": sound(2.92),
    "cam.mp4": film(JUDGED, 3.0, frames=60, heard="whole", sound_seconds=2.92),
    "quietfirst.aac": sound(24.0),
    "6-quiet-start.aac": sound(24.0),
    "midgop-R.ts": film("real", 3.5, frames=105),
    "7-mid-gop.ts": film("real", 3.5, frames=105),
    "hflip-R.mp4": {**_WHOLE, "pose": "as filmed"},
    "8-mirrored.mp4": {**_WHOLE, "pose": "as filmed"},
    "badcover.mp3": sound(4.0),
    "9-broken-cover.mp3": sound(4.0),
    "unkdurfrag-R.mp4": _WHOLE,
    "10-unknown-length.mp4": _WHOLE,
    "flvdur-R.flv": _WHOLE,
    "fps240_1-R.mov": film("real", 0.5, frames=120, rate=240.1),
    "11-slow-motion.mov": film("real", 0.5, frames=120, rate=240.1),
    "cctv-T.mpg": film("fake", 4.0, frames=120),
    "12-cctv.mpg": film("fake", 4.0, frames=120),
    "twotags.mp3": sound(4.0),
    "13-two-tags.mp3": sound(4.0),
    "tagzeros.mp3": sound(4.0),
    "13-padding.mp3": sound(4.0),
    "voice.amr": sound(4.0),
    "13-voice.amr": sound(4.0),
    "antiphase.m4a": sound(4.0, "one channel", channels=2),
    "14-antiphase.m4a": sound(4.0, "one channel", channels=2),
    "fonts40-R.mkv": _WHOLE,
    "15-forty-fonts.mkv": _WHOLE,
    "noeoi.jpg": picture(size="200x133"),
    "16-no-end-marker.jpg": picture(size="200x134"),
    "itxt3mb.png": picture(size="200x133"),
    "videolate-R.mp4": {**_WHOLE, "heard": "whole", "sound_seconds": 4.0},
    "17-video-starts-late.mp4": {**_WHOLE, "heard": "whole", "sound_seconds": 4.0},
    "pal169-R.mp4": {**_WHOLE, "size": "1024x576", "shape": 1.78},
    "18-anamorphic.mp4": {**_WHOLE, "size": "1024x576", "shape": 1.78},
    "screenvfr-T.mp4": film(NOT_REAL, Between(23.9, 24.05), frames=120),
    "20-screen-vfr.mp4": film(NOT_REAL, Between(23.9, 24.05), frames=120),
    "2-two-tracks.mp4": film("fake", 4.0, frames=120, video_tracks=2),
    "brand_heis.heic": picture(container="heic", size="200x133"),
    "cenc-R.mp4": refused("media_not_supported", "protected", "DRM"),
    "demo.rtf": refused("media_not_supported", "RTF"),
}
"""From FFmpeg, Pillow, Chromium's MediaRecorder, and bytes set by hand; the numbered ones from a script."""

OF_OTHER_PROJECTS: Final[Mapping[str, Facts]] = {
    "firefox55_mediarecorder.webm": film(JUDGED, 1.6, heard="whole", sound_seconds=1.6),
    "sound_starts_before_zero.mp4": film(JUDGED, 1.07, frames=31, heard="whole", sound_seconds=1.07),
    "avchd_sony_a7m3.mts": film(JUDGED, Between(0.1, 0.2), rate=25.0, heard="whole"),
    "h264_bframes_nopts.avi": film(JUDGED, 12.0, frames=360),
    "audio_not_flagged_key.avi": film(JUDGED, 2.5, heard="whole", sound_seconds=2.5),
    "3gp_phone.3gp": film(JUDGED, 9.7, frames=97, heard="whole", sound_seconds=9.7),
    "3gp_amr_50_frames_a_packet.3gp": film(JUDGED, 15.04, frames=222, heard="whole", sound_seconds=15.2),
    "alac_no_durations.mka": sound(5.59),
    "podcast_chapter_pictures.m4a": sound(10.47, video_tracks=0),
    "cut_upload.flac": sound(Between(1.85, 2.05), truncated=True),
    "large_length.avi": film(JUDGED, 1.93, heard="whole", sound_seconds=2.04),
    "short_mpeg2.mpg": film(JUDGED, 0.12, frames=3),
    "flac_32bit.flac": sound(2.74),
    "bitfields_4444.bmp": picture(size="127x64"),
    "cielab.tif": picture(size="10x10"),
    "one_bad_packet.mp3": sound(Between(0.4, 0.5)),
    "avis_with_sound.avif": film(JUDGED, 0.17, frames=5, has_audio=True, heard="whole"),
    "riff_length_too_long.wav": sound(1.0),
    "cut.m4a": refused("media_truncated"),
    "iamf.mp4": refused("media_not_supported", "sound", "codec"),
    "mpegh.ts": refused("media_not_supported", "sound", "codec"),
}
"""From the test suites of other projects."""

HANDED: Final[Mapping[str, Facts]] = {**MADE_FOR_THIS_PROJECT, **OF_OTHER_PROJECTS}
