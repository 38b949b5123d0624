"""Open a media file, report its facts, and refuse it if it cannot or must not be analyzed.

Runs in a decoding child, and directly for trusted files (tests, the demo checkpoint's training).
"""

from __future__ import annotations

import os
from pathlib import Path

from sentinel_worker.domain.media_facts import MediaLimits
from sentinel_worker.media.containers.allowed import Sniffed
from sentinel_worker.media.containers.sniff import sniff
from sentinel_worker.media.opened_media import OpenedMedia
from sentinel_worker.media.pictures.formats import PICTURE_FORMATS
from sentinel_worker.media.pictures.heif import is_sequence
from sentinel_worker.media.pictures.opening import open_pictures
from sentinel_worker.media.refused_files import too_large
from sentinel_worker.media.tracks import open_tracks


def open_media(path: Path, limits: MediaLimits) -> OpenedMedia:
    """Sniff, read the header, check the limits, then scan every packet, or decode the picture, at `path`.

    `path` is absolute and was named by this program, because the decoder expands patterns such as `%d`. Raises
    `Permanent` with `media_empty`, `media_not_supported`, `media_truncated`, `media_unreadable`, `no_tracks`,
    `no_frames`, `media_too_long` or `media_too_large`.
    """
    if not path.is_absolute() or "%" in path.name:
        raise ValueError("the path of a media file must be absolute and without patterns")
    sniffed, size = _sniff_file(path)
    container = sniffed.container
    if size > limits.max_bytes:
        raise too_large(f"The file has {size} bytes; at most {limits.max_bytes} are allowed.", limits.max_bytes)
    if container in PICTURE_FORMATS and size > limits.max_picture_bytes:
        allowed = limits.max_picture_bytes
        raise too_large(f"The picture has {size} bytes; at most {allowed} are allowed for one.", allowed)
    if container in PICTURE_FORMATS and not (container == "heic" and is_sequence(path)):
        return open_pictures(path, container, size, limits)
    return open_tracks(path, sniffed, size, limits)


def _sniff_file(path: Path) -> tuple[Sniffed, int]:
    with path.open("rb") as file:
        return sniff(file), os.fstat(file.fileno()).st_size
