"""What a file is by its first bytes: containers that are allowed by name, everything else refused.

The decoder library would follow playlists, manifests and concat scripts to other files and hosts, so
nothing reaches it that does not start like a media container. Pure: no file is opened here.
"""

# ruff: noqa: PLR2004 the numbers are those of the formats

from __future__ import annotations

from typing import Final

from sentinel_worker.errors import Permanent

SNIFF_BYTES: Final = 4096
"""How many first bytes `sniff` wants; a shorter file is given whole."""

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
_REFUSED_MAGIC: Final[tuple[tuple[bytes, str], ...]] = (
    (b"PK\x03\x04", "an archive"),
    (b"PK\x05\x06", "an archive"),
    (b"Rar!\x1a\x07", "an archive"),
    (b"7z\xbc\xaf\x27\x1c", "an archive"),
    (b"\x1f\x8b", "an archive"),
    (b"BZh", "an archive"),
    (b"\xfd7zXZ\x00", "an archive"),
    (b"\x28\xb5\x2f\xfd", "an archive"),
    (b"\x7fELF", "a program"),
    (b"MZ", "a program"),
    (b"#!", "a script"),
    (b"\xcf\xfa\xed\xfe", "a program"),
    (b"\xca\xfe\xba\xbe", "a program"),
    (b"%PDF-", "a PDF document"),
)
_REFUSED_TEXT: Final[tuple[tuple[str, str], ...]] = (
    ("#extm3u", "an HLS playlist"),
    ("#extinf", "a playlist"),
    ("[playlist]", "a playlist"),
    ("ffconcat", "a concat script"),
    ("v=0", "an SDP description"),
    ("rtsptext", "a stream description"),
    ("<!doctype html", "a web page"),
    ("<html", "a web page"),
    ("<svg", "an SVG drawing"),
    ("<mpd", "a DASH manifest"),
    ("<smoothstreamingmedia", "a streaming manifest"),
    ("<smil", "a playlist"),
    ("<asx", "a playlist"),
    ("{", "a JSON text"),
)


def sniff(head: bytes, after_tag: bytes = b"") -> str:
    """The container that the first `SNIFF_BYTES` bytes of a file announce, as a name ("mp4", "matroska", …).

    `after_tag` holds the bytes behind an ID3 tag (`tag_length` says where), because the decoder skips such
    a tag and trusts what follows it. Raises `Permanent('media_empty')` for no bytes at all and
    `Permanent('media_not_supported')` with a sentence that names what was found.
    """
    if not head:
        raise Permanent("media_empty", "The file is empty.")
    if tag_length(head):
        return _behind_tag(after_tag)
    for announced in (_magic, _iso, _ebml, _bitmap, _transport, _audio_frame):
        if (found := announced(head)) is not None:
            return found
    raise _refusal(head)


def tag_length(head: bytes) -> int:
    """Bytes of the ID3v2 tag at the start of `head`, its header included; 0 where there is none."""
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
    """BMP has two magic bytes only, so its reserved fields and header size are looked at too."""
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
    found = _describe(head)
    return Permanent(
        "media_not_supported",
        f"The file is not media that can be analyzed: it looks like {found}.",
        params={"found": found},
    )


def _describe(head: bytes) -> str:
    for magic, name in _REFUSED_MAGIC:
        if head.startswith(magic):
            return name
    if head[257:262] == b"ustar":
        return "an archive"
    text = head.removeprefix(b"\xef\xbb\xbf").lstrip().decode("utf-8", "ignore").lower()
    for start, name in _REFUSED_TEXT:
        if text.startswith(start):
            return name
    if text.startswith("<"):
        marks = (name for mark, name in _REFUSED_TEXT if mark.startswith("<") and mark in text)
        return next(marks, "an XML text")
    return "a text" if _is_text(head) else "an unknown format"


def _is_text(head: bytes) -> bool:
    # A character may be cut in two at the end of the head.
    readable = head.decode("utf-8", "ignore").encode()
    controls = any(byte < 0x20 and byte not in b"\t\n\r\f" for byte in head)
    return len(head) - len(readable) < 4 and bool(readable) and not controls
