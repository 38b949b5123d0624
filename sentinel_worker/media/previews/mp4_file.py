"""An MP4 file in memory: a child may write no file, so what it makes goes through its socket."""

from __future__ import annotations

import io
from collections.abc import Iterable
from typing import Any

import av
from av.packet import Packet


class Mp4File:
    """An MP4 file whose index comes first, so that a browser plays it while it arrives."""

    def __init__(self) -> None:
        self._bytes = io.BytesIO()
        self.container = av.open(
            self._bytes, "w", format="mp4", options={"movflags": "+faststart"}, io_open=lambda *_: _Reader(self._bytes)
        )

    @property
    def size_bytes(self) -> int:
        """Bytes written so far, without the index."""
        return self._bytes.getbuffer().nbytes

    def add(self, packets: Iterable[Packet[Any]]) -> None:
        """Write packets, each at or after the latest one of its stream."""
        for packet in packets:
            self.container.mux(packet)

    def finish(self) -> memoryview:
        """Write the index, and return the file."""
        self.container.close()
        return self._bytes.getbuffer()


class _Reader:
    """The file once more, from its start: FFmpeg reads it while it moves the content behind the index."""

    def __init__(self, written: io.BytesIO) -> None:
        self._written = written
        self._place = 0

    def read(self, count: int) -> bytes:
        with self._written.getbuffer() as content:
            part = bytes(content[self._place : self._place + count])
        self._place += len(part)
        return part

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        with self._written.getbuffer() as content:
            base = {io.SEEK_SET: 0, io.SEEK_CUR: self._place, io.SEEK_END: content.nbytes}[whence]
        self._place = base + offset
        return self._place

    def tell(self) -> int:
        return self._place

    def close(self) -> None:
        """Nothing is open."""
