"""A writer of WMA Lossless in ASF, which FFmpeg can only read: samples as they are, without prediction."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import numpy.typing as npt

FRAME = 1024
_PACKET_BYTES = 2064
_LENGTH_BITS = 15  # a decoder takes 4 bits more than the packet's size in bytes has
_FLAGS = 0x44  # frames say their length, and are half as long as usual

_HEADER = "3026b2758e66cf11a6d900aa0062ce6c"
_FILE = "a1dcab8c47a9cf118ee400c00c205365"
_STREAM = "9107dcb7b7a9cf118ee600c00c205365"
_DATA = "3626b2758e66cf11a6d900aa0062ce6c"
_AUDIO = "409e69f84d5bcf11a8fd00805f5c442b"
_NO_CORRECTION = "0057fb20555bcf11a8fd00805f5c442b"


def write(path: Path, samples: npt.NDArray[np.int16], rate: int) -> None:
    """Write mono samples, whole frames of 1024. No packet says how long it lasts."""
    packets = [_packet(number, frame) for number, frame in enumerate(samples.reshape(-1, FRAME))]
    units = len(samples) * 10_000_000 // rate
    size = 26 + _PACKET_BYTES
    file = bytes(16) + struct.pack("<6Q4I", 0, 0, len(packets), units, units, 0, 2, size, size, 16 * rate)
    extra = struct.pack("<HI8xHH", 16, 4, _FLAGS, 0)
    form = struct.pack("<HHIIHHH", 0x163, 1, rate, rate * _PACKET_BYTES // FRAME, _PACKET_BYTES, 16, len(extra)) + extra
    stream = bytes.fromhex(_AUDIO + _NO_CORRECTION) + struct.pack("<QIIHI", 0, len(form), 0, 1, 0) + form
    objects = _object(_FILE, file) + _object(_STREAM, stream)
    header = bytes.fromhex(_HEADER) + struct.pack("<QIH", 30 + len(objects), 2, 0x201) + objects
    data = bytes(16) + struct.pack("<QH", len(packets), 0x101)
    for number, packet in enumerate(packets):
        stamp = number * FRAME * 1000 // rate
        data += struct.pack("<BHBBIH", 0x82, 0, 0, 0x5D, stamp, FRAME * 1000 // rate)
        data += struct.pack("<BBIBII", 0x81, number % 256, 0, 8, _PACKET_BYTES, stamp) + packet
    path.write_bytes(header + _object(_DATA, data))


def _object(kind: str, body: bytes) -> bytes:
    return bytes.fromhex(kind) + struct.pack("<Q", 24 + len(body)) + body


def _packet(number: int, samples: npt.NDArray[np.int16]) -> bytes:
    # The number, a frame begins here, nothing left of the last frame.
    start = f"{number % 16:04b}10" + "0" * _LENGTH_BITS
    # One part that needs no others (1), no filters, unused predictors (six, so that the packet ends with its last bit),
    # steps of 1, samples as they are (1), all bits of them.
    head = "00" + "1" + "0" * 4 + "0" + "101" + "0" * 6 * 7 + "0" * 6 * 4 + "0" * 3 + "0" * 8 + "1" + "0"
    length = _LENGTH_BITS + len(head) + 16 * len(samples) + 2
    bits = [np.array(list(start + f"{length:0{_LENGTH_BITS}b}" + head), np.uint8)]
    bits.append(np.unpackbits(samples.astype(">i2").view(np.uint8)))
    return np.packbits(np.concatenate(bits)).tobytes().ljust(_PACKET_BYTES, b"\0")
