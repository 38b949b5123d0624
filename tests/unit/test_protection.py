"""Encrypted tracks, and sound of codecs without a decoder, found in hand-made files."""

from __future__ import annotations

from pathlib import Path

import pytest

from sentinel_worker.domain.errors import Permanent
from sentinel_worker.media.containers.ebml import is_encrypted
from sentinel_worker.media.containers.protection import check_protection, undecodable_sounds


def box(kind: bytes, *parts: bytes) -> bytes:
    body = b"".join(parts)
    return (8 + len(body)).to_bytes(4, "big") + kind + body


def words(*numbers: int) -> bytes:
    return b"".join(number.to_bytes(4, "big") for number in numbers)


def track(number: int, *entries: bytes, version: int = 0, used: tuple[int, ...] = ()) -> bytes:
    """A track of MP4 with these sample entries, which as many chunks of samples use as `used` has numbers."""
    header = bytes([version, 0, 0, 0]) + bytes(16 if version else 8) + words(number) + bytes(40)
    described = box(b"stsd", words(0, len(entries)), *(box(entry, bytes(70)) for entry in entries))
    chunks = box(b"stsc", words(0, len(used)), *(words(at + 1, 1, entry) for at, entry in enumerate(used)))
    return box(
        b"trak", box(b"tkhd", header), box(b"mdia", box(b"minf", box(b"stbl", described, chunks if used else b"")))
    )


def mp4(*tracks: bytes, after: bytes = b"") -> bytes:
    return box(b"ftyp", b"isom" + bytes(4)) + box(b"moov", *tracks) + after


def film(*tracks: tuple[int, bytes, int]) -> bytes:
    """An MP4 file with tracks of a number, a sample entry and a version of the track's header."""
    return mp4(*(track(number, entry, version=version) for number, entry, version in tracks))


def fragment(number: int, entry: int | None = None, *, has_offset: bool = False) -> bytes:
    """A fragment of a track, whose samples use this entry or the default."""
    flags = 2 * (entry is not None) + has_offset
    header = words(flags, number, *((0, 999) if has_offset else ()), *(() if entry is None else (entry,)))
    return box(b"moof", box(b"traf", box(b"tfhd", header)))


def default(number: int, entry: int) -> bytes:
    return box(b"mvex", box(b"trex", words(0, number, entry, 0, 0, 0)))


def element(kind: str, *parts: bytes) -> bytes:
    body = b"".join(parts)
    return bytes.fromhex(kind) + (1 << 56 | len(body)).to_bytes(8, "big") + body


def matroska(*encoding: bytes, unknown: bool = False) -> bytes:
    """A Matroska file with clusters before its tracks, the second of which has this content encoding."""
    encodings = element("6d80", element("6240", *encoding)) if encoding else b""
    tracks = element(
        "1654ae6b", element("ae", element("d7", b"\x01")), element("ae", element("d7", b"\x02"), encodings)
    )
    inside = element("1f43b675", bytes(500)) + tracks
    segment = bytes.fromhex("1853806701ffffffffffffff") + inside if unknown else element("18538067", inside)
    return element("1a45dfa3", element("4282", b"webm")) + segment


def asf(*objects: str) -> bytes:
    header = bytes.fromhex("3026b2758e66cf11a6d900aa0062ce6c") + bytes(14)
    return header + b"".join(bytes.fromhex(guid) + (40).to_bytes(8, "little") + bytes(16) for guid in objects)


def packet(pid: int, payload: bytes, *, start: bool = False, scrambled: bool = False) -> bytes:
    """A packet of a transport stream, filled up by its adaptation field."""
    head = bytes([0x47, 0x40 * start | pid >> 8, pid & 0xFF])
    filled = 183 - len(payload)
    field = bytes([filled]) + (b"\x00" + b"\xff" * (filled - 1) if filled else b"")
    return head + bytes([0x30 | 0x80 * scrambled]) + field + payload


def section(table: int, body: bytes) -> bytes:
    length = len(body) + 9
    return b"\x00" + bytes([table, 0xB0 | length >> 8, length & 0xFF]) + b"\x00\x01\xc1\x00\x00" + body + bytes(4)


def stream(pid: int, kind: int, descriptors: bytes = b"") -> bytes:
    return bytes([kind, 0xE0 | pid >> 8, pid & 0xFF, 0xF0, len(descriptors)]) + descriptors


def transport(*streams: bytes, scrambled: int = 0, before: bytes = b"", stride: int = 188) -> bytes:
    """A transport stream with a network table, a program of these streams, and ten packets of video."""
    programs = section(0, b"\x00\x00\xe0\x10" + b"\x00\x01\xe1\x00")
    program = section(2, b"\xe1\x01\xf0\x05" + b"\x05\x03abc" + b"".join(streams))
    packets = [packet(0, programs, start=True), packet(0x100, program, start=True)]
    packets += [packet(0x101, bytes(100), scrambled=number < scrambled) for number in range(10)]
    packets += [packet(0x1FFF, bytes(100)) for _ in range(50)]
    return before + b"".join(bytes(stride - 188) + one for one in packets)


VIDEO = stream(0x101, 0x1B)
PROTECTED = [
    *(("mp4", film((1, b"mp4a", 0), (2, entry, 0))) for entry in (b"encv", b"enca", b"drms", b"drmi", b"aavd")),
    ("mp4", mp4(track(1, b"avc1", b"encv", used=(1, 1, 2)))),  # only the end
    ("mp4", mp4(track(1, b"encv", b"avc1"), default(1, 1), after=fragment(1, 2) + fragment(1))),
    ("mp4", mp4(track(1, b"avc1", b"encv"), default(1, 1), after=fragment(1) + fragment(1, 2, has_offset=True))),
    ("mp4", mp4(track(1, b"avc1", b"encv"), default(1, 2), after=fragment(1))),
    ("webm", matroska(element("5033", b"\x01"), element("5035", element("47e1", b"\x05")))),
    ("matroska", matroska(element("5035"), unknown=True)),
    ("asf", asf("a1dcab8c47a9cf118ee400c00c205365", "fbb3112223bdd211b4b700a0c955fc6e")),
    ("asf", asf("14e68a292226174cb935dae07ee9289c")),
    ("mpeg-ts", transport(VIDEO, scrambled=9)),
    ("mpeg-ts", transport(VIDEO, scrambled=9, before=b"\x01" * 50, stride=192)),
    ("mpeg-ts", transport(stream(0x101, 0xDB))),
]
FREE = [
    ("mp4", film((1, b"avc1", 0), (2, b"mp4a", 1)) + box(b"pssh", bytes(20))),
    ("mp4", film()),
    ("mp4", mp4(track(1, b"avc1", b"encv", used=(1, 1)), track(2, b"enca", b"mp4a", used=(2,)))),
    ("mp4", mp4(track(1, b"avc1", b"encv"), track(2, b"mp4a"), default(1, 1), after=fragment(1) + fragment(2, 2))),
    ("webm", matroska()),
    ("matroska", matroska(element("5034", element("4254", b"\x03")))),  # compressed
    ("asf", asf("a1dcab8c47a9cf118ee400c00c205365")),
    ("mpeg-ts", transport(VIDEO)),
    ("mpeg-ts", transport(VIDEO, scrambled=3)),
    ("mpeg-ts", bytes(1000)),
    ("ogg", b"OggS" + bytes(100)),
]


def written(tmp_path: Path, content: bytes) -> Path:
    path = tmp_path / "media"
    path.write_bytes(content)
    return path


@pytest.mark.parametrize(("container", "content"), PROTECTED)
def test_protected_media_is_refused_as_what_it_is(tmp_path: Path, container: str, content: bytes) -> None:
    with pytest.raises(Permanent, match="protected by DRM") as refused:
        check_protection(written(tmp_path, content), container)
    assert refused.value.code == "media_not_supported"


@pytest.mark.parametrize(("container", "content"), FREE)
def test_other_media_passes(tmp_path: Path, container: str, content: bytes) -> None:
    check_protection(written(tmp_path, content), container)


@pytest.mark.parametrize(("container", "content"), PROTECTED)
def test_a_cut_file_is_judged_by_what_is_there(tmp_path: Path, container: str, content: bytes) -> None:
    for length in range(0, len(content), max(1, len(content) // 40)):
        path = written(tmp_path, content[:length])
        assert undecodable_sounds(path, container) == {}
        try:
            check_protection(path, container)
        except Permanent as refused:
            assert "DRM" in refused.message  # noqa: PT017 both outcomes are right


@pytest.mark.parametrize(
    ("container", "content", "found"),
    [
        ("mp4", film((1, b"avc1", 0), (2, b"mhm1", 0), (3, b"mp4a", 0), (9, b"mha1", 1)), {2: "MPEG-H", 9: "MPEG-H"}),
        ("mp4", film((4, b"ac-4", 0), (5, b"dtsx", 0)), {4: "AC-4", 5: "DTS:X"}),
        ("mp4", film((1, b"avc1", 0), (2, b"mp4a", 0)), {}),
        ("mp4", mp4(track(1, b"mp4a", b"ac-4", used=(1,)), track(2, b"ac-4", b"mp4a")), {2: "AC-4"}),
        ("mpeg-ts", transport(VIDEO, stream(0x102, 0x2D), stream(0x103, 0x0F)), {0x102: "MPEG-H"}),
        ("mpeg-ts", transport(stream(0x20, 0x2E, b"\x0a\x04eng\x00")), {0x20: "MPEG-H"}),
        ("mpeg-ts", transport(VIDEO, stream(0x102, 0x06, b"\x0a\x04eng\x00\x7f\x02\x15\x00")), {0x102: "AC-4"}),
        ("mpeg-ts", transport(VIDEO, stream(0x102, 0x06, b"\x7f\x02\x0e\x00")), {}),
        ("mpeg-ts", transport(VIDEO, stream(0x102, 0x0F, b"\x7f\x02\x15\x00")), {}),  # AAC
        ("webm", matroska(), {}),
    ],
)
def test_sound_without_a_decoder_is_named(
    tmp_path: Path, container: str, content: bytes, found: dict[int, str]
) -> None:
    assert undecodable_sounds(written(tmp_path, content), container) == found


def test_nested_elements_without_end_are_not_followed_forever(tmp_path: Path) -> None:
    nested = bytes.fromhex("1853806701ffffffffffffff") * 20_000
    with written(tmp_path, bytes.fromhex("1a45dfa380") + nested).open("rb") as file:
        assert not is_encrypted(file)
