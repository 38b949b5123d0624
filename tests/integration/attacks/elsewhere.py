"""Uploads that send a decoder elsewhere: to a URL, or to another file of this machine."""

from __future__ import annotations

import struct
from collections.abc import Iterator

from tests.integration.attacks.iso import TABLE, box, replaced, words

HLS = "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n{place}\n#EXT-X-ENDLIST\n"
FFCONCAT = "ffconcat version 1.0\nfile '{place}'\n"
XML_BOMB = (
    '<?xml version="1.0"?><!DOCTYPE lolz [<!ENTITY a "lol">'
    + "".join(f'<!ENTITY {b} "{f"&{a};" * 10}">' for a, b in zip("abcdefghi", "bcdefghij", strict=True))
    + ']><svg xmlns="http://www.w3.org/2000/svg">&j;</svg>'
)

_ID3 = b"ID3\x04\x00\x00\x00\x00\x00\x0a" + bytes(10)
_APE_TAG = b"APETAGEX" + struct.pack("<II", 2000, 8) + bytes(16) + bytes(8)
_JUNK = bytes(range(255, 0, -1))
BEFORE = {
    "two tags": _ID3 + _ID3,
    "two kinds of tags": _ID3 + _APE_TAG,
    "a tag and zeros": _ID3 + bytes(3000),
    "a tag and junk": _ID3 + _JUNK,
    "zeros": bytes(3000),
    "junk": _JUNK,
    "the mark of AMR": b"#!AMR\n",
}
"""What decoders skip before they look at a file."""
STARTS = {
    "caf": b"caff\x00\x01\x00\x00",
    "aiff": b"FORM\x00\x00\x10\x00AIFF",
    "au": b".snd\x00\x00\x00\x18",
    "w64": bytes.fromhex("726966662e91cf11a5d628db04c10000"),
    "amr": b"#!AMR\n\x00",
    "ape": b"MAC \x96\x0f\x00\x00",
    "tta": b"TTA1\x01\x00\x01\x00",
    "wavpack": b"wvpk\x00\x01\x00\x00",
    "mpc7": b"MP+\x07\x01\x00\x00\x00",
    "mpc8": b"MPCKSH\x0e\x00",
    "ac3": bytes.fromhex("0b77000014401400"),
    "mpeg-video": b"\x00\x00\x01\xb3",
    "matroska without a type": bytes.fromhex("1a45dfa38442868101"),
    "quicktime": struct.pack(">I", 4000) + b"uuid",
    "a tag and wav": _ID3 + b"RIFF\x00\x10\x00\x00WAVE\x00",
    "jp2": b"\x00\x00\x00\x0cjP  \r\n\x87\n\x00\x00\x00\x14ftypmjp2",
}
"""First bytes by which a container is recognized, none of which is a text."""


def imf(place: str) -> bytes:
    """A playlist of an IMF package; the files that it plays are found by their names."""
    return (
        '<CompositionPlaylist xmlns="http://www.smpte-ra.org/schemas/2067-3/2016"><Id>urn:uuid:1</Id>'
        f"<SegmentList><Segment><TrackFileId>{place}</TrackFileId></Segment></SegmentList></CompositionPlaylist>"
    ).encode()


def dash(place: str, prefix: str = "") -> bytes:
    """A DASH manifest whose only film is at `place`."""
    return (
        f'{prefix}<MPD xmlns="urn:mpeg:dash:schema:mpd:2011" profiles="urn:mpeg:dash:profile:isoff-on-demand:2011" '
        'type="static" mediaPresentationDuration="PT1S"><Period duration="PT1S"><AdaptationSet mimeType="video/mp4">'
        '<Representation id="1" bandwidth="1" width="64" height="48" codecs="avc1.42001e">'
        f"<BaseURL>{place}</BaseURL></Representation></AdaptationSet></Period></MPD>"
    ).encode()


def svg(place: str) -> bytes:
    """An SVG drawing that embeds a picture from elsewhere."""
    return f'<svg xmlns="http://www.w3.org/2000/svg"><image href="{place}" width="9" height="9"/></svg>'.encode()


def sdp(port: int, prefix: str) -> bytes:
    """A session description of a stream to receive on a port."""
    return (
        f"{prefix}v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=video {port} RTP/AVP 26\n".encode()
    )


def behind_a_tag(text: str) -> bytes:
    """The text after an ID3 tag, which decoders skip."""
    return b"ID3\x04\x00\x00\x00\x00\x00\x0a" + bytes(10) + text.encode()


def external_media(film: bytes, place: str) -> bytes:
    """An MP4 file whose samples are in another file, by URL and by Mac OS alias."""
    path = place.encode()
    alias = bytes(10) + b"\x03vol".ljust(28, b"\0") + bytes(12) + b"\x05media".ljust(64, b"\0") + bytes(16)
    alias += struct.pack(">hh", -1, -1) + bytes(16) + struct.pack(">HH", 2, len(path)) + path + b"\0" * (len(path) % 2)
    alias += struct.pack(">HH", 0xFFFF, 0)
    entries = box(b"alis", words(0), alias), box(b"url ", words(0), path + b"\0")
    return replaced(film, *TABLE[:-1], b"dinf", b"dref", body=words(0, len(entries)) + b"".join(entries))


def reference_movie(place: str) -> bytes:
    """A QuickTime file that contains only a reference to another."""
    url = place.encode() + b"\0"
    reference = box(b"rdrf", words(0), b"url ", struct.pack(">I", len(url)), url)
    return box(b"ftyp", b"qt  ", words(0), b"qt  ") + box(b"moov", box(b"rmra", box(b"rmda", reference)))


def linked_segments(film: bytes, place: str) -> bytes:
    """A Matroska file of unknown length (`-live 1`) that names the next file."""
    start = film.index(bytes.fromhex("1549a966"))
    length_bytes = 9 - film[start + 4].bit_length()
    length = int.from_bytes(film[start + 4 : start + 4 + length_bytes], "big") & (1 << 7 * length_bytes) - 1
    body = film[start + 4 + length_bytes :][:length]
    name = place.encode()
    body += bytes.fromhex("3e83bb") + _vint(len(name)) + name + bytes.fromhex("3eb923") + _vint(16) + bytes(range(16))
    rest = film[start + 4 + length_bytes + length :]
    return film[: start + 4] + _vint(len(body)) + body + rest


def _vint(number: int) -> bytes:
    return (number | 1 << 56).to_bytes(8, "big")


def avi_with_subtitles(film: bytes, text: str) -> bytes:
    """An AVI file with a subtitle track that is a playlist (CVE-2016-1897)."""
    (form, body), *_ = _chunks(film)
    assert form == b"RIFF"
    parts = dict(_lists(body[4:]))
    header = struct.pack("<4s4sIHHIIIIIIIIHHHH", b"txts", bytes(4), 0, 0, 0, 0, 1, 10, 0, 10, 0, 0, 0, 0, 0, 0, 0)
    track = _chunk(b"LIST", b"strl" + _chunk(b"strh", header) + _chunk(b"strf", b""))
    playlist = text.encode()
    gab2 = b"GAB2\0" + struct.pack("<HI", 2, 4) + b"x\0\0\0" + struct.pack("<HI", 4, len(playlist)) + playlist
    headers = bytearray(parts[b"hdrl"])
    headers[8 + 24 : 8 + 28] = struct.pack("<I", 2)
    movie = b"movi" + _chunk(b"01tx", gab2) + parts[b"movi"]
    return _chunk(b"RIFF", b"AVI " + _chunk(b"LIST", b"hdrl" + bytes(headers) + track) + _chunk(b"LIST", movie))


def _lists(body: bytes) -> Iterator[tuple[bytes, bytes]]:
    return ((content[:4], content[4:]) for kind, content in _chunks(body) if kind == b"LIST")


def _chunks(content: bytes) -> Iterator[tuple[bytes, bytes]]:
    position = 0
    while position + 8 <= len(content):
        kind, length = struct.unpack_from("<4sI", content, position)
        yield kind, content[position + 8 : position + 8 + length]
        position += 8 + length + length % 2


def _chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack("<4sI", kind, len(body)) + body + b"\0" * (len(body) % 2)
