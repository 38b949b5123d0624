"""Packets of MPEG transport streams: where the first one is, whether they are scrambled, and coding by stream."""

# ruff: noqa: PLR2004 the numbers come from the format

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

_SYNC: Final = 0x47
_PACKET: Final = 188
# Length of a packet with what surrounds it (Blu-ray puts a time of four bytes before it), and the packet's place in it.
_STRIDES: Final = ((188, 0), (192, 4), (204, 0))
_PACKETS_IN_A_ROW: Final = 5
_READ_BYTES: Final = 2 * 1024**2
_PROGRAMS_PID, _NULL_PID = 0, 0x1FFF
_NO_DECODER: Final = {0x2D: "MPEG-H", 0x2E: "MPEG-H"}
# HLS's SAMPLE-AES: H.264, AAC, AC-3, E-AC-3.
_ENCRYPTED_TYPES: Final = frozenset({0xDB, 0xCF, 0xC1, 0xC2})
_PRIVATE: Final = 0x06
"""Type of a stream whose descriptors say how it is coded; those of others may not contradict their type."""
_AC4: Final = b"\x15"
_EXTENSION_DESCRIPTOR: Final = 0x7F


def first_packet(head: bytes) -> int | None:
    """Offset of the first of five packets in a row in `head`; None if there are none.

    For packets that a time precedes, it is the offset of the time.
    """
    at = head.find(_SYNC)
    while at >= 0:
        for stride, before in _STRIDES:
            marks = head[at : at + _PACKETS_IN_A_ROW * stride : stride]
            if at >= before and marks == bytes([_SYNC]) * _PACKETS_IN_A_ROW:
                return at - before
        at = head.find(_SYNC, at + 1)
    return None


def is_scrambled(path: Path) -> bool:
    """True if most of the first packets with a payload are scrambled, or a stream's type says that its samples are."""
    packets = list(_packets(path))
    if any(kind in _ENCRYPTED_TYPES for _, kind, _ in _streams(packets)):
        return True
    loaded = [packet for packet in packets if packet[3] & 0x10 and _pid(packet) != _NULL_PID]
    return 2 * sum(packet[3] & 0xC0 != 0 for packet in loaded) > len(loaded)


def undecodable_sounds(path: Path) -> dict[int, str]:
    """Codecs, by the stream's PID, that the program map names and no decoder here reads.

    FFmpeg does not know these streams' types, so it guesses a codec from their bytes, and may guess one that it has.
    """
    found = {}
    for pid, kind, descriptors in _streams(list(_packets(path))):
        if kind in _NO_DECODER:
            found[pid] = _NO_DECODER[kind]
        elif kind == _PRIVATE and any(
            tag == _EXTENSION_DESCRIPTOR and body[:1] == _AC4 for tag, body in _descriptors(descriptors)
        ):
            found[pid] = "AC-4"
    return found


def _packets(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        content = file.read(_READ_BYTES)
    at = first_packet(content)
    if at is None:
        return
    stride, before = next(
        (stride, before)
        for stride, before in _STRIDES
        if content[at + before : at + before + 2 * stride : stride] == bytes([_SYNC]) * 2
    )
    for start in range(at + before, len(content) - _PACKET + 1, stride):
        if content[start] == _SYNC:
            yield content[start : start + _PACKET]


def _pid(packet: bytes) -> int:
    return (packet[1] & 0x1F) << 8 | packet[2]


def _streams(packets: list[bytes]) -> Iterator[tuple[int, int, bytes]]:
    """Yield PID, type and descriptors of each stream of the program maps."""
    maps = {pid for section in _sections(packets, {_PROGRAMS_PID}) for pid in _map_pids(section)}
    for section in _sections(packets, maps):
        if section[:1] != b"\x02" or len(section) < 12:
            continue
        at = 12 + ((section[10] & 0x0F) << 8 | section[11])
        while at + 5 <= len(section) - 4:
            length = (section[at + 3] & 0x0F) << 8 | section[at + 4]
            pid = (section[at + 1] & 0x1F) << 8 | section[at + 2]
            yield pid, section[at], section[at + 5 : at + 5 + length]
            at += 5 + length


def _map_pids(section: bytes) -> Iterator[int]:
    for at in range(8, len(section) - 4 - 3, 4):
        if section[at : at + 2] != b"\x00\x00":  # 0 is the network, not a program
            yield (section[at + 2] & 0x1F) << 8 | section[at + 3]


def _sections(packets: list[bytes], pids: set[int]) -> Iterator[bytes]:
    """Yield the tables on these PIDs that fit in one packet, as nearly all do."""
    for packet in packets:
        if _pid(packet) not in pids or not packet[1] & 0x40:
            continue
        payload = packet[5 + packet[4] :] if packet[3] & 0x20 else packet[4:]
        if not payload:
            continue
        section = payload[1 + payload[0] :]
        length = 3 + ((section[1] & 0x0F) << 8 | section[2]) if len(section) >= 3 else 0
        if 3 < length <= len(section):
            yield section[:length]


def _descriptors(content: bytes) -> Iterator[tuple[int, bytes]]:
    at = 0
    while at + 2 <= len(content):
        yield content[at], content[at + 2 : at + 2 + content[at + 1]]
        at += 2 + content[at + 1]
