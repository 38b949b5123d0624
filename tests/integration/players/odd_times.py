"""Films whose time stamps, edit lists and lengths are unlike those of a film from one encoder."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Final

import av
from av.packet import Packet
from av.video.stream import VideoStream

from tests.integration.players.iso_boxes import changed, set_edits, tracks
from tests.integration.players.made import VP8, X264, Corpus, Make, encoded, ffmpeg, film, tone

_BOTH: Final = (*film(), *tone())
_AAC: Final = ("-c:a", "aac")
_OPUS: Final = ("-c:a", "libopus")
_AS_STAMPED: Final = ("-fps_mode", "passthrough")
_PAUSE: Final = "setpts='if(lt(N,3),PTS,PTS+{}/TB)'"
_TICKS: Final = 1024
"""Ticks in which FFmpeg counts a frame of 0.1 s in MP4: 10,240 a second."""


def _edited(*edits: tuple[int, int, float]) -> Make:
    """A film without sound that begins at 0, and an edit list in ms of the film, frames and rates."""

    def make(path: Path) -> None:
        ffmpeg(*film(2.0), *X264, "-bf", "0", "-movie_timescale", "1000", path)
        changed(
            path,
            lambda file: set_edits(
                tracks(file)[0],
                *((length, frame * _TICKS if frame >= 0 else -1, rate) for length, frame, rate in edits),
            ),
        )

    return make


def _joined(kind: str, *options: str) -> Make:
    """Two recordings, the second one brighter, one after the other in the file."""

    def make(path: Path) -> None:
        parts = [path.with_name(f"part{number}.{kind}") for number in range(2)]
        for part, grey in zip(parts, (30, 150), strict=True):
            ffmpeg(*film(grey=grey), *tone(), *options, part)
        path.write_bytes(b"".join(part.read_bytes() for part in parts))
        for part in parts:
            part.unlink()

    return make


def _repacked(
    source: tuple[str, ...], kind: str, change: Callable[[int, Packet[VideoStream]], bool], **options: str
) -> Make:
    """A film whose packets are changed: `change` gets the number of a packet of pictures, and keeps it or not."""

    def make(path: Path) -> None:
        whole = path.with_name("whole.mkv")
        ffmpeg(*source, whole)
        with av.open(whole) as read, av.open(path, "w", format=kind, options=options) as written:
            stream = written.add_stream_from_template(read.streams.video[0])
            for number, packet in enumerate(read.demux(video=0)):
                if packet.size and change(number, packet):
                    packet.stream = stream
                    written.mux(packet)
        whole.unlink()

    return make


def _first_key_left_out(number: int, packet: Packet[VideoStream]) -> bool:
    return number >= 3


def _late(number: int, packet: Packet[VideoStream]) -> bool:
    assert packet.pts is not None
    assert packet.dts is not None
    packet.pts, packet.dts = packet.pts + 40_000_000, packet.dts + 40_000_000
    return True


def _retimed(speed: float, *options: str) -> Make:
    """Sound of four seconds whose stamps run at another speed."""
    changed_times = f"setts=pts=PTS/{speed}:dts=DTS/{speed}:duration=DURATION/{speed}"
    return encoded(*tone(440, 4.0), *options, "-bsf:a", changed_times)


def _with_gaps(*options: str) -> Make:
    """Sound of four seconds, before whose every fortieth packet the stamps leave out 35 others."""
    return encoded(*options, "-bsf:a", "setts=ts=TS+floor(N/40)*35*DURATION")


def _all_marked_as_keys(path: Path) -> None:
    """Without its table of keys, every packet of an MP4 file is one."""
    ffmpeg(*film(2.0), "-c:v", "mpeg4", "-q:v", "2", "-g", "20", path)
    path.write_bytes(path.read_bytes().replace(b"stss", b"free"))


def _without_length(path: Path) -> None:
    """As a page's recorder writes it: no length, no index, a cluster for each second, its length unknown."""
    ffmpeg(*_BOTH, *VP8, *_OPUS, "-f", "webm", "-live", "1", path)


TIMES: Final[Corpus] = {
    "cut before a key frame.mp4": lambda path: _cut(path, "0.3"),
    "pictures begin late.mp4": encoded("-itsoffset", "0.5", *film(), *tone(), *X264, *_AAC, *_AS_STAMPED),
    "pictures begin late.mkv": encoded("-itsoffset", "0.5", *film(), *tone(), *X264, *_AAC),
    "sound begins late.mp4": encoded(*film(), "-itsoffset", "0.5", *tone(), *X264, *_AAC),
    "sound is longer.mp4": encoded(*film(0.5), *tone(440, 1.5), *X264, *_AAC),
    "sound is longer.webm": encoded(*film(0.5), *tone(440, 1.5), *VP8, *_OPUS),
    "pictures are longer.mp4": encoded(*film(1.5), *tone(440, 0.5), *X264, *_AAC),
    "edit: from the middle.mp4": _edited((1000, 10, 1)),
    "edit: from between key frames.mp4": _edited((1000, 8, 1)),
    "edit: empty, then all.mp4": _edited((500, -1, 1), (2000, 0, 1)),
    "edit: two parts.mp4": _edited((500, 0, 1), (500, 15, 1)),
    "edit: two parts, the later first.mp4": _edited((500, 15, 1), (500, 0, 1)),
    "edit: the same part twice.mp4": _edited((500, 5, 1), (500, 5, 1)),
    "edit: a part, a pause, a part.mp4": _edited((500, 0, 1), (500, -1, 1), (500, 10, 1)),
    "edit: a still.mp4": _edited((500, 0, 1), (500, 5, 0), (500, 10, 1)),
    "edit: shorter than the film.mp4": _edited((500, 0, 1)),
    "edit: no length.mp4": _edited((0, 5, 1)),
    "edit: longer than the film.mp4": _edited((5000, 0, 1)),
    "edit: at double speed.mp4": _edited((1000, 0, 2)),
    "B-frames.mp4": encoded(*film(), *X264, "-bf", "3"),
    "B-frames, times before 0.mp4": encoded(*film(), *X264, "-bf", "3", "-movflags", "negative_cts_offsets"),
    "B-frames, without an edit list.mp4": encoded(*film(), *X264, "-bf", "3", "-use_editlist", "0"),
    "times before 0.mkv": encoded(
        "-itsoffset", "-0.25", *_BOTH, *X264, *_AAC, "-avoid_negative_ts", "disabled", *_AS_STAMPED
    ),
    "begins at 40,000 s.webm": encoded(*_BOTH, *VP8, *_OPUS, "-output_ts_offset", "40000"),
    "begins at 40,000 s.mkv": encoded(*_BOTH, *X264, *_AAC, "-output_ts_offset", "40000"),
    "begins at 40,000 s.ts": encoded(*_BOTH, *X264, *_AAC, "-output_ts_offset", "40000"),
    "begins at 40,000 s, in fragments.mp4": encoded(
        *_BOTH, *X264, *_AAC, "-output_ts_offset", "40000", "-movflags", "frag_keyframe+empty_moov"
    ),
    "joined.webm": _joined("webm", *VP8, *_OPUS),
    "joined.mkv": _joined("mkv", *X264, *_AAC),
    "joined.ts": _joined("ts", *X264, *_AAC),
    "joined, in fragments.mp4": _joined("mp4", *X264, *_AAC, "-movflags", "frag_keyframe+empty_moov+default_base_moof"),
    "joined.mp4": _joined("mp4", *X264, *_AAC),
    "joined.flv": _joined("flv", *X264, *_AAC),
    "joined.ogv": _joined("ogv", "-c:v", "libtheora", "-q:v", "9", "-c:a", "libvorbis"),
    "joined.avi": _joined("avi", "-c:v", "mpeg4", "-c:a", "mp3"),
    "recorded by a page.webm": _without_length,
    "recorded by a page.mp4": encoded(
        *_BOTH, *X264, *_OPUS, "-movflags", "frag_keyframe+empty_moov+default_base_moof", "-frag_duration", "200000"
    ),
    "begins between key frames.mp4": _repacked((*film(), *X264, "-bf", "0"), "mp4", _first_key_left_out),
    "begins between key frames.mkv": _repacked((*film(), *X264, "-bf", "0"), "matroska", _first_key_left_out),
    "begins between key frames.webm": _repacked((*film(), *VP8), "webm", _first_key_left_out),
    "every packet marked as a key.mp4": _all_marked_as_keys,
    "one picture.mp4": encoded(*film(0.1), *X264),
    "one picture and sound.mp4": encoded(*film(0.1), *tone(), *X264, *_AAC),
    "a still, then motion.mp4": encoded(*film(), "-vf", _PAUSE.format(2), *_AS_STAMPED, *X264),
    "an hour between two frames.mp4": encoded(*film(), "-vf", _PAUSE.format(3600), *_AS_STAMPED, *X264),
    "sound at ten times the speed.mkv": _retimed(10, "-c:a", "flac"),
    "sound at ten times the speed.webm": _retimed(10, *_OPUS),
    "sound at ten times the speed.mka": _retimed(10, "-c:a", "pcm_s16le"),
    "sound at twice the speed.m4a": _retimed(2, "-c:a", "alac"),
    "sound at nearly twice the speed.mp4": _retimed(1.8, *_AAC),
    "sound at nearly twice the speed.ts": _retimed(1.8, *_AAC),
    "sound at half the speed.mp4": _retimed(0.5, *_AAC),
    "sound at half the speed.webm": _retimed(0.5, "-c:a", "libvorbis"),
    "sound with gaps.mp4": _with_gaps(*tone(440, 4.0), *_AAC),
    "sound with gaps.webm": _with_gaps(*tone(440, 4.0), *_OPUS),
    "film whose sound has gaps.webm": _with_gaps(*film(4.0), *tone(440, 4.0), *VP8, *_OPUS),
    "variable rate.webm": encoded(*film(2.0), "-vf", "select='not(eq(mod(n,5),3))'", "-fps_mode", "vfr", *VP8),
}  # fmt: skip


def _cut(path: Path, seconds: str) -> None:
    whole = path.with_name("whole.mp4")
    ffmpeg(*_BOTH, *X264, *_AAC, whole)
    ffmpeg("-ss", seconds, "-i", whole, "-c", "copy", path)
    whole.unlink()
