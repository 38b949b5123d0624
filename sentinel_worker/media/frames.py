"""Frame of a film on screen at a given time, even if seeking in its container is unreliable."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from torch import Tensor

# The public API cannot step without seeking; torchcodec is pinned to one minor version.
from torchcodec._core.ops import get_next_frame
from torchcodec.decoders import VideoDecoder  # type: ignore[attr-defined]  # exported without __all__

from sentinel_worker.media.opened_media import Shown
from sentinel_worker.media.refused_files import out_of_memory

_ROUNDING_SECONDS: Final = 1e-4
_STEPS_BACK_SECONDS: Final = (0.5, 2.0, 8.0, 32.0)
_MAX_VAIN_SEARCHES: Final = 3
_NO_MORE: Final = "no more frames left to decode"


class VideoFrames:
    """Reads the frames of a film by time (`opened_media.FrameReader`); `begin_seconds` is the time of the first frame.

    A seek in MPEG-TS goes by decoding time, so it lands behind the intended key frame, and the decoder then shows a
    later picture, or none if no key frame follows. The frame's time reveals this, and the search is repeated from
    further back.
    """

    def __init__(self, path: Path, decoder: VideoDecoder, begin_seconds: float) -> None:
        self._path = path
        self._decoder = decoder
        self._begin_seconds = begin_seconds
        self._from_start: VideoDecoder | None = None
        self._vain_searches = 0

    def at(self, seconds: float) -> Shown | None:
        """Return the frame on screen at `seconds`; outside the film, its first or last frame.

        None if it is damaged.
        """
        try:
            shown = self._indexed(seconds)
            if shown is None or shown.start_seconds > max(seconds, 0.0) + _ROUNDING_SECONDS:
                return self._search(seconds)
        except (RuntimeError, IndexError) as error:
            if out_of_memory(error):
                raise
            return None
        return shown

    def _indexed(self, seconds: float) -> Shown | None:
        """Look the frame up in the scan's index; None if the seek lands behind the last frame that can be decoded."""
        decoder, moment = self._decoder, self._begin_seconds + seconds
        end = decoder.metadata.end_stream_seconds
        assert end is not None
        try:
            if self._begin_seconds <= moment < end:
                # One at a time: a longer list holds every full frame. This call looks the time up in the scan's
                # index, while get_frame_played_at misses frames that stay longer than their packet says.
                frames = decoder.get_frames_played_at([moment])
                return self._shown(frames.data[0], float(frames.pts_seconds[0]), float(frames.duration_seconds[0]))
            frame = decoder.get_frame_at(-1 if seconds > 0 else 0)
        except (RuntimeError, IndexError) as error:
            if _NO_MORE not in str(error):
                raise
            return None
        return self._shown(frame.data, frame.pts_seconds, frame.duration_seconds)

    def _search(self, seconds: float) -> Shown | None:
        if self._vain_searches == _MAX_VAIN_SEARCHES:
            return None
        for back in _STEPS_BACK_SECONDS:
            if back > seconds:
                break
            shown = self._played(seconds - back)
            if shown is not None and shown.start_seconds <= seconds + _ROUNDING_SECONDS:
                return self._walk(self._decoder, shown, seconds)
        return self._walk_from_start(seconds)

    def _played(self, seconds: float) -> Shown | None:
        try:
            frame = self._decoder.get_frame_played_at(self._begin_seconds + seconds)
        except (RuntimeError, IndexError) as error:
            if _NO_MORE not in str(error):
                raise
            return None
        return self._shown(frame.data, frame.pts_seconds, frame.duration_seconds)

    def _walk_from_start(self, seconds: float) -> Shown | None:
        """Search with a decoder that never seeks, for files whose first key frame no seek can reach."""
        if self._from_start is None:
            try:
                self._from_start = VideoDecoder(
                    str(self._path), seek_mode="approximate", num_ffmpeg_threads=1, device="cpu"
                )
            except ValueError:  # without a scan it needs a length from the header, and damaged files may have none
                return None
        return self._walk(self._from_start, self._next(self._from_start), seconds)

    def _walk(self, decoder: VideoDecoder, shown: Shown, seconds: float) -> Shown | None:
        while shown.end_seconds <= seconds + _ROUNDING_SECONDS:
            shown = self._next(decoder)
        if shown.start_seconds > max(seconds, 0.0) + _ROUNDING_SECONDS:
            self._vain_searches += 1
            return None
        self._vain_searches = 0
        return shown

    def _next(self, decoder: VideoDecoder) -> Shown:
        pixels, start, duration = get_next_frame(decoder._decoder)
        return self._shown(pixels, float(start), float(duration))

    def _shown(self, pixels: Tensor, start: float, duration: float) -> Shown:
        start -= self._begin_seconds
        return Shown(pixels, start, start + duration)
