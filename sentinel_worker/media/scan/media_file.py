"""A file on disk, and the only way in which PyAV may open it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import av
from av.container import InputContainer


@dataclass(frozen=True, slots=True)
class MediaFile:
    """A file at an absolute path, the FFmpeg demuxer that reads it, and where its content begins.

    Tags and junk may come before the content; the demuxer does not see them.
    """

    path: Path
    demuxer: str
    begin_bytes: int = 0

    def open(self) -> InputContainer:
        """Open the file with exactly this demuxer; nothing that the file names is opened in turn.

        Raises `av.FFmpegError` or ValueError if it is damaged.
        """
        options = {"protocol_whitelist": "file"}
        if self.begin_bytes:
            options["skip_initial_bytes"] = str(self.begin_bytes)
        return av.open(str(self.path), format=self.demuxer, options=options, metadata_errors="replace")
