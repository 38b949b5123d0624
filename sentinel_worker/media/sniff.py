"""Detection of a file's container by its first bytes: some are allowed by name, everything else is refused.

The decoder library would follow playlists, manifests and concat scripts to other files and hosts, so it only gets files
that start like a media container. Pure: no file is opened here.
"""

# ruff: noqa: PLR2004 the numbers come from the formats

from __future__ import annotations

from typing import Final

from sentinel_worker.domain.errors import Permanent
from sentinel_worker.media.impostors import describe, starts_as_text

SNIFF_BYTES: Final = 4096
"""Number of first bytes that `sniff` needs; a shorter file is passed whole."""

_ID3_HEADER: Final = 10
_TRANSPORT_PACKETS: Final = ((188, 0), (192, 4), (204, 0))
_ASF: Final = bytes.fromhex("3026b2758e66cf11a6d900aa0062ce6c")
_ISO_BOXES: Final = frozenset({b"moov", b"mdat", b"wide", b"free", b"skip", b"pnot"})
_ISO_BRANDS: Final = {
    b"qt  ": "mov",
    b"M4V ": "m4v",
    b"M4VH": "m4v",
    b"M4VP": "m4v",
    b"M4A ": "m4a",
    b"M4B ": "m4a",
    b"avif": "avif",
    b"avis": "avif",
    b"heic": "heic",
    b"heix": "heic",
    b"hevc": "heic",
    b"heim": "heic",
    b"mif1": "heic",
    b"msf1": "heic",
    b"3gp4": "3gp",
    b"3gp5": "3gp",
    b"3gp6": "3gp",
    b"3g2a": "3gp",
}
_MAGIC: Final[tuple[tuple[bytes, str], ...]] = (
    (b"\x89PNG\r\n\x1a\n", "png"),
    (b"\xff\xd8\xff", "jpeg"),
    (b"GIF87a", "gif"),
    (b"GIF89a", "gif"),
    (b"II*\x00", "tiff"),
    (b"MM\x00*", "tiff"),
    (b"FLV\x01", "flv"),
    (b"OggS", "ogg"),
    (b"fLaC", "flac"),
    (b"\x00\x00\x01\xba", "mpeg-ps"),
    (_ASF, "asf"),
)
_RIFF: Final = {b"AVI ": "avi", b"WAVE": "wav", b"WEBP": "webp"}


def sniff(head: bytes, after_tag: bytes = b"") -> str:
    """Return the name of the container that the first `SNIFF_BYTES` bytes of a file announce ("mp4", "matroska", …).

    `after_tag` holds the bytes after an ID3 tag (`tag_length` says where), because the decoder skips the tag and trusts
    what follows it. Raises `Permanent('media_empty')` for no bytes at all and `Permanent('media_not_supported')` with a
    sentence that names what was found.
    """
    if not head:
        raise Permanent("media_empty", "The file is empty.")
    if starts_as_text(head):
        raise _refusal(head)
    if tag_length(head):
        return _behind_tag(after_tag)
    for announced in (_magic, _iso, _ebml, _bitmap, _transport, _audio_frame):
        if (found := announced(head)) is not None:
            return found
    raise _refusal(head)


def tag_length(head: bytes) -> int:
    """Length in bytes of the ID3v2 tag at the start of `head`, with its header; 0 without a tag."""
    if len(head) < _ID3_HEADER or head[:3] != b"ID3":
        return 0
    size = 0
    for byte in head[6:10]:
        size = size << 7 | byte & 0x7F
    footer = _ID3_HEADER if head[5] & 0x10 else 0
    return _ID3_HEADER + size + footer


def _behind_tag(body: bytes) -> str:
    found = "flac" if body[:4] == b"fLaC" else _audio_frame(body)
    if found is None and body and not body.strip(b"\x00"):
        found = "mp3"  # padding between the tag and the first frame
    if found is None:
        raise _refusal(body)
    return found


def _magic(head: bytes) -> str | None:
    for magic, name in _MAGIC:
        if head.startswith(magic):
            return "apng" if name == "png" and b"acTL" in head[:SNIFF_BYTES] else name
    if head[:4] in (b"RIFF", b"RF64"):
        return _RIFF.get(head[8:12])
    return None


def _iso(head: bytes) -> str | None:
    """ISO base media: an `ftyp` box first, or one of the boxes that old QuickTime files start with."""
    if head[4:8] == b"ftyp":
        return _ISO_BRANDS.get(head[8:12], "mp4")
    return "mov" if head[4:8] in _ISO_BOXES else None


def _ebml(head: bytes) -> str | None:
    if not head.startswith(b"\x1a\x45\xdf\xa3"):
        return None
    return next((name for name in ("webm", "matroska") if name.encode() in head[:64]), None)


def _bitmap(head: bytes) -> str | None:
    """BMP has only two magic bytes, so its reserved fields and header size are checked too."""
    if head[:2] == b"BM" and len(head) >= 18 and head[6:10] == bytes(4) and 12 <= head[14] <= 124:
        return "bmp"
    return None


def _transport(head: bytes) -> str | None:
    """MPEG-TS: five packets in a row that start with the sync byte."""
    for length, offset in _TRANSPORT_PACKETS:
        if head[offset : offset + 5 * length : length] == b"\x47" * 5:
            return "mpeg-ts"
    return None


def _audio_frame(head: bytes) -> str | None:
    """A bare AAC (ADTS) or MPEG audio frame header with no reserved value in it."""
    if len(head) < 4 or head[0] != 0xFF or head[1] & 0xE0 != 0xE0:
        return None
    if head[1] & 0xF6 == 0xF0:
        return "aac" if head[2] >> 2 & 0xF < 13 else None
    version, layer, bit_rate, sample_rate = head[1] >> 3 & 3, head[1] >> 1 & 3, head[2] >> 4, head[2] >> 2 & 3
    reserved = version == 1 or layer == 0 or bit_rate in (0, 15) or sample_rate == 3
    return None if reserved else "mp3"


def _refusal(head: bytes) -> Permanent:
    found = describe(head)
    return Permanent(
        "media_not_supported",
        f"The file is not media that can be analyzed: it looks like {found}.",
        params={"found": found},
    )
