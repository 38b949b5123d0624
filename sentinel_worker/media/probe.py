"""Open a media file, say what it is, and refuse what cannot or may not be analyzed.

Runs in a decoding child; also directly, for files that are trusted (tests, the demo checkpoint's training).
"""

from __future__ import annotations

import math
import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

# The public API names neither the audio track nor the number of streams; torchcodec is pinned to one minor.
from torchcodec._core._metadata import (
    ContainerMetadata,
    get_container_metadata,
    get_container_metadata_from_header,
)
from torchcodec.decoders import VideoDecoder  # type: ignore[attr-defined]  # exported without __all__

from sentinel_worker.errors import Permanent
from sentinel_worker.media.facts import MediaLimits
from sentinel_worker.media.protocol import ProbedFacts
from sentinel_worker.media.sniff import SNIFF_BYTES, sniff, tag_length

_COVER_CODECS: Final = frozenset({"mjpeg", "png", "bmp", "gif", "webp"})
_IMAGE_CONTAINERS: Final = frozenset({"jpeg", "png", "bmp", "tiff", "webp", "heic", "avif"})
_MAX_SECONDS: Final = 1e8
# A header may round, and tracks may end a little apart; a cut file misses more than this.
_CUT_SECONDS, _CUT_SHARE = 1.0, 0.02
_RATE_SHARE: Final = 0.05
_MAX_LOST_FRAMES: Final = 1.5
_MEMORY_SIGNS: Final = ("cannot allocate memory", "can't allocate memory", "bad_alloc", "not enough memory")


@dataclass(frozen=True, slots=True)
class OpenedMedia:
    """A file that passed every check: its facts, and a decoder that stands at its first frame.

    `begin_seconds` is the container's time of the first frame; times in `Window`s start there.
    """

    path: Path
    facts: ProbedFacts
    decoder: VideoDecoder
    begin_seconds: float


def open_media(path: Path, limits: MediaLimits) -> OpenedMedia:
    """Sniff, read the header, check the limits, then scan every packet of the file at `path`.

    `path` is absolute and was named by this program: the decoder expands patterns such as `%d`. Raises
    `Permanent` with `media_empty`, `media_not_supported`, `media_truncated`, `media_unreadable`,
    `no_video_stream`, `no_frames`, `media_too_long` or `media_too_large`.
    """
    if not path.is_absolute() or "%" in path.name:
        raise ValueError("the path of a media file is absolute and without patterns")
    container, size = _sniff_file(path)
    if size > limits.max_bytes:
        raise _too_large(f"The file has {size} bytes; at most {limits.max_bytes} are allowed.", limits.max_bytes)
    header = _read_header(path, container)
    facts = _check_header(header, container, size, limits)
    decoder = _scan(path)
    known, begin = _check_content(decoder, header, facts, limits)
    return OpenedMedia(path, known, decoder, begin)


def out_of_memory(error: BaseException) -> bool:
    """Whether `error` is how Python, torch or FFmpeg says that an allocation was refused."""
    return isinstance(error, MemoryError) or any(sign in str(error).lower() for sign in _MEMORY_SIGNS)


def _sniff_file(path: Path) -> tuple[str, int]:
    with path.open("rb") as file:
        head = file.read(SNIFF_BYTES)
        tag = tag_length(head)
        file.seek(tag)
        after_tag = file.read(SNIFF_BYTES) if tag else b""
        return sniff(head, after_tag), os.fstat(file.fileno()).st_size


def _read_header(path: Path, container: str) -> ContainerMetadata:
    try:
        return get_container_metadata_from_header(path)
    except RuntimeError as error:
        if out_of_memory(error):
            raise
        if container in ("mp4", "mov", "m4v", "m4a", "3gp") and not has_index(path):
            raise Permanent(
                "media_truncated", "The file ends before its index: the upload or the recording was cut off."
            ) from error
        raise Permanent(
            "media_unreadable", f"The file starts like {container}, but it is damaged and cannot be opened."
        ) from error


def has_index(path: Path) -> bool:
    """Whether an MP4 or QuickTime file has a complete `moov` box at its top level."""
    with path.open("rb") as file:
        end = os.fstat(file.fileno()).st_size
        position = 0
        while position + 8 <= end:
            file.seek(position)
            box = file.read(16)
            length, kind = int.from_bytes(box[:4], "big"), box[4:8]
            if length == 1:
                length = int.from_bytes(box[8:16], "big")
            elif length == 0:
                length = end - position
            if kind == b"moov":
                return position + length <= end
            if length < len(box[:8]):
                return False
            position += length
    return False


def _check_header(header: ContainerMetadata, container: str, size: int, limits: MediaLimits) -> ProbedFacts:
    if len(header.streams) > limits.max_streams:
        raise _too_large(
            f"The file has {len(header.streams)} streams; at most {limits.max_streams} are allowed.",
            limits.max_streams,
        )
    promised = header.duration_seconds_from_header
    if promised is not None and promised > limits.max_duration_seconds:
        raise _too_long(promised, limits)
    audio = None if header.best_audio_stream_index is None else header.best_audio_stream
    if header.best_video_stream_index is None:
        raise _no_video(audio is not None)
    video = header.best_video_stream
    # Cover art of a song is a video stream of one picture to the decoder.
    if audio is not None and video.codec in _COVER_CODECS and (video.num_frames_from_header or 0) <= 1:
        raise _no_video(with_audio=True)
    width, height = video.width or 0, video.height or 0
    if width <= 0 or height <= 0:
        raise Permanent("media_unreadable", "The video track says no picture size; the file is damaged.")
    if width * height > limits.max_pixels:
        raise _too_large(
            f"The pictures are {width} x {height} pixels; at most {limits.max_pixels} pixels are allowed.",
            limits.max_pixels,
        )
    return ProbedFacts(
        container=container,
        duration_seconds=0.0,
        size_bytes=size,
        width=width,
        height=height,
        has_video=True,
        video_codec=video.codec,
        has_audio=audio is not None,
        audio_codec=audio.codec if audio else None,
    )


def _scan(path: Path) -> VideoDecoder:
    """Exact mode reads every packet: an upload's header may promise anything."""
    try:
        return VideoDecoder(str(path), seek_mode="exact", num_ffmpeg_threads=1, device="cpu")
    except (RuntimeError, ValueError) as error:
        if out_of_memory(error):
            raise
        if "codec not found" in str(error).lower():
            raise Permanent("media_not_supported", "The video's codec is not supported.") from error
        raise Permanent("media_unreadable", "The video track is damaged and cannot be read.") from error


def _check_content(
    decoder: VideoDecoder, header: ContainerMetadata, facts: ProbedFacts, limits: MediaLimits
) -> tuple[ProbedFacts, float]:
    found = decoder.metadata
    frames, begin, end = found.num_frames or 0, found.begin_stream_seconds, found.end_stream_seconds
    if frames == 0 or begin is None or end is None:
        raise Permanent("no_frames", "The video track holds no frames.")
    begin, end = float(begin), float(end)
    rate = _rate(found.average_fps, found.average_fps_from_header)
    if not _sane(begin, end, rate):
        raise Permanent("media_unreadable", "The video's time stamps are damaged.")
    # Rounded or missing stamps of the last frame make the span too short; a still has none at all.
    span, counted = end - begin, frames / rate
    duration = max(span, counted) if abs(counted - span) <= _MAX_LOST_FRAMES / rate else span
    if duration > limits.max_duration_seconds:
        raise _too_long(duration, limits)
    if frames > limits.max_frames:
        raise Permanent(
            "media_too_long",
            f"The video has {frames} frames; at most {limits.max_frames} are allowed.",
            params={"limit": limits.max_frames},
        )
    if rate > limits.max_frames_per_second and frames > 1:
        raise _too_large(
            f"The video has {rate:.0f} frames a second; at most {limits.max_frames_per_second:g} may be.",
            limits.max_frames_per_second,
        )
    known = replace(
        facts,
        duration_seconds=duration,
        frames_per_second=rate,
        frame_count=frames,
        truncated=facts.container not in _IMAGE_CONTAINERS and _is_cut(decoder, header),
    )
    return known, begin


def _rate(counted: float | None, promised: float | None) -> float:
    """Frames per second. A cut file or an unstamped last frame makes the count a little wrong, so the
    header's rate is taken where the two agree."""
    if counted and promised and abs(counted - promised) <= _RATE_SHARE * counted:
        return float(promised)
    return float(counted or promised or 0)


def _sane(begin: float, end: float, rate: float) -> bool:
    numbers = math.isfinite(begin) and math.isfinite(end) and math.isfinite(rate)
    return numbers and rate > 0 and abs(begin) < _MAX_SECONDS and begin <= end < _MAX_SECONDS


def _is_cut(decoder: VideoDecoder, header: ContainerMetadata) -> bool:
    promised = header.duration_seconds_from_header
    if promised is None and header.best_video_stream_index is not None:
        promised = header.best_video_stream.duration_seconds_from_header
    if promised is None:
        return False
    # The scan measured every track; the longest one decides.
    tracks = get_container_metadata(decoder._decoder).streams
    lengths = [track.duration_seconds or 0.0 for track in tracks]
    return promised - max(lengths, default=0.0) > max(_CUT_SECONDS, _CUT_SHARE * promised)


def _no_video(with_audio: bool) -> Permanent:
    found = "sound but no video" if with_audio else "no video"
    return Permanent("no_video_stream", f"The file holds {found}.")


def _too_long(seconds: float, limits: MediaLimits) -> Permanent:
    return Permanent(
        "media_too_long",
        f"The video lasts {seconds:.0f} seconds; at most {limits.max_duration_seconds:.0f} are allowed.",
        params={"seconds": seconds, "limit": limits.max_duration_seconds},
    )


def _too_large(sentence: str, limit: float) -> Permanent:
    return Permanent("media_too_large", sentence, params={"limit": limit})
