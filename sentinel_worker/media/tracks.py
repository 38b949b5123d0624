"""Films, animations and sound as FFmpeg finds them in a file, checked against the limits."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Final, cast

import av
from av.container import InputContainer
from av.stream import Disposition
from av.video.stream import VideoStream

from sentinel_worker.domain.errors import Permanent
from sentinel_worker.domain.machine_errors import out_of_memory
from sentinel_worker.domain.media_facts import MediaLimits
from sentinel_worker.media.containers.allowed import CONTAINERS, Sniffed
from sentinel_worker.media.containers.boxes import check_promises, has_index
from sentinel_worker.media.containers.demuxer import check_demuxer
from sentinel_worker.media.containers.protection import IMMERSIVE_AUDIO, check_protection, undecodable_sounds
from sentinel_worker.media.films.film import Film, OpenedVideo, with_first_key
from sentinel_worker.media.films.film_times import FilmTimes
from sentinel_worker.media.films.frame_steps import typical_rate
from sentinel_worker.media.opened_media import OpenedMedia, OpenedSound
from sentinel_worker.media.protocol import MAX_KEYFRAMES, ProbedFacts
from sentinel_worker.media.refused_files import check_duration, check_frames, check_picture_size, check_rate, too_large
from sentinel_worker.media.scan.media_file import MediaFile
from sentinel_worker.media.scan.packets import scan
from sentinel_worker.media.scan.played_tracks import by_choice
from sentinel_worker.media.scan.promises import is_cut
from sentinel_worker.media.scan.timeline import MAX_SECONDS, MAY_JUMP, Packets
from sentinel_worker.media.sound.tracks import find_sound, unusable_sound

_COVER_CODECS: Final = frozenset({"mjpeg", "png", "bmp", "gif", "webp"})
_CHAPTER_PICTURES_PER_SECOND: Final = 1.0
"""Pictures of chapters are fewer; a film that a sound names as its chapters is still a film."""
_PLAYED: Final = ("video", "audio", "subtitle", "data")
_MAX_LOST_FRAMES: Final = 1.5
_RATE_SHARE: Final = 0.01


def open_tracks(path: Path, sniffed: Sniffed, size: int, limits: MediaLimits) -> OpenedMedia:
    """Scan every packet, choose the tracks that players show, and check them.

    The header is not believed: an upload's header may promise anything.
    """
    container = sniffed.container
    file = MediaFile(path, CONTAINERS[container].demuxer, sniffed.begin_bytes)
    if CONTAINERS[container].kind != "sound":  # torchcodec opens no sound
        check_demuxer(path, container)
    if file.demuxer == "mov":
        check_promises(path, limits)
    check_protection(path, container)
    opened = _open(file, container)
    _check_streams(opened, limits)
    scanned = scan(opened)
    table = scanned.streams
    unknown = _undecodable_sounds(path, container, opened)
    sound = find_sound(file, opened, table, limits, unknown)
    film = _find_film(file, opened, table, limits, beside_sound=sound is not None)
    cut = is_cut(file, opened, table)
    facts = ProbedFacts(
        kind="audio", container=container, duration_seconds=0.0, size_bytes=size, has_video=False, has_audio=False,
        truncated=cut,
    )  # fmt: skip
    if sound is not None:
        facts = sound.add_to(facts)
    if film is not None:
        facts = _film_facts(film, opened, facts, limits)
        facts = replace(facts, unread_seconds=scanned.unread_share * facts.duration_seconds)
        if sound is None and (codec := unusable_sound(opened, table, unknown)) is not None:
            facts = replace(facts, has_audio=True, audio_codec=codec, audio_seconds=facts.duration_seconds)
        heard = sound.track if sound else None
        return OpenedVideo(path, facts, film, sound=heard, frame_starts=film.times.starts)
    if sound is not None:
        unseen = [stream for stream in _films(opened) if stream.codec_context is None and stream.index in table]
        facts = replace(
            facts,
            duration_seconds=facts.audio_seconds,
            unread_seconds=(1.0 if unseen else scanned.unread_share) * facts.audio_seconds,
            video_tracks=len(unseen),
        )
        return OpenedSound(path, facts, sound=sound.track)
    raise _nothing_to_play(opened, unknown, cut=cut)


def _undecodable_sounds(path: Path, container: str, opened: InputContainer) -> Mapping[int, str]:
    """Codecs of the sound tracks that no decoder here reads, by the streams' ids.

    FFmpeg makes several streams of a track of Immersive Audio, each with some of the channels and an id of its own.
    """
    unknown = undecodable_sounds(path, container)
    if IMMERSIVE_AUDIO in unknown.values():
        return {stream.id: IMMERSIVE_AUDIO for stream in opened.streams.audio}
    return unknown


def _open(file: MediaFile, container: str) -> InputContainer:
    try:
        return file.open()
    except (av.FFmpegError, ValueError) as error:
        if out_of_memory(error):
            raise
        if file.demuxer == "mov" and not has_index(file.path):
            raise Permanent(
                "media_truncated", "The file ends before its index: the upload or the recording was cut off."
            ) from error
        raise Permanent(
            "media_unreadable", f"The file starts like {container}, but it is damaged and cannot be opened."
        ) from error


def _check_streams(opened: InputContainer, limits: MediaLimits) -> None:
    """Refuse too many streams; attachments such as fonts do not count."""
    streams = sum(stream.type in _PLAYED for stream in opened.streams)
    if streams > limits.max_streams:
        raise too_large(
            f"The file has {streams} streams; at most {limits.max_streams} are allowed.", limits.max_streams
        )


def _nothing_to_play(opened: InputContainer, unknown: Mapping[int, str], *, cut: bool) -> Permanent:
    if unknown:
        codecs = " and ".join(sorted(set(unknown.values())))
        return Permanent("media_not_supported", f"The sound's codec ({codecs}) is not supported.")
    streams = [stream for stream in opened.streams if stream.type in ("video", "audio")]
    unsupported = [stream for stream in streams if stream.codec_context is None]
    if unsupported:
        kind = "video" if any(stream.type == "video" for stream in unsupported) else "sound"
        return Permanent("media_not_supported", f"The {kind}'s codec is not supported.")
    if cut:
        return Permanent("media_truncated", "The file ends before its data: the upload or the recording was cut off.")
    if any(stream.type == "video" for stream in streams):
        return Permanent("no_frames", "The video track holds no frames.")
    return Permanent("no_tracks", "The file holds neither pictures nor sound.")


def _find_film(
    file: MediaFile,
    opened: InputContainer,
    table: Mapping[int, Packets],
    limits: MediaLimits,
    *,
    beside_sound: bool,
) -> Film | None:
    """The film that browsers play, or None without one. A single picture beside sound is the cover of a song."""
    for stream in by_choice(_films(opened), file.demuxer):
        packets = table.get(stream.index)
        if packets is None or stream.codec_context is None:
            continue
        packets = with_first_key(file, stream, packets)
        times = FilmTimes.of(packets, may_jump=file.demuxer in MAY_JUMP)
        if times is None or (beside_sound and _is_beside_sound(stream, packets, times)):
            continue
        check_picture_size(stream.codec_context.width, stream.codec_context.height, limits)
        return Film.tried(file, stream, packets, times, limits)
    return None


def _films(opened: InputContainer) -> list[VideoStream]:
    return [stream for stream in opened.streams.video if not stream.disposition & Disposition.attached_pic]


def _is_beside_sound(stream: VideoStream, packets: Packets, times: FilmTimes) -> bool:
    """True for pictures that go with a sound: a song's cover, and the pictures of a podcast's chapters."""
    if len(packets) == 1 and stream.codec_context.name in _COVER_CODECS:
        return True
    few = len(times.starts) < _CHAPTER_PICTURES_PER_SECOND * times.duration_seconds
    return few and bool(stream.disposition & Disposition.timed_thumbnails)


def _rate(counted: float, promised: float) -> float:
    """Frames per second. Containers round their timestamps, so the header's rate is used if it nearly fits them."""
    return promised if abs(counted - promised) <= _RATE_SHARE * counted else counted


def _duration(times: FilmTimes, rate: float) -> float:
    """Length of the film, in which frames follow each other at `rate` where it moves.

    Rounded timestamps of the last frames make it too short by less than two frames.
    """
    seconds, counted = times.duration_seconds, len(times.starts) / rate if rate else 0.0
    return max(seconds, counted) if abs(counted - seconds) * rate <= _MAX_LOST_FRAMES else seconds


def _film_facts(film: Film, opened: InputContainer, facts: ProbedFacts, limits: MediaLimits) -> ProbedFacts:
    stream = cast(VideoStream, opened.streams[film.stream])
    times, decoder = film.times, stream.codec_context
    frames, rate = len(times.starts), _rate(times.frames_per_second, float(stream.average_rate or 0))
    typical = typical_rate(times.starts, rate)
    duration = _duration(times, typical)
    if abs(times.begin_seconds) > MAX_SECONDS or not 0 <= duration < MAX_SECONDS or (frames > 1 and rate <= 0):
        raise Permanent("media_unreadable", "The video's timestamps are damaged.")
    check_duration("video", duration, limits)
    check_frames("video", frames, limits.max_frames)
    if frames == 1:  # it has no rate; the reported one comes from its display time
        rate = typical = min(rate or 1.0, limits.max_frames_per_second)
    check_rate(rate, limits)
    width, height = film.orientation.on_screen(*film.size)
    check_picture_size(width, height, limits)
    keys = times.key_seconds
    return replace(
        facts,
        kind="video",
        has_video=True,
        video_codec=decoder.codec.canonical_name,
        video_tracks=len(_films(opened)),
        duration_seconds=duration,
        width=width,
        height=height,
        frames_per_second=rate,
        typical_rate=typical,
        frame_count=frames,
        keyframe_seconds=tuple(keys[:: -(-len(keys) // MAX_KEYFRAMES)].round(6).tolist()),
    )
