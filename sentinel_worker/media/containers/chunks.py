"""Chunks of RIFF files and of formats built like them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO, Final, Literal

MAX_CHUNKS: Final = 100_000
"""Number of chunks after which a file is not read on."""


@dataclass(frozen=True, slots=True)
class Layout:
    """Chunks of a format: where the first is, how a length is written and counted, and the name of the sound's."""

    first: int
    order: Literal["little", "big"]
    sound: bytes
    name_bytes: int = 4
    length_bytes: int = 4
    aligned: int = 2
    counts_itself: bool = False


RIFF: Final = Layout(12, "little", b"data")


def chunks(file: BinaryIO, at: int, size: int, layout: Layout = RIFF) -> Iterator[tuple[bytes, int, int]]:
    """Yield each chunk's name, the start of its body and its promised length."""
    header = layout.name_bytes + layout.length_bytes
    while at + header <= size:
        file.seek(at)
        head = file.read(header)
        length = int.from_bytes(head[layout.name_bytes :], layout.order)
        if layout.counts_itself:
            length = max(length - header, 0)
        yield head[: layout.name_bytes], at + header, length
        at += header + length + -length % layout.aligned
