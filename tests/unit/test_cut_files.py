"""Files whose structure promises more than is there, made byte by byte."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from sentinel_worker.media.containers.cut_files import ends_early
from sentinel_worker.media.containers.samples import missing_shares

SAMPLES = bytes(4000)
UNKNOWN = 0xFFFFFFFF


def little(number: int, width: int = 4) -> bytes:
    return number.to_bytes(width, "little")


def big(number: int, width: int = 4) -> bytes:
    return number.to_bytes(width, "big")


def wav(data: int = 4000, whole: int = 4036, form: bytes = b"RIFF", between: bytes = b"") -> bytes:
    fmt = b"fmt " + little(16) + bytes(16)
    return form + little(whole) + b"WAVE" + fmt + between + b"data" + little(data) + SAMPLES


def rf64(data: int, form: bytes = b"RF64") -> bytes:
    sizes = b"ds64" + little(28) + little(data + 72, 8) + little(data, 8) + little(0, 8) + little(0)
    return wav(UNKNOWN, UNKNOWN, form, sizes)


def w64(data: int) -> bytes:
    def guid(name: bytes, rest: str = "f3acd3118cd100c04f8edb8a") -> bytes:
        return name + bytes.fromhex(rest)

    fmt = guid(b"fmt ") + little(24 + 18, 8) + bytes(18) + bytes(6)
    start = guid(b"riff", "2e91cf11a5d628db04c10000") + little(data + 144, 8) + guid(b"wave")
    return start + fmt + guid(b"data") + little(24 + data, 8) + SAMPLES


def aiff(data: int) -> bytes:
    return (
        b"FORM"
        + big(data + 50)
        + b"AIFF"
        + b"COMM"
        + big(17)
        + bytes(18)
        + b"SSND"
        + big(data + 8)
        + bytes(8)
        + SAMPLES
    )


def caf(data: int) -> bytes:
    return b"caff\x00\x01\x00\x00desc" + big(32, 8) + bytes(32) + b"data" + big(data + 4, 8) + bytes(4) + SAMPLES


def au(data: int) -> bytes:
    return b".snd" + big(28) + big(data) + bytes(16) + SAMPLES


MAKERS: Mapping[str, Callable[[int], bytes]] = {
    "wav": wav,
    "rf64": rf64,
    "bw64": lambda data: rf64(data, b"BW64"),
    "w64": w64,
    "aiff": aiff,
    "caf": caf,
    "au": au,
}


def early(tmp_path: Path, content: bytes, begin: int = 0) -> bool:
    path = tmp_path / "media"
    path.write_bytes(content)
    return ends_early(path, begin)


@pytest.mark.parametrize("form", MAKERS)
def test_the_sound_s_chunk_decides(tmp_path: Path, form: str) -> None:
    make = MAKERS[form]
    assert not early(tmp_path, make(4000))
    assert not early(tmp_path, make(4044))  # the header was counted too
    assert not early(tmp_path, make(1000) + bytes(100))
    assert early(tmp_path, make(5000))
    assert early(tmp_path, make(4000)[:-1000])


@pytest.mark.parametrize("form", MAKERS)
def test_a_sound_behind_a_tag_is_measured_from_its_own_start(tmp_path: Path, form: str) -> None:
    assert not early(tmp_path, bytes(500) + MAKERS[form](4000), 500)
    assert early(tmp_path, bytes(500) + MAKERS[form](4000)[:-300], 500)


def test_the_whole_s_length_may_be_too_long(tmp_path: Path) -> None:
    assert not early(tmp_path, wav(4000, 4036 + 148))
    assert not early(tmp_path, wav(4000, 4036 + 148) + b"LIST" + little(500) + bytes(100))


@pytest.mark.parametrize(
    "content",
    [
        wav(0),
        wav(UNKNOWN, UNKNOWN),
        rf64(0),
        caf(2**64 - 5),
        au(UNKNOWN),
        b"RIFF" + little(UNKNOWN) + b"WEBP" + bytes(10),
    ],
)
def test_an_unknown_length_is_no_promise(tmp_path: Path, content: bytes) -> None:
    assert not early(tmp_path, content)


def test_a_file_cut_before_its_sound_ends_early(tmp_path: Path) -> None:
    assert early(tmp_path, wav(4000, between=b"LIST" + little(5000) + bytes(100))[:100])
    assert early(tmp_path, aiff(4000)[:30])


def test_another_riff_file_is_as_long_as_it_says(tmp_path: Path) -> None:
    picture = b"RIFF" + little(104) + b"WEBP" + bytes(100)
    assert not early(tmp_path, picture)
    assert early(tmp_path, picture[:-1])


def test_other_files_promise_nothing(tmp_path: Path) -> None:
    assert not early(tmp_path, b"fLaC" + bytes(100))
    assert not early(tmp_path, b"")


def box(kind: bytes, *parts: bytes) -> bytes:
    body = b"".join(parts)
    return big(8 + len(body)) + kind + body


def words(*numbers: int) -> bytes:
    return b"".join(big(number) for number in numbers)


def track(
    number: int, handler: bytes, sizes: bytes, runs: bytes, offsets: bytes, kind: bytes = b"stco", more: bytes = b""
) -> bytes:
    header = box(b"tkhd", words(0, 0, 0, number), bytes(68))
    handled = box(b"hdlr", words(0, 0), handler, bytes(13))
    table = box(
        b"stbl",
        *(box(b"stsd", words(0, 0)), box(b"stsc", words(0), runs)),
        *(box(b"stsz", words(0), sizes), box(kind, words(0), offsets), more),
    )
    return box(b"trak", header, box(b"mdia", handled, box(b"minf", table)))


def bytes_read() -> int:
    """Bytes that this process has read so far."""
    return int(Path("/proc/self/io").read_text().split()[1])


def shares(tmp_path: Path, *tracks: bytes, size: int) -> dict[int, float]:
    path = tmp_path / "media"
    content = box(b"ftyp", b"isom", words(0)) + box(b"moov", *tracks)
    assert len(content) < size
    path.write_bytes(content.ljust(size, b"\x00"))
    return missing_shares(path)


# Ten samples of 100 bytes, four in each of two chunks and two in the last.
SIZES = words(0, 10, *[100] * 10)
RUNS = words(2, 1, 4, 1, 3, 2, 1)
OFFSETS = words(3, 2000, 2600, 3000)


@pytest.mark.parametrize(
    ("size", "missing"), [(3200, 0.0), (3199, 0.1), (3050, 0.2), (3000, 0.2), (2999, 0.3), (2400, 0.6), (2000, 1.0)]
)
@pytest.mark.parametrize("sizes", [SIZES, words(100, 10)])
def test_samples_beyond_the_end_are_counted(tmp_path: Path, size: int, missing: float, sizes: bytes) -> None:
    found = shares(tmp_path, track(7, b"soun", sizes, RUNS, OFFSETS), size=size)
    assert found == {7: pytest.approx(missing)}


def test_each_track_is_counted_by_itself(tmp_path: Path) -> None:
    film = track(1, b"vide", SIZES, RUNS, OFFSETS)
    far = words(3) + b"".join(big(2**40 + at, 8) for at in (0, 400, 800))
    sound = track(2, b"soun", SIZES, RUNS, far, b"co64")
    words_only = track(3, b"text", SIZES, RUNS, OFFSETS)
    assert shares(tmp_path, film, sound, words_only, size=4000) == {1: 0.0, 2: 1.0}


@pytest.mark.parametrize(
    ("sizes", "runs", "offsets"),
    [
        (words(0, 0), words(0), words(0)),
        (words(0, 10), RUNS, OFFSETS),
        (words(0, 10, *[100] * 10), words(1, 5, 4, 1), words(2, 2000, 2400)),
        (words(0, 10, *[100] * 10), words(3, 2, UNKNOWN, 1, 1, UNKNOWN, 1, UNKNOWN, 0, 1), OFFSETS),
        (words(UNKNOWN, UNKNOWN), words(1, 1, UNKNOWN, 1), words(1, UNKNOWN)),
        (words(0, 10, *[UNKNOWN] * 10), RUNS, words(3, UNKNOWN, UNKNOWN, UNKNOWN)),
        pytest.param(words(0, 50_000, *[1] * 50_000), words(1, 1, 1, 1), words(50_000, *[256] * 50_000), id="long"),
    ],
)
@pytest.mark.parametrize("repeats", [0, 200])
def test_tables_that_make_no_sense_do_no_harm(
    tmp_path: Path, sizes: bytes, runs: bytes, offsets: bytes, repeats: int
) -> None:
    """Tables may also come again and again: a track's share is worked out once."""
    content = track(1, b"soun", sizes, runs, offsets, more=repeats * box(b"stsc", words(0), runs))
    size = 4000 + len(content)
    before = bytes_read()
    found = shares(tmp_path, content, size=size)
    assert all(0 <= share <= 1 for share in found.values())
    assert bytes_read() - before < 10 * size
