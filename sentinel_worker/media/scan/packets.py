"""The one scan of a file: every packet of every stream, read once before anything is decoded.

Headers promise lengths, rates and key frames that may be wrong, so everything that is planned or decided about a film
or its sound rests on this table. Runs in a decoding child.
"""

from __future__ import annotations

import importlib
import pkgutil
from array import array
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

import av
import numpy as np
import numpy.typing as npt
from av.container import InputContainer
from av.packet import Packet

from sentinel_worker.domain.machine_errors import out_of_memory
from sentinel_worker.media.containers.sound_frames import adts_rate
from sentinel_worker.media.scan.timeline import MISSING, Packets

_MAX_ERRORS_IN_A_ROW: Final = 10
# FFmpeg's Ogg reader counts in 32 bits without a sign, and an encoder may end before the end of its last packet.
_NEGATIVE_LENGTHS: Final = range(2**32 - 2**20, 2**32)
_ADTS_HEADER_BYTES: Final = 7
_NEVER_LOADED: Final = ("av.__main__", "av.datasets")


def load_pyav() -> None:
    """Import all of PyAV: it imports some parts for the first stream that needs them, which a confined child cannot."""
    for module in pkgutil.walk_packages(av.__path__, "av."):
        if module.name not in _NEVER_LOADED:
            importlib.import_module(module.name)


def read_packets(
    container: InputContainer, stream: int | None = None, on_unread: Callable[[], object] = lambda: None
) -> Iterator[Packet[Any]]:
    """Yield the packets of one stream or of all, in file order, and step over errors as players do.

    `on_unread` is called if a stream begins after the start of the file, whose packets PyAV does not show, and if the
    rest of the file cannot be read.
    """
    wanted = () if stream is None else (container.streams[stream],)
    errors = 0
    while errors < _MAX_ERRORS_IN_A_ROW:
        try:
            for packet in container.demux(*wanted):
                errors = 0
                if packet.dts is None and packet.pts is None and packet.size == 0:
                    continue  # the end of a stream
                yield packet
        except av.FFmpegError as error:
            if out_of_memory(error):
                raise
            errors += 1
        except IndexError:  # the first packet of such a stream; later ones are left out without an error
            on_unread()
        else:
            return
    on_unread()


@dataclass(frozen=True, slots=True)
class Scan:
    """The packets of each stream that has any, by its index.

    `unread_share` is 0 if these are all packets. If a stream began in the middle of the file, or the demuxer gave up,
    it is the share of the file's bytes that are in none of them, an upper bound of what was not seen.
    """

    streams: Mapping[int, Packets]
    unread_share: float


def scan(container: InputContainer) -> Scan:
    """Read every packet."""
    found: dict[int, _Columns] = {}
    unread: list[None] = []
    for packet in read_packets(container, on_unread=lambda: unread.append(None)):
        columns = found.setdefault(packet.stream_index, _Columns(states_rates=container.format.name == "aac"))
        columns.add(packet)
    streams = container.streams
    packets = {index: columns.packets(float(streams[index].time_base or 1)) for index, columns in found.items()}
    seen_bytes = sum(int(part.size.sum(dtype=np.int64)) for part in packets.values())
    return Scan(packets, 1 - min(seen_bytes / max(container.size, 1), 1) if unread else 0.0)


@dataclass(slots=True)
class _Columns:
    states_rates: bool
    presentation: array[int] = field(default_factory=lambda: array("q"))
    decoding: array[int] = field(default_factory=lambda: array("q"))
    duration: array[int] = field(default_factory=lambda: array("q"))
    key: array[int] = field(default_factory=lambda: array("b"))
    hidden: array[int] = field(default_factory=lambda: array("b"))
    size: array[int] = field(default_factory=lambda: array("i"))
    rate: array[int] = field(default_factory=lambda: array("i"))

    def add(self, packet: Packet[Any]) -> None:
        self.presentation.append(MISSING if packet.pts is None else packet.pts)
        self.decoding.append(MISSING if packet.dts is None else packet.dts)
        duration = packet.duration or 0
        self.duration.append(0 if duration in _NEGATIVE_LENGTHS else duration)
        self.key.append(packet.is_keyframe)
        self.hidden.append(packet.is_discard)
        self.size.append(packet.size)
        if self.states_rates:
            self.rate.append(adts_rate(bytes(memoryview(packet)[:_ADTS_HEADER_BYTES])))

    def packets(self, unit_seconds: float) -> Packets:
        rates = np.frombuffer(self.rate, np.int32)
        packets = self._as_read(unit_seconds)
        return packets if (rates == rates[:1]).all() or not rates.all() else _by_own_rates(packets, rates)

    def _as_read(self, unit_seconds: float) -> Packets:
        return Packets(
            np.frombuffer(self.presentation, np.int64),
            np.frombuffer(self.decoding, np.int64),
            np.frombuffer(self.duration, np.int64),
            np.frombuffer(self.key, np.bool_),
            np.frombuffer(self.hidden, np.bool_),
            np.frombuffer(self.size, np.int32),
            unit_seconds,
        )


def _by_own_rates(packets: Packets, rates: npt.NDArray[np.int32]) -> Packets:
    """Give each frame of joined recordings its own length: FFmpeg reckons all of them by the first one's rate."""
    unknown = np.full(len(packets), MISSING)
    lasting = np.round(packets.duration * (float(rates[0]) / rates)).astype(np.int64)
    return replace(packets, presentation=unknown, decoding=unknown, duration=lasting)
