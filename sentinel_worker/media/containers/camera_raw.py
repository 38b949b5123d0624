"""Raw pictures of cameras, which are TIFF files whose first picture is a small preview or not yet colours."""

from __future__ import annotations

from typing import BinaryIO, Final, Literal

_SUBFILE_TYPE, _COMPRESSION, _PHOTOMETRIC, _SUB_IFDS, _DNG_VERSION = 254, 259, 262, 330, 50706
# Nikon, Sony, Pentax, Samsung, and Kodak's own.
_RAW_COMPRESSIONS: Final = frozenset({34713, 32767, 65535, 32770, 32769, 65000})
_COLOUR_FILTER_ARRAY: Final = 32803
_SHORT: Final = (b"\x03\x00", b"\x00\x03")
"""Type of a number of 16 bits, in either byte order."""
_MAX_ENTRIES: Final = 1000


def is_camera_raw(file: BinaryIO) -> bool:
    """True for CR2, NEF, ARW, PEF, DNG and their like, by the first directory of the TIFF `file`."""
    file.seek(0)
    head = file.read(16)
    if head[8:10] == b"CR":
        return True
    order: Literal["little", "big"] = "little" if head[:2] == b"II" else "big"
    file.seek(int.from_bytes(head[4:8], order))
    count = min(int.from_bytes(file.read(2), order), _MAX_ENTRIES)
    entries = file.read(12 * count)
    # A short number lies in the first bytes of its field, in the file's byte order.
    found = {
        int.from_bytes(entry[:2], order): int.from_bytes(entry[8:10] if entry[2:4] in _SHORT else entry[8:12], order)
        for entry in (entries[at : at + 12] for at in range(0, len(entries) - 11, 12))
    }
    return (
        _DNG_VERSION in found
        or found.get(_COMPRESSION) in _RAW_COMPRESSIONS
        or found.get(_PHOTOMETRIC) == _COLOUR_FILTER_ARRAY
        or (found.get(_SUBFILE_TYPE, 0) & 1 == 1 and _SUB_IFDS in found)
    )
