"""Detection of a file's container by its first bytes: some are allowed by name, everything else is refused.

The decoder library would follow playlists, manifests and concat scripts to other files and hosts, so it only gets files
that start like a media container. Tags and a bounded stretch of junk may precede it, as they do for players; a text may
not.
"""

# ruff: noqa: PLR2004 the numbers come from the formats

from __future__ import annotations

from typing import BinaryIO, Final

from sentinel_worker.domain.errors import Permanent
from sentinel_worker.media.containers.allowed import Sniffed
from sentinel_worker.media.containers.camera_raw import is_camera_raw
from sentinel_worker.media.containers.ebml import doc_type
from sentinel_worker.media.containers.impostors import UNKNOWN, describe, starts_as_text
from sentinel_worker.media.containers.iso_files import iso_container
from sentinel_worker.media.containers.named_formats import RAW_PICTURE
from sentinel_worker.media.containers.sound_frames import SEARCH_BYTES, first_frame, frame_at
from sentinel_worker.media.containers.transport_streams import first_packet
from sentinel_worker.media.refused_files import not_media

HEAD_BYTES: Final = 4096
"""Number of first bytes that most containers are recognized by."""

_ID3_HEADER: Final = 10
_APE_TAG: Final = b"APETAGEX"
_APE_TAG_HEADER: Final = 32
# The demuxers of films search for themselves, not much farther.
_FILM_SEARCH_BYTES: Final = 32 * 1024
_MAX_TAGS: Final = 100
_MAX_CHUNKS: Final = 100_000
_ASF: Final = bytes.fromhex("3026b2758e66cf11a6d900aa0062ce6c")
_W64: Final = bytes.fromhex("726966662e91cf11a5d628db04c10000")
_JP2: Final = b"\x00\x00\x00\x0cjP  \r\n\x87\n"
_PACK: Final = b"\x00\x00\x01\xba"
_PICTURES_AND_FILMS: Final[tuple[tuple[bytes, str], ...]] = (
    (b"\x89PNG\r\n\x1a\n", "png"),
    (b"\xff\xd8\xff", "jpeg"),
    (b"GIF87a", "gif"),
    (b"GIF89a", "gif"),
    (b"II*\x00", "tiff"),
    (b"MM\x00*", "tiff"),
    (b"\xff\x4f\xff\x51", "jp2"),
    (b"FLV\x01", "flv"),
    (_PACK, "mpeg-ps"),
    (b"\x00\x00\x01\xb3", "mpeg-video"),
    (_ASF, "asf"),
)
_SOUNDS: Final[tuple[tuple[bytes, str], ...]] = (
    (b"OggS", "ogg"),
    (b"fLaC", "flac"),
    (b"#!AMR\n", "amr"),
    (b"#!AMR-WB\n", "amr"),
    (b"caff", "caf"),
    (b".snd", "au"),
    (b"wvpk", "wavpack"),
    (b"MAC ", "ape"),
    (b"TTA1", "tta"),
    (b"MPCK", "mpc8"),
    (b"MP+\x07", "mpc7"),
    (b"MP+\x17", "mpc7"),
    (_W64, "w64"),
)
_RIFFS: Final = (b"RIFF", b"RF64", b"BW64")
_RIFF: Final = {b"AVI ": "avi", b"AVI\x19": "avi", b"AVIX": "avi", b"WAVE": "wav", b"WEBP": "webp", b"CDXA": "mpeg-ps"}


def sniff(file: BinaryIO) -> Sniffed:
    """Return the container that the file's first bytes announce, and where it begins.

    Raises `Permanent('media_empty')` for no bytes at all and `Permanent('media_not_supported')` with a sentence that
    names what was found.
    """
    head = _read(file, 0)
    if not head:
        raise Permanent("media_empty", "The file is empty.")
    if starts_as_text(head):
        raise not_media(describe(head))
    if begin := _end_of_tags(file):
        return _behind_tags(file, begin)
    if announced := _picture_or_film(file, head) or iso_container(file) or _ebml(file) or _sound(head):
        return Sniffed(announced)
    if (found := describe(head)) != UNKNOWN:
        raise not_media(found)
    return _behind_junk(file, 0)


def tag_length(head: bytes) -> int:
    """Length in bytes of the ID3v2 or APE tag at the start of `head`, with its header; 0 without a tag."""
    if head[:3] == b"ID3" and len(head) >= _ID3_HEADER:
        size = 0
        for byte in head[6:10]:
            size = size << 7 | byte & 0x7F
        footer = _ID3_HEADER if head[5] & 0x10 else 0
        return _ID3_HEADER + size + footer
    if head[:8] == _APE_TAG and len(head) >= _APE_TAG_HEADER:
        return _APE_TAG_HEADER + int.from_bytes(head[12:16], "little")
    return 0


def _end_of_tags(file: BinaryIO) -> int:
    end = 0
    for _ in range(_MAX_TAGS):
        length = tag_length(_read(file, end, _APE_TAG_HEADER))
        if not length:
            break
        end += length
    return end


def _behind_tags(file: BinaryIO, begin: int) -> Sniffed:
    """Only sounds are tagged in front."""
    head = _read(file, begin)
    if starts_as_text(head):
        raise not_media(describe(head))
    if (announced := _sound(head)) is not None:
        return Sniffed(announced, begin)
    if (found := describe(head)) != UNKNOWN:
        raise not_media(found)
    return _behind_junk(file, begin, only_sound=True)


def _behind_junk(file: BinaryIO, begin: int, *, only_sound: bool = False) -> Sniffed:
    """Look for a stream that can be entered anywhere: players search for its frames or packets too."""
    content = _read(file, begin, SEARCH_BYTES)
    if not only_sound:
        if first_packet(content[:_FILM_SEARCH_BYTES]) is not None:
            return Sniffed("mpeg-ts")
        if _has_pack(content[:_FILM_SEARCH_BYTES]):
            return Sniffed("mpeg-ps")
    if (found := first_frame(content)) is not None:
        return Sniffed(found[1].container, begin + found[0])
    raise not_media(UNKNOWN)


def _picture_or_film(file: BinaryIO, head: bytes) -> str | None:
    for magic, name in _PICTURES_AND_FILMS:
        if head.startswith(magic):
            if name == "png" and _is_animated(file):
                return "apng"
            if name == "tiff" and is_camera_raw(file):
                raise not_media(RAW_PICTURE)
            return None if head.startswith(b"\xff\xd8\xff\xf7") else name
    if head.startswith(_JP2):
        return {b"mjp2": "mov", b"jpm ": None}.get(head[20:24], "jp2")
    if _is_bitmap(head):
        return "bmp"
    if _is_icon(head):
        return "ico"
    return "mpeg-ts" if first_packet(head[: 5 * 204]) == 0 else None


def _is_animated(file: BinaryIO) -> bool:
    """True if a PNG file has an animation's control chunk before its pixels, which may come late."""
    at = 8
    for _ in range(_MAX_CHUNKS):
        head = _read(file, at, 8)
        if head[4:] in (b"acTL", b"IDAT", b""):
            return head[4:] == b"acTL"
        at += 12 + int.from_bytes(head[:4], "big")
    return False


def _sound(head: bytes) -> str | None:
    """Container of a sound; for RIFF files also of a film or a picture."""
    for magic, name in _SOUNDS:
        if head.startswith(magic):
            return name
    if head[:4] in _RIFFS:
        return _RIFF.get(head[8:12])
    if head[:4] == b"FORM" and head[8:12] in (b"AIFF", b"AIFC"):
        return "aiff"
    frame = frame_at(head)
    return frame.container if frame else None


def _ebml(file: BinaryIO) -> str | None:
    """Matroska by its header's DocType. One without it is played as Matroska."""
    found = doc_type(file)
    if found is None:
        return None
    return "webm" if found == b"webm" else "matroska"


def _is_bitmap(head: bytes) -> bool:
    """BMP has only two magic bytes, so the header's size, its planes and its bits per pixel are checked too."""
    if head[:2] != b"BM" or len(head) < 18:
        return False
    size = int.from_bytes(head[14:18], "little")
    if head[6:10] == bytes(4) and 12 <= size <= 124:
        return True
    planes = 22 if size == 12 else 26
    bits = int.from_bytes(head[planes + 2 : planes + 4], "little")
    return 12 <= size <= 1024 and head[planes : planes + 2] == b"\x01\x00" and bits in (0, 1, 2, 4, 8, 16, 24, 32)


def _is_icon(head: bytes) -> bool:
    """ICO has no magic bytes but small numbers: the kind, and a count of pictures of which the first is checked."""
    count, offset = int.from_bytes(head[4:6], "little"), int.from_bytes(head[18:22], "little")
    return head[:4] == b"\x00\x00\x01\x00" and 0 < count <= 256 and head[9:10] == b"\x00" and offset >= 6 + 16 * count


def _has_pack(content: bytes) -> bool:
    """True if there is a pack of an MPEG program stream that another start code follows at its end."""
    at = content.find(_PACK)
    while at >= 0:
        head = content[at + 4 : at + 14]
        if len(head) == 10 and head[0] & 0xF1 == 0x21:
            end = at + 12
        elif len(head) == 10 and head[0] & 0xC4 == 0x44:
            end = at + 14 + (head[9] & 7)
        else:
            end = len(content)
        if content[end : end + 3] == b"\x00\x00\x01" and content[end + 3 : end + 4] >= b"\xb9":
            return True
        at = content.find(_PACK, at + 1)
    return False


def _read(file: BinaryIO, offset: int, length: int = HEAD_BYTES) -> bytes:
    file.seek(offset)
    return file.read(length)
