"""Files that are refused are named: each format by its first bytes, and a text by its first word."""

from __future__ import annotations

import io

import pytest

from sentinel_worker.domain.errors import Permanent
from sentinel_worker.media.containers.impostors import describe
from sentinel_worker.media.containers.named_formats import MAGICS, TEXTS
from sentinel_worker.media.containers.sniff import sniff

BINARY = {
    "an archive": (
        *(b"PK\x03\x04\x14\x00", b"PK\x05\x06" + bytes(18), b"PK\x07\x08PK\x03\x04", b"Rar!\x1a\x07\x01\x00"),
        *(b"7z\xbc\xaf\x27\x1c", b"\x1f\x8b\x08\x00", b"BZh91AY&SY\x00", b"\xfd7zXZ\x00", b"\x28\xb5\x2f\xfd\x24"),
        *(b"\x04\x22\x4d\x18\x64", b"\x1f\x9d\x90", b"LZIP\x01", b"MSCF\x00\x00", b"xar!\x00\x1c", b"hsqs\x07\x00"),
        *(b"\xed\xab\xee\xdb\x03", bytes(257) + b"ustar\x0000", b"name".ljust(100, b"x") + bytes(157) + b"ustar"),
    ),
    "a program": (
        *(b"\x7fELF\x02", b"MZ\x90\x00\x03", b"\xcf\xfa\xed\xfe\x0c", b"\xce\xfa\xed\xfe\x07", b"\xca\xfe\xba\xbe\x00"),
        b"dex\n035\x00",
    ),
    "a WebAssembly module": (b"\x00asm\x01\x00\x00\x00",),
    "a Flash animation": (b"FWS\x0a\x00\x01", b"CWS\x0a\x00\x01", b"ZWS\x0d\x00\x01"),
    "a Microsoft Office document": (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(16),),
    "a PDF document": (b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n",),
    "a PostScript document": (b"\xc5\xd0\xd3\xc6\x1e\x00",),
    "a DjVu document": (b"AT&TFORM\x00\x00\x10\x00DJVM",),
    "an SQLite database": (b"SQLite format 3\x00\x10\x00",),
    "a DICOM file": (bytes(128) + b"DICM\x02\x00",),
    "an index of a DVD": (b"DVDVIDEO-VMG\x00\x00", b"DVDVIDEO-VTS\x00\x00"),
    "the attributes of a Mac file, without the file": (b"\x00\x05\x16\x07\x00\x02\x00\x00Mac OS X",),
    "a shortcut": (b"\x4c\x00\x00\x00\x01\x14\x02\x00",),
    "a 3D model": (b"glTF\x02\x00\x00\x00",),
    "a font": (
        b"\x00\x01\x00\x00\x00\x0f\x00\x80",
        b"OTTO\x00\x0b",
        b"ttcf\x00\x01",
        b"wOFF\x00\x01\x00\x00",
        b"wOF2\x00\x01",
    ),
    "a JPEG XL picture": (b"\xff\x0a\xfa\x1f", b"\x00\x00\x00\x0cJXL \r\n\x87\n\x00\x00\x00\x14ftypjxl "),
    "a JPEG-LS picture": (b"\xff\xd8\xff\xf7\x00\x0b",),
    "a JPEG XS picture": (b"\xff\x10\xff\x50\x00",),
    "a JPEG XR picture": (b"II\xbc\x01\x08\x00",),
    "a BigTIFF picture": (b"II+\x00\x08\x00", b"MM\x00+\x00\x08"),
    "a Photoshop document": (b"8BPS\x00\x01",),
    "a GIMP picture": (b"gimp xcf v011\x00",),
    "a Mac icon": (b"icns\x00\x00\x10\x00",),
    "a mouse cursor": (b"\x00\x00\x02\x00\x01\x00",),
    "a Targa picture": (
        b"\x00\x00\x02" + bytes(9) + b"\x40\x00\x30\x00\x18\x20\xff",
        b"\x05\x00\x0b" + bytes(9) + b"\x40\x01\xf0\x00\x08\x00hello",
    ),
    "an OpenEXR picture": (b"v/1\x01\x02\x00",),
    "a DDS texture": (b"DDS \x7c\x00\x00\x00",),
    "a QOI picture": (b"qoif\x00\x00\x01\x00",),
    "a FLIF picture": (b"FLIF\x44\x31\x80\x00",),
    "a BPG picture": (b"BPG\xfb\x20",),
    "a Windows metafile": (b"\xd7\xcd\xc6\x9a\x00\x00", b"\x01\x00\x00\x00".ljust(40, b"\x00") + b" EMF"),
    "a camera's raw picture": (
        *(b"FUJIFILMCCD-RAW 0201\x00", b"IIRO\x08\x00", b"IIRS\x08\x00", b"MMOR\x00\x00", b"IIU\x00\x18\x00"),
        *(b"FOVb\x00\x00", b"\x00MRM\x00\x01"),
    ),
    "a MIDI file": (b"MThd\x00\x00\x00\x06", b"RIFF\x10\x00\x00\x00RMIDdata"),
    "RealAudio sound": (b".ra\xfd\x00\x04",),
    "DTS sound": (b"\x7f\xfe\x80\x01\xfc", b"\xfe\x7f\x01\x80\xfc", b"DTSHDHDR\x00\x00"),
    "DSD sound": (b"DSD \x1c\x00", b"FRM8\x00\x00"),
    "OptimFROG sound": (b"OFR \x0f\x00",),
    "TAK sound": (b"tBaK\x01\x00",),
    "TTA2 sound": (b"TTA2\x01\x00",),
    "Shorten sound": (b"ajkg\x02\xfb",),
    "a Creative Voice file": (b"Creative Voice File\x1a\x1a\x00",),
    "a tracker module": (b"Extended Module: name\x00\x1a", b"IMPM\x00\x00"),
    "a WAV file with big-endian samples": (b"RIFX\x00\x00\x10\x00WAVEfmt ",),
    "a track's entry on an audio CD": (b"RIFF\x24\x00\x00\x00CDDAfmt ",),
    "a RealMedia file": (b".RMF\x00\x00",),
    "an MXF file": (b"\x06\x0e\x2b\x34\x02\x05\x01\x01\x0d\x01\x02\x01\x01\x02",),
    "an IVF file": (b"DKIF\x00\x00\x20\x00VP80",),
    "bare H.264 video": tuple(b"\x00\x00\x00\x01" + unit for unit in (b"\x67", b"\x27", b"\x09")),
    "bare H.265 video": (b"\x00\x00\x00\x01\x40\x01\x0c", b"\x00\x00\x00\x01\x46\x01\x50"),
    "a Bink video": (b"BIKi\x00\x10",),
    "a WTV file": (b"\xb7\xd8\x00\x20\x37\x49\xda\x11\xa6\x4e\x00\x07\xe9\x5e\xad\x8d",),
    "a PNM picture": (
        b"P6\n64 48\n255\n\xff\x00",
        b"P5 64 48 255\n\xff\x00",
        b"P7\nWIDTH 64\n\xff",
        b"PF\n64 48\n\xff",
    ),
    "an AMR recording of several channels": (b"#!AMR_MC1.0\n\x00\x00\x00\x02",),
    "a segment of a stream": (b"\x00\x00\x00\x18stypmsdh\x00\x00\x00\x00msdhmsix\x00\x00\x00\x08moof",),
    "an unknown format": (b"\x93NUMPY\x01\x00v\x00", bytes(64)),
}
TEXT = {
    "an RTF document": (r"{\rtf1\adeflang1025\ansi", r"  {\rtf1"),
    "subtitles": (
        *("1\n00:00:01,000 --> 00:00:04,000\nHello", "1\r\n00:00:01.000-->00:00:04.000", "{1}{72}Hello", "{0}{}Hello"),
        *("WEBVTT\n\n00:01.000 --> 00:04.000", "[Script Info]\nTitle: x", "<SAMI><HEAD>", "# VobSub index file, v7"),
        '<?xml version="1.0"?><tt xmlns="http://www.w3.org/ns/ttml">',
    ),
    "a JSON text": ('{"url": "x"}', "{1}"),
    "a PostScript document": ("%!PS-Adobe-3.0 EPSF-3.0\n",),
    "a PDF document": ("%PDF-1.4\n1 0 obj << /Type /Catalog /Pages 2 0 R >> endobj 2 0 obj",),
    "a torrent": (
        *("d8:announce35:http://tracker.example.org:6969/announce", "d10:created by13:uTorrent/2210"),
        "d13:announce-listll35:http://tracker.example.org",
    ),
    "an archive": ("!<arch>\ndebian-binary   1342943816  0     0     100644  4         `\n2.0\n",),
    "a script": ("#!/bin/sh\n", "#!/usr/bin/env python3\n"),
    "an AMR recording": ("#!AMR\n", "#!AMR-WB\n"),
    "a shortcut": ("[InternetShortcut]\nURL=http://example.org/",),
    "uncompressed YUV4MPEG video": ("YUV4MPEG2 W64 H48 F25:1 Ip A1:1 C420jpeg XYSCSS=420JPEG XCOLORRANGE=FULL\n",),
    "a PNM picture": ("P3\n2 2\n255\n255 0 0  0 255 0\n", "P1 # a comment\n2 2\n"),
    "an SVG drawing": ('<?xml version="1.0"?>\n<!-- x -->\n<svg xmlns="http://www.w3.org/2000/svg">',),
    "a text": ("MZ is a prefix", "FWS report", "P1 is a letter", "12 angry men", "OTTO and wOFF", "Extended Module: x"),
}


def cases(table: dict[str, tuple[bytes, ...]] | dict[str, tuple[str, ...]]) -> list[tuple[bytes, str]]:
    return [
        (one.encode() if isinstance(one, str) else one, found) for found, contents in table.items() for one in contents
    ]


@pytest.mark.parametrize(("content", "found"), cases(BINARY) + cases(TEXT))
def test_a_refusal_names_what_it_found(content: bytes, found: str) -> None:
    with pytest.raises(Permanent) as refused:
        sniff(io.BytesIO(content))
    assert refused.value.code == "media_not_supported"
    assert str(refused.value.params["found"]).startswith(found)
    assert refused.value.message.endswith(f"{refused.value.params['found']}.")


@pytest.mark.parametrize(("offset", "magic", "name"), MAGICS)
def test_every_magic_has_a_case(offset: int, magic: bytes, name: str) -> None:
    tried = [content for content, found in cases(BINARY) if name.startswith(found)]
    assert [content for content in tried if content.startswith(magic, offset)]


@pytest.mark.parametrize(("start", "name"), TEXTS)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_a_text_is_named_in_every_encoding(start: str, name: str, encoding: str) -> None:
    for text in (start, start.upper(), f" \n{start}"):
        assert describe(text.encode(encoding)) == name
