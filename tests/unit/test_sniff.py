"""Formats announced by a file's first bytes."""

import io
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sentinel_worker.domain.errors import Permanent
from sentinel_worker.media.containers.allowed import CONTAINERS, Sniffed
from sentinel_worker.media.containers.sniff import HEAD_BYTES, sniff, tag_length
from sentinel_worker.media.containers.sound_frames import SEARCH_BYTES

MP3_FRAME = bytes.fromhex("fffb9064") + bytes(400)
ADTS_FRAME = bytes.fromhex("fff15080") + bytes(60)


def named(content: bytes) -> str:
    return sniff(io.BytesIO(content)).container


def id3(length: int, footer: bool = False) -> bytes:
    size = bytes(length >> shift & 0x7F for shift in (21, 14, 7, 0))
    return b"ID3\x04\x00" + (b"\x10" if footer else b"\x00") + size


def box(kind: bytes, body: bytes = b"") -> bytes:
    return (8 + len(body)).to_bytes(4, "big") + kind + body


OS2_HEADER = (64).to_bytes(4, "little") + bytes(8) + b"\x01\x00\x08\x00" + bytes(40)
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
    "ac3": bytes.fromhex("0b77a1b214401443") + bytes(400),
    "eac3": bytes.fromhex("0b7703ff3486") + bytes(400),
    "amr": b"#!AMR\n\x3c" + bytes(31),
    "aiff": b"FORM\x00\x00\x10\x00AIFFCOMM",
    "caf": b"caff\x00\x01\x00\x00desc",
    "w64": bytes.fromhex("726966662e91cf11a5d628db04c10000"),
    "au": b".snd\x00\x00\x00\x20",
    "wavpack": b"wvpk\x00\x01\x00\x00",
    "ape": b"MAC \x96\x0f\x00\x00",
    "tta": b"TTA1\x01\x00\x02\x00",
    "mpc7": b"MP+\x07\x14\x00\x00\x00",
    "mpc8": b"MPCKSH\x0e\x72",
    "mpeg-video": b"\x00\x00\x01\xb3\x08\x00\x60",
    "jp2": b"\x00\x00\x00\x0cjP  \r\n\x87\n" + box(b"ftyp", b"jp2 \x00\x00\x00\x00"),
    "ico": b"\x00\x00\x01\x00\x01\x00\x10\x10\x00\x00\x01\x00\x20\x00\x68\x04\x00\x00\x16\x00\x00\x00",
}


def test_knows_each_container() -> None:
    assert set(ALLOWED) == set(CONTAINERS)


@pytest.mark.parametrize("name", ALLOWED)
def test_names_an_allowed_container(name: str) -> None:
    assert named(ALLOWED[name]) == name


def test_names_other_forms_of_the_same_containers() -> None:
    assert named(box(b"moov")) == "mov"
    assert named(b"".join(b"\x00\x00\x00\x00\x47" + bytes(187) for _ in range(5))) == "mpeg-ts"
    assert named(b"#!AMR-WB\n\x14" + bytes(32)) == "amr"
    assert named(b"FORM\x00\x00\x10\x00AIFCFVER") == "aiff"
    assert [named(kind + b"\xff\xff\xff\xffWAVEds64") for kind in (b"RF64", b"BW64")] == ["wav"] * 2
    assert named(b"MP+\x17\x14\x00\x00\x00") == "mpc7"
    assert named(b"\x00\x00\x01\xba\x21\x00\x01\x00\x01\x80\x00\x01") == "mpeg-ps"
    assert named(b"\xff\x4f\xff\x51\x00\x29") == "jp2"
    assert named(b"\x00\x00\x00\x0cjP  \r\n\x87\n" + box(b"ftyp", b"mjp2" + bytes(4)) + box(b"moov")) == "mov"
    assert named(b"BM\x46\x00\x00\x00\x05\x00\x07\x00\x36\x00\x00\x00" + OS2_HEADER) == "bmp"
    assert named(b"BM\x46\x00\x00\x00\x00\x00\x00\x00\x36\x00\x00\x00\x80\x00\x00\x00" + OS2_HEADER[4:]) == "bmp"


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
        named(head)
    assert refused.value.code == "media_not_supported"
    assert refused.value.params == {"found": found}


def test_refuses_an_empty_file() -> None:
    with pytest.raises(Permanent) as refused:
        named(b"")
    assert refused.value.code == "media_empty"


def test_looks_past_an_id3_tag() -> None:
    head = id3(300)
    assert tag_length(head) == 310
    assert tag_length(id3(300, footer=True)) == 320
    head += bytes(300)
    assert named(head + MP3_FRAME) == "mp3"
    assert named(head + ADTS_FRAME) == "aac"
    assert named(head + b"fLaC\x00\x00\x00\x22") == "flac"
    with pytest.raises(Permanent, match="an HLS playlist"):
        named(head + b"#EXTM3U\n")
    with pytest.raises(Permanent, match="unknown"):
        named(head)


def test_a_png_is_animated_if_the_control_chunk_precedes_the_pixels() -> None:
    def chunk(kind: bytes, length: int = 0) -> bytes:
        return length.to_bytes(4, "big") + kind + bytes(length + 4)

    start = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", 13)
    late = start + chunk(b"tEXt", 100_000) + chunk(b"acTL", 8) + chunk(b"IDAT", 9)
    assert named(late) == "apng"
    assert named(start + chunk(b"IDAT", 9) + chunk(b"acTL", 8)) == "png"
    assert named(start + b"\x00\x00\x00\x08tEXt" + b"acTLacTL" + bytes(4) + chunk(b"IDAT")) == "png"


MATROSKA = bytes.fromhex("1a45dfa3")


@pytest.mark.parametrize(
    ("header", "name"),
    [
        (bytes.fromhex("ec40c8") + bytes(200) + bytes.fromhex("428284") + b"webm", "webm"),
        (bytes.fromhex("ec40c8") + bytes(200) + bytes.fromhex("428288") + b"matroska", "matroska"),
        (bytes.fromhex("42868101"), "matroska"),
    ],
)
def test_reads_the_type_of_a_matroska_file_wherever_its_header_has_it(header: bytes, name: str) -> None:
    length = (1 << 56 | len(header)).to_bytes(8, "big")
    assert named(MATROSKA + length + header + bytes.fromhex("18538067ff")) == name


@pytest.mark.parametrize("first", [b"uuid", b"udta", b"meta", b"pict", b"junk", b"sidx", b"emsg", b"free"])
def test_a_quicktime_file_may_begin_with_other_boxes(first: bytes) -> None:
    assert named(box(first, bytes(100)) + box(b"moov", bytes(8))) == "mov"
    assert named(box(first, bytes(100)) + box(b"ftyp", b"M4A \x00\x00\x00\x00") + box(b"moov")) == "m4a"


def test_junk_is_no_quicktime_file_though_it_begins_like_a_box() -> None:
    with pytest.raises(Permanent, match="unknown"):
        named(box(b"uuid", bytes(100)) + bytes(100))


SOUNDS_BEHIND_TAGS = (
    *("wav", "w64", "flac", "mp3", "aac", "ac3", "eac3", "amr", "aiff", "caf", "au", "wavpack", "ape", "tta"),
    *("mpc7", "mpc8", "ogg"),
)
APE_TAG = b"APETAGEX" + (2000).to_bytes(4, "little") + (40).to_bytes(4, "little") + bytes(16) + bytes(40)


@pytest.mark.parametrize("name", SOUNDS_BEHIND_TAGS)
def test_a_sound_may_be_tagged_in_front(name: str) -> None:
    tags = id3(300) + bytes(300) + id3(5, footer=True) + bytes(15) + APE_TAG
    assert sniff(io.BytesIO(tags + ALLOWED[name])) == Sniffed(name, len(tags))


@pytest.mark.parametrize("name", sorted(set(CONTAINERS) - {*SOUNDS_BEHIND_TAGS, "avi", "webp"}))
def test_nothing_else_may(name: str) -> None:
    with pytest.raises(Permanent):
        named(id3(300) + bytes(300) + ALLOWED[name])


MP3_SOUND = (bytes.fromhex("fffb9064") + bytes(413)) * 4
ADTS_SOUND = (bytes.fromhex("fff150800600fc") + bytes(41)) * 4
TS_PACKETS = (b"\x47" + bytes(187)) * 5
PACKS = (bytes.fromhex("000001ba4400040004010000fff8") + bytes.fromhex("000001e00002") + bytes(2)) * 2
PACKS_1 = (bytes.fromhex("000001ba210001000180000f") + bytes.fromhex("000001e00002") + bytes(2)) * 2
JUNK = bytes(range(255, 0, -1)) * 20
STREAMS = [(MP3_SOUND, "mp3"), (ADTS_SOUND, "aac"), (TS_PACKETS, "mpeg-ts"), (PACKS, "mpeg-ps"), (PACKS_1, "mpeg-ps")]


@pytest.mark.parametrize(("stream", "name"), STREAMS)
@pytest.mark.parametrize("junk", [b"\x00", bytes(3000), JUNK, JUNK * 4])
def test_a_stream_may_begin_behind_junk(stream: bytes, name: str, junk: bytes) -> None:
    is_sound = CONTAINERS[name].kind == "sound"
    assert sniff(io.BytesIO(junk + stream)) == Sniffed(name, len(junk) if is_sound else 0)


@pytest.mark.parametrize(("stream", "name"), STREAMS)
def test_much_junk_may_only_precede_a_sound(stream: bytes, name: str) -> None:
    if CONTAINERS[name].kind == "sound":
        assert sniff(io.BytesIO(JUNK * 40 + stream)) == Sniffed(name, len(JUNK * 40))
    else:
        with pytest.raises(Permanent, match="unknown"):
            named(JUNK * 40 + stream)


@pytest.mark.parametrize("junk", [bytes(3000), JUNK, b"\xff" * 3000])
def test_a_sound_may_begin_behind_a_tag_and_junk(junk: bytes) -> None:
    tag = id3(300) + bytes(300)
    assert sniff(io.BytesIO(tag + junk + MP3_SOUND)) == Sniffed("mp3", 310 + len(junk))
    for film in (TS_PACKETS, PACKS):
        with pytest.raises(Permanent, match="unknown"):
            named(tag + junk + film)


@pytest.mark.parametrize(
    "content",
    [
        JUNK + MP3_FRAME,
        JUNK + MP3_SOUND[:417] + bytes(1000),
        JUNK + MP3_SOUND[:417] + ADTS_SOUND[:48] + bytes(100),
        JUNK + MP3_SOUND[: 2 * 417] + bytes(100),
        JUNK + TS_PACKETS[:-188],
        JUNK + PACKS[:14] + bytes(100),
        bytes(SEARCH_BYTES) + MP3_SOUND,
    ],
)
def test_one_header_behind_junk_is_an_accident(content: bytes) -> None:
    with pytest.raises(Permanent, match="unknown"):
        named(content)


MP3_IN_AN_ARCHIVE = b"PK\x03\x04\x14\x00" + bytes(24) + MP3_SOUND
HIDDEN = [
    (MP3_IN_AN_ARCHIVE, "an archive"),
    (id3(30) + bytes(30) + MP3_IN_AN_ARCHIVE, "an archive"),
    (b"#EXTM3U\n" * 20 + MP3_SOUND, "an HLS playlist"),
    (b"#EXTM3U\n" * 20 + TS_PACKETS, "an HLS playlist"),
    (id3(30) + bytes(30) + b"#EXTM3U\n" * 20 + MP3_SOUND, "an HLS playlist"),
    (id3(30) + bytes(30) + APE_TAG + b"ffconcat version 1.0\n" + b"file x.mp4\n" * 9, "a concat script"),
    (APE_TAG + b"<MPD>" + b" " * 99, "a DASH manifest"),
    (id3(30) + bytes(30) + bytes(3000) + b"#EXTM3U\n" * 20, "an unknown format"),
    (JUNK + b"#EXTM3U\n" * 20, "an unknown format"),
    (b"#!AMR\n#EXTM3U\nhttp://127.0.0.1/" + b"a" * 60, "an AMR recording"),
    (b"FORM1234AIFF" + b"<MPD>" * 20, "a text"),
    (b"caff" + b"#EXTM3U\n" * 20, "a text"),
    (b".snd" + b"#EXTM3U\n" * 20, "a text"),
    (b"MAC " + b"#EXTM3U\n" * 20, "a text"),
    (b"MPCK" + b"#EXTM3U\n" * 20, "a text"),
    (b"TTA1" + b"#EXTM3U\n" * 20, "a text"),
    (b"wvpk" + b"#EXTM3U\n" * 20, "a text"),
    (b"0000uuid<MPD>" + b" " * 99, "a text"),
]


@pytest.mark.parametrize(("content", "found"), HIDDEN)
def test_what_is_no_media_stays_so_behind_tags_and_junk_and_magic_bytes(content: bytes, found: str) -> None:
    with pytest.raises(Permanent, match=found):
        named(content)


def items(*types: bytes) -> bytes:
    """A `meta` box with items of these types."""
    entries = [
        box(b"infe", b"\x02\x00\x00\x00" + number.to_bytes(2, "big") + bytes(2) + kind + b"\x00")
        for number, kind in enumerate(types, 1)
    ]
    listed = box(b"iinf", bytes(4) + len(entries).to_bytes(2, "big") + b"".join(entries))
    return box(b"meta", bytes(4) + box(b"hdlr", bytes(8) + b"pict" + bytes(13)) + listed)


def heif(brand: bytes, *types: bytes) -> bytes:
    return box(b"ftyp", brand + bytes(4) + b"mif1") + items(*types)


@pytest.mark.parametrize(
    ("content", "name"),
    [
        *((heif(brand, b"hvc1", b"Exif"), "heic") for brand in (b"heic", b"heix", b"mif1", b"msf1", b"heis", b"hevs")),
        *((heif(brand, b"hvc1", b"hvc1", b"grid"), "heic") for brand in (b"heim", b"hevm", b"hevx", b"MiHB")),
        *((heif(brand, b"av01"), "avif") for brand in (b"avif", b"avis", b"mif1", b"miaf")),
        (box(b"ftyp", b"heic" + bytes(4)), "heic"),
        (box(b"ftyp", b"hevc" + bytes(4)) + box(b"moov"), "mp4"),
        (box(b"ftyp", b"msf1" + bytes(4)) + items(b"hvc1") + box(b"moov"), "heic"),
        (box(b"ftyp", b"isom" + bytes(4)) + box(b"meta") + box(b"moov"), "mp4"),
    ],
)
def test_a_heif_file_is_named_by_the_coding_of_its_pictures(content: bytes, name: str) -> None:
    assert named(content) == name


@pytest.mark.parametrize(
    ("content", "coding"),
    [
        (heif(b"jpeg", b"jpeg"), "a HEIF picture coded with JPEG"),
        (heif(b"mif1", b"jpeg"), "a HEIF picture coded with JPEG"),
        (heif(b"vvic", b"vvc1"), "a HEIF picture coded with VVC"),
        (heif(b"j2ki", b"j2k1"), "a HEIF picture coded with JPEG 2000"),
        (heif(b"avci", b"avc1"), "a HEIF picture coded with H.264"),
        (heif(b"evbi", b"evc1"), "a HEIF picture coded with EVC"),
        (heif(b"mif1", b"unci"), "a HEIF picture without compression"),
        (box(b"ftyp", b"mif3avif") + box(b"mini", bytes(40)), "a HEIF picture with a compact header"),
        (box(b"ftyp", b"crx \x00\x00\x00\x01crx isom"), "a camera's raw picture"),
    ],
)
def test_a_heif_file_of_another_coding_is_refused_by_its_name(content: bytes, coding: str) -> None:
    with pytest.raises(Permanent, match=coding) as refused:
        named(content)
    assert refused.value.code == "media_not_supported"


def tiff(entries: dict[int, int], order: Literal["little", "big"] = "little", *, short: bool = True) -> bytes:
    """A TIFF file whose only directory has these numbers, far from its start."""
    listed = b"".join(
        tag.to_bytes(2, order)
        + (3 if short else 4).to_bytes(2, order)
        + (1).to_bytes(4, order)
        + (value.to_bytes(2, order) + bytes(2) if short else value.to_bytes(4, order))
        for tag, value in entries.items()
    )
    start = (b"II*\x00" if order == "little" else b"MM\x00*") + (10_000).to_bytes(4, order)
    return start.ljust(10_000, b"\x00") + len(entries).to_bytes(2, order) + listed + bytes(4)


@pytest.mark.parametrize(
    "entries",
    [
        {254: 1, 256: 160, 259: 1, 330: 400},
        {256: 4000, 259: 34713},
        {256: 4000, 259: 65535},
        {256: 256, 50706: 1},
        {254: 0, 262: 32803},
    ],
)
@pytest.mark.parametrize("order", ["little", "big"])
@pytest.mark.parametrize("short", [True, False])
def test_a_camera_s_raw_picture_is_no_tiff(
    entries: dict[int, int], order: Literal["little", "big"], short: bool
) -> None:
    with pytest.raises(Permanent, match="a camera's raw picture"):
        named(tiff(entries, order, short=short))


def test_a_tiff_with_a_small_copy_or_none_is_a_picture() -> None:
    assert named(tiff({254: 0, 256: 640, 259: 5, 330: 400})) == "tiff"
    assert named(tiff({254: 1, 256: 640, 259: 5})) == "tiff"
    assert named(b"II*\x00\xff\xff\xff\xff") == "tiff"
    with pytest.raises(Permanent, match="a camera's raw picture"):
        named(b"II*\x00\x10\x00\x00\x00CR\x02\x00")


SLOW = {
    "false frames": b"\x80" + b"\xff\xfb\x90\x64" * 100_000,
    "false frames of two kinds": b"\x80" + bytes.fromhex("fffb9064fff15080011ffc") * 40_000,
    "false packs": b"\x80" + b"\x00\x00\x01\xba" * 100_000,
    "all ones": b"\xff" * 400_000,
    "tags": id3(0) * 100_000,
    "boxes": box(b"uuid") * 200_000,
    "chunks": b"\x89PNG\r\n\x1a\n" + b"\x00\x00\x00\x00tEXt\x00\x00\x00\x00" * 200_000,
    "elements": MATROSKA + b"\x01\x00\x00\x00\x00\x20\x00\x00" + b"\xec\x80" * 1_000_000,
    "items": box(b"ftyp", b"mif1" + bytes(4)) + items(*[b"Exif"] * 60_000),
}


class Counted(io.BytesIO):
    """A file that counts how often it is read and how much."""

    reads = length = 0

    def read(self, size: int | None = -1, /) -> bytes:
        content = super().read(size)
        self.reads += 1
        self.length += len(content)
        return content


@pytest.mark.parametrize("name", SLOW)
def test_no_file_takes_long_to_recognize(name: str) -> None:
    file = Counted(SLOW[name])
    try:
        assert sniff(file).container in CONTAINERS
    except Permanent as refused:
        assert refused.params["found"] == "an unknown format"  # noqa: PT017 both outcomes are right
    assert file.reads <= 110_000
    assert file.length <= 2 * 1024**2


TEXTS = ["#EXTM3U", "ffconcat version 1.0", "<MPD>", "<svg>", "<?xml version='1.0'?>", "v=0", "[playlist]", "{}"]
BEFORE = st.text(" \t\r\n", max_size=8)
SPEAKING = st.characters(exclude_categories=["Cc", "Cs"])


@given(st.sampled_from(TEXTS), BEFORE, st.text(SPEAKING), st.sampled_from(["utf-8", "utf-8-sig", "utf-16"]))
def test_a_text_is_not_media_whatever_surrounds_it(text: str, before: str, after: str, encoding: str) -> None:
    with pytest.raises(Permanent) as refused:
        named((before + text + after).encode(encoding)[:HEAD_BYTES])
    assert refused.value.params["found"] != "an unknown format"


@given(st.text(SPEAKING, min_size=1, max_size=200))
def test_no_text_is_media(text: str) -> None:
    """Not even with the name of a QuickTime box in the right place, or the sync bytes of a transport stream."""
    for written in (text, f"<!--free{text}", "G" * 1000 + text, f"BM{text}", f"OggS{text}", f"GIF89a{text}"):
        with pytest.raises(Permanent):
            named(written.encode()[:HEAD_BYTES])


@given(st.binary(min_size=1, max_size=HEAD_BYTES), st.binary(max_size=64))
def test_answers_or_refuses_whatever_comes(head: bytes, after_tag: bytes) -> None:
    try:
        assert named(head + after_tag) in CONTAINERS
    except Permanent as refused:
        assert refused.params["found"]  # noqa: PT017 both outcomes are right
