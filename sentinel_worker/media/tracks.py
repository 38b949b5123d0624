"""Films, animations and sound as FFmpeg finds them in a file, checked against the limits."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from torch import Tensor

# The public API exposes neither the audio track nor the number of streams, and scans no sound; torchcodec is
# pinned to one minor version.
from torchcodec._core._metadata import (
    AudioStreamMetadata,
    ContainerMetadata,
    get_container_metadata,
    get_container_metadata_from_header,
)
from torchcodec._core.ops import _get_key_frame_indices, create_from_file, scan_all_streams_to_update_metadata
from torchcodec.decoders import VideoDecoder  # type: ignore[attr-defined]  # exported without __all__

from sentinel_worker.domain.errors import Permanent
from sentinel_worker.domain.media_facts import MediaLimits
from sentinel_worker.media.boxes import check_promises, ends_early, has_index
from sentinel_worker.media.demuxer import DEMUXERS, check_demuxer
from sentinel_worker.media.frames import VideoFrames
from sentinel_worker.media.opened_media import FrameReader, OpenedMedia, OpenedSound, SoundTrack
from sentinel_worker.media.protocol import MAX_KEYFRAMES, ProbedFacts
from sentinel_worker.media.refused_files import (
    check_frames,
    check_picture_size,
    check_rate,
    out_of_memory,
    too_large,
    too_long,
)

_COVER_CODECS: Final = frozenset({"mjpeg", "png", "bmp", "gif", "webp"})
_MAX_SECONDS: Final = 1e8
# A header may round, and tracks may end a little apart; a cut file misses more than this.
_CUT_SECONDS, _CUT_SHARE = 1.0, 0.02
_RATE_SHARE: Final = 0.05
_MAX_LOST_FRAMES: Final = 1.5


@dataclass(frozen=True, slots=True)
class OpenedVideo(OpenedMedia):
    """A film and its decoder. `begin_seconds` is the container's time of the first frame, from which the times in
    `Window`s count."""

    decoder: VideoDecoder
    begin_seconds: float

    def frames(self) -> FrameReader:
        """Return a new reader of this decoder."""
        return VideoFrames(self.path, self.decoder, self.begin_seconds)


def open_tracks(path: Path, container: str, size: int, limits: MediaLimits) -> OpenedMedia:
    """Read the header, check it, then scan every packet, because an upload's header may promise anything."""
    check_demuxer(path, container)
    if "mov" in DEMUXERS[container]:
        check_promises(path, limits)
    header = _read_header(path, container)
    if len(header.streams) > limits.max_streams:
        raise too_large(
            f"The file has {len(header.streams)} streams; at most {limits.max_streams} are allowed.",
            limits.max_streams,
        )
    promised = header.duration_seconds_from_header
    if promised is not None and promised > limits.max_duration_seconds:
        raise too_long("media", promised, limits)
    if header.best_video_stream_index is not None and not _is_song(path, header):
        return _open_video(path, header, _film_header(header, container, size, limits), limits)
    if header.best_audio_stream_index is not None:
        return _open_sound(path, header, container, size, limits)
    raise Permanent("no_tracks", "The file holds neither pictures nor sound.")


def _read_header(path: Path, container: str) -> ContainerMetadata:
    try:
        return get_container_metadata_from_header(path)
    except (RuntimeError, ValueError) as error:  # torchcodec writes an infinite rate as JSON that it cannot parse
        if out_of_memory(error):
            raise
        if "mov" in DEMUXERS[container] and not has_index(path):
            raise Permanent(
                "media_truncated", "The file ends before its index: the upload or the recording was cut off."
            ) from error
        raise Permanent(
            "media_unreadable", f"The file starts like {container}, but it is damaged and cannot be opened."
        ) from error


def _is_song(path: Path, header: ContainerMetadata) -> bool:
    """True if the pictures are a song's cover: one beside a sound track. They are counted, as many headers do not
    say."""
    if header.best_audio_stream_index is None or header.best_video_stream.codec not in _COVER_CODECS:
        return False
    return (_scan_video(path).metadata.num_frames or 0) <= 1


def _film_header(header: ContainerMetadata, container: str, size: int, limits: MediaLimits) -> ProbedFacts:
    video = header.best_video_stream
    width, height = video.width or 0, video.height or 0
    check_picture_size(width, height, limits)
    return ProbedFacts(
        kind="video",
        container=container,
        duration_seconds=0.0,
        size_bytes=size,
        width=width,
        height=height,
        has_video=True,
        video_codec=video.codec,
        has_audio=False,
    )


def _open_video(path: Path, header: ContainerMetadata, facts: ProbedFacts, limits: MediaLimits) -> OpenedVideo:
    decoder = _scan_video(path)
    scanned = _scanned(decoder._decoder)
    known, begin = _check_film(decoder, facts, limits)
    known = _with_sound(known, scanned, limits)
    known = replace(
        known,
        truncated=_is_cut(header, scanned),
        keyframe_seconds=_keyframe_seconds(decoder, known),
    )
    return OpenedVideo(path, known, decoder, begin, sound=_sound_track(scanned))


def _scan_video(path: Path) -> VideoDecoder:
    try:
        return VideoDecoder(str(path), seek_mode="exact", num_ffmpeg_threads=1, device="cpu")
    except (RuntimeError, ValueError) as error:
        if out_of_memory(error):
            raise
        if "codec not found" in str(error).lower():
            raise Permanent("media_not_supported", "The video's codec is not supported.") from error
        raise Permanent("media_unreadable", "The video track is damaged and cannot be read.") from error


def _scanned(decoder: Tensor) -> ContainerMetadata:
    try:
        return get_container_metadata(decoder)
    except ValueError as error:
        raise Permanent("media_unreadable", "The file's timestamps are damaged.") from error


def _check_film(decoder: VideoDecoder, facts: ProbedFacts, limits: MediaLimits) -> tuple[ProbedFacts, float]:
    found = decoder.metadata
    frames, begin, end = found.num_frames or 0, found.begin_stream_seconds, found.end_stream_seconds
    if frames == 0 or begin is None or end is None:
        raise Permanent("no_frames", "The video track holds no frames.")
    begin, end = float(begin), float(end)
    rate = _rate(found.average_fps, found.average_fps_from_header)
    if not _sane(begin, end, rate):
        raise Permanent("media_unreadable", "The video's timestamps are damaged.")
    # Rounded or missing timestamps of the last frame make the span too short.
    span, counted = end - begin, frames / rate
    duration = max(span, counted) if abs(counted - span) <= _MAX_LOST_FRAMES / rate else span
    if duration > limits.max_duration_seconds:
        raise too_long("video", duration, limits)
    check_frames("video", frames, limits.max_frames)
    if frames == 1:
        # A single frame has no rate; the reported one comes from its display time.
        rate = min(rate, limits.max_frames_per_second)
    check_rate(rate, limits)
    return replace(facts, duration_seconds=duration, frames_per_second=rate, frame_count=frames), begin


def _rate(counted: float | None, promised: float | None) -> float:
    """Frames per second. A cut file or a last frame without a timestamp makes the count slightly wrong, so the
    header's rate is used if the two agree."""
    if counted and promised and abs(counted - promised) <= _RATE_SHARE * counted:
        return float(promised)
    return float(counted or promised or 0)


def _sane(begin: float, end: float, rate: float) -> bool:
    numbers = math.isfinite(begin) and math.isfinite(end) and math.isfinite(rate)
    return numbers and rate > 0 and abs(begin) < _MAX_SECONDS and begin <= end < _MAX_SECONDS


def _keyframe_seconds(decoder: VideoDecoder, facts: ProbedFacts) -> tuple[float, ...]:
    """Times at which decoding can begin, by the average rate: near enough for choosing windows, exact for most
    files."""
    indices: Tensor = _get_key_frame_indices(decoder._decoder)
    thinned = indices[:: math.ceil(len(indices) / MAX_KEYFRAMES)] if len(indices) else indices
    return tuple(round(int(index) / facts.frames_per_second, 6) for index in thinned.sort().values)


def _open_sound(path: Path, header: ContainerMetadata, container: str, size: int, limits: MediaLimits) -> OpenedSound:
    try:
        decoder = create_from_file(str(path), "approximate")
        scan_all_streams_to_update_metadata(decoder)
    except RuntimeError as error:
        if out_of_memory(error):
            raise
        raise Permanent("media_unreadable", "The sound track is damaged and cannot be read.") from error
    scanned = _scanned(decoder)
    silent = ProbedFacts(
        kind="audio", container=container, duration_seconds=0.0, size_bytes=size, has_video=False, has_audio=True
    )
    facts = _with_sound(silent, scanned, limits)
    if not facts.has_audio:
        raise Permanent("no_tracks", "The file holds neither pictures nor sound.")
    # FFmpeg takes the length of a WAV file from its size, not from its header.
    cut = _is_cut(header, scanned) or (container == "wav" and ends_early(path))
    facts = replace(facts, duration_seconds=facts.audio_seconds, truncated=cut)
    return OpenedSound(path, facts, sound=_sound_track(scanned))


def _with_sound(facts: ProbedFacts, scanned: ContainerMetadata, limits: MediaLimits) -> ProbedFacts:
    """Add the sound track that counts (`_best_sound`) to the facts; without one, say that the file has no sound."""
    track = _best_sound(scanned)
    if track is None:
        return replace(facts, has_audio=False)
    seconds = float(track.duration_seconds or 0.0)
    if seconds > limits.max_duration_seconds:
        raise too_long("sound", seconds, limits)
    return replace(
        facts,
        has_audio=True,
        audio_codec=track.codec,
        audio_seconds=seconds,
        sample_rate=track.sample_rate or 0,
        channels=track.num_channels or 0,
    )


def _best_sound(scanned: ContainerMetadata) -> AudioStreamMetadata | None:
    """Return the sound track that FFmpeg would play, or None if the scan found nothing in it or no usable times."""
    if scanned.best_audio_stream_index is None:
        return None
    track = scanned.best_audio_stream
    begin, seconds = float(track.begin_stream_seconds or 0.0), float(track.duration_seconds or 0.0)
    usable = seconds > 0 and _sane(begin, begin + seconds, float(track.sample_rate or 0))
    return track if usable else None


def _sound_track(scanned: ContainerMetadata) -> SoundTrack | None:
    track = _best_sound(scanned)
    return SoundTrack(track.stream_index, float(track.begin_stream_seconds or 0.0)) if track else None


def _is_cut(header: ContainerMetadata, scanned: ContainerMetadata) -> bool:
    promised = header.duration_seconds_from_header
    if promised is None:
        best = header.best_video_stream_index
        best = header.best_audio_stream_index if best is None else best
        promised = None if best is None else header.streams[best].duration_seconds_from_header
    if promised is None:
        return False
    # The scan measured every track; the longest one decides.
    lengths = [track.duration_seconds or 0.0 for track in scanned.streams]
    return float(promised) - max(lengths, default=0.0) > max(_CUT_SECONDS, _CUT_SHARE * float(promised))
