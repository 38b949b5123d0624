"""FFmpeg's picture decoders, for pictures of a kind that Pillow does not know."""

from __future__ import annotations

from pathlib import Path

import av
from PIL import Image

from sentinel_worker.domain.media_facts import MediaLimits
from sentinel_worker.media.pictures.sizes import check_size
from sentinel_worker.media.scan.media_file import MediaFile


def read_with_ffmpeg(
    path: Path, demuxer: str, container: str, limits: MediaLimits, *, strict: bool = False
) -> Image.Image | None:
    """Decode a picture with the demuxer of this name, or return None if FFmpeg does not read it either.

    `strict` stops the decoder at the first error instead of showing what it makes of the rest.
    """
    try:
        with MediaFile(path, demuxer).open() as opened:
            stream = opened.streams.video[0]
            stream.codec_context.thread_count = 1
            if strict:
                stream.codec_context.options = {"err_detect": "explode"}
            frame = next(opened.decode(stream))
            check_size(frame.width, frame.height, container, limits)
            has_alpha = any(component.is_alpha for component in frame.format.components)
            wanted = "rgba" if has_alpha else "rgb24"
            return Image.fromarray(frame.to_ndarray(format=wanted, threads=1))
    except (av.FFmpegError, IndexError, StopIteration):
        return None
