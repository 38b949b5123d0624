"""Formats announced by a file's first bytes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sentinel_worker.domain.errors import Permanent
from sentinel_worker.media.sniff import SNIFF_BYTES, sniff, tag_length

MP3_FRAME = bytes.fromhex("fffb9064") + bytes(400)
ADTS_FRAME = bytes.fromhex("fff15080") + bytes(60)


def id3(length: int, footer: bool = False) -> bytes:
    size = bytes(length >> shift & 0x7F for shift in (21, 14, 7, 0))
    return b"ID3\x04\x00" + (b"\x10" if footer else b"\x00") + size


def box(kind: bytes, body: bytes = b"") -> bytes:
    return (8 + len(body)).to_bytes(4, "big") + kind + body


ALLOWED = {
    "mp4": box(b"ftyp", b"isom\x00\x00\x02\x00isomiso2avc1mp41"),
    "mov": box(b"ftyp", b"qt  \x20\x05\x03\x00qt  "),
    "m4v": box(b"ftyp", b"M4V \x00\x00\x00\x00"),
    "m4a": box(b"ftyp", b"M4A \x00\x00\x00\x00"),
    "3gp": box(b"ftyp", b"3gp5\x00\x00\x00\x00"),
    "heic": box(b"ftyp", b"heic\x00\x00\x00\x00"),
    "avif": box(b"ftyp", b"avif\x00\x00\x00\x00"),
    "webm": bytes.fromhex("1a45dfa39f4286810142f7810142f2810442f381084282847765626d"),
    "matroska": bytes.fromhex("1a45dfa3a34286810142f7810142f2810442f381084282886d6174726f736b61"),
    "avi": b"RIFF\x00\x10\x00\x00AVI LIST",
    "wav": b"RIFF\x00\x10\x00\x00WAVEfmt ",
    "webp": b"RIFF\x00\x10\x00\x00WEBPVP8 ",
    "ogg": b"OggS\x00\x02",
    "flac": b"fLaC\x00\x00\x00\x22",
    "flv": b"FLV\x01\x05\x00\x00\x00\x09",
    "asf": bytes.fromhex("3026b2758e66cf11a6d900aa0062ce6c"),
    "mpeg-ps": b"\x00\x00\x01\xba\x44",
    "mpeg-ts": (b"\x47" + bytes(187)) * 5,
    "gif": b"GIF89a\x10\x00",
    "png": b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR",
    "apng": b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR" + bytes(17) + b"\x00\x00\x00\x08acTL",
    "jpeg": b"\xff\xd8\xff\xe0\x00\x10JFIF",
    "bmp": b"BM\x46\x00\x00\x00\x00\x00\x00\x00\x36\x00\x00\x00\x28\x00\x00\x00",
    "tiff": b"II*\x00\x08\x00\x00\x00",
    "mp3": MP3_FRAME,
    "aac": ADTS_FRAME,
}


@pytest.mark.parametrize("name", ALLOWED)
def test_names_an_allowed_container(name: str) -> None:
    assert sniff(ALLOWED[name]) == name


def test_names_other_forms_of_the_same_containers() -> None:
    assert sniff(box(b"moov")) == "mov"
    assert sniff(b"".join(b"\x00\x00\x00\x00\x47" + bytes(187) for _ in range(5))) == "mpeg-ts"


@pytest.mark.parametrize(
    ("head", "found"),
    [
        (b"#EXTM3U\n#EXT-X-VERSION:3\n", "an HLS playlist"),
        (b"\xef\xbb\xbf#EXTM3U\n", "an HLS playlist"),
        (b"ffconcat version 1.0\nfile other.mp4\n", "a concat script"),
        (b'<?xml version="1.0"?>\n<MPD xmlns="urn:mpeg:dash">', "a DASH manifest"),
        (b"<MPD>", "a DASH manifest"),
        (b'<?xml version="1.0"?><note/>', "an XML text"),
        (b'<svg xmlns="http://www.w3.org/2000/svg">', "an SVG drawing"),
        (b"<!DOCTYPE html><html>", "a web page"),
        (b"v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\n", "an SDP description"),
        (b"PK\x03\x04\x14\x00", "an archive"),
        (bytes(257) + b"ustar\x0000", "an archive"),
        (b"\x7fELF\x02\x01\x01", "a program"),
        (b"MZ\x90\x00", "a program"),
        (b"#!/bin/sh\n", "a script"),
        (b"%PDF-1.7\n", "a PDF document"),
        (b'{"url": "x"}', "a JSON text"),
        (b"hello there\n", "a text"),
        (b"<!--free--><MPD>", "a DASH manifest"),
        (b"<!--wide--><CompositionPlaylist>", "an IMF package"),
        (" #EXTM3U".encode("utf-16"), "an HLS playlist"),
        (b"[Reference]\nRef1=http://127.0.0.1/\n", "a playlist"),
        (b"LZIP\x01", "an archive"),
        (b"MSCF\x00\x00", "an archive"),
        (bytes(64), "an unknown format"),
        (b"BM and then a text", "a text"),
        (b"\xff\xff\xff\xff", "an unknown format"),
    ],
)
def test_refuses_everything_else_by_name(head: bytes, found: str) -> None:
    with pytest.raises(Permanent, match=found) as refused:
        sniff(head)
    assert refused.value.code == "media_not_supported"
    assert refused.value.params == {"found": found}


def test_refuses_an_empty_file() -> None:
    with pytest.raises(Permanent) as refused:
        sniff(b"")
    assert refused.value.code == "media_empty"


def test_looks_past_an_id3_tag() -> None:
    head = id3(300)
    assert tag_length(head) == 310
    assert tag_length(id3(300, footer=True)) == 320
    assert sniff(head, MP3_FRAME) == "mp3"
    assert sniff(head, ADTS_FRAME) == "aac"
    assert sniff(head, b"fLaC") == "flac"
    with pytest.raises(Permanent, match="an HLS playlist"):
        sniff(head, b"#EXTM3U\n")
    with pytest.raises(Permanent, match="unknown"):
        sniff(head)


TEXTS = ["#EXTM3U", "ffconcat version 1.0", "<MPD>", "<svg>", "<?xml version='1.0'?>", "v=0", "[playlist]", "{}"]
BEFORE = st.text(" \t\r\n", max_size=8)
SPEAKING = st.characters(exclude_categories=["Cc", "Cs"])


@given(st.sampled_from(TEXTS), BEFORE, st.text(SPEAKING), st.sampled_from(["utf-8", "utf-8-sig", "utf-16"]))
def test_a_text_is_not_media_whatever_surrounds_it(text: str, before: str, after: str, encoding: str) -> None:
    with pytest.raises(Permanent) as refused:
        sniff((before + text + after).encode(encoding)[:SNIFF_BYTES])
    assert refused.value.params["found"] != "an unknown format"


@given(st.text(SPEAKING, min_size=1, max_size=200))
def test_no_text_is_media(text: str) -> None:
    """Not even with the name of a QuickTime box in the right place, or the sync bytes of a transport stream."""
    for written in (text, f"<!--free{text}", "G" * 1000 + text, f"BM{text}", f"OggS{text}", f"GIF89a{text}"):
        with pytest.raises(Permanent):
            sniff(written.encode()[:SNIFF_BYTES])


@given(st.binary(min_size=1, max_size=SNIFF_BYTES), st.binary(max_size=64))
def test_answers_or_refuses_whatever_comes(head: bytes, after_tag: bytes) -> None:
    try:
        assert sniff(head, after_tag)
    except Permanent as refused:
        assert refused.params["found"]  # noqa: PT017 both outcomes are right
