"""Both readers of frames show the same film, and the one that steps shows films in which nobody can seek."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import pytest

from sentinel_worker.domain.media_facts import MediaLimits
from sentinel_worker.media.films.film import Film, OpenedVideo
from sentinel_worker.media.films.indexed_frames import IndexedFrames
from sentinel_worker.media.films.stepped_frames import SteppedFrames
from sentinel_worker.media.films.tried_keys import TriedKeys
from sentinel_worker.media.opened_media import FrameReader, OpenedMedia
from sentinel_worker.media.probe import open_media
from tests.integration.media.films import Make, ffmpeg

LIMITS = MediaLimits()
H264 = ("-c:v", "libx264", "-pix_fmt", "yuv420p", "-crf", "4", "-g", "12", "-bf", "3")
DARK, BRIGHT = 40, 200
# Forward, back, the same frame twice, and outside.
MOMENTS = (0.0, 0.02, 0.5, 0.51, 1.2, 0.3, 1.9, 1.9, 0.0, 5.0)


def film_of(path: Path) -> Film:
    media = open_media(path, LIMITS)
    assert isinstance(media, OpenedVideo)
    return media.film


def stepped(film: Film) -> SteppedFrames:
    keys = TriedKeys(film.numbered_packets, film.times, intra_only=False)
    return SteppedFrames(film.numbered_packets(), film.times, keys, film.orientation, LIMITS, in_order=film.in_order)


def numbers(reader: FrameReader, moments: list[float]) -> list[int | None]:
    """Number in the ramp of the frame on screen at each moment."""
    shown = [reader.at(moment) for moment in moments]
    return [None if one is None else round(float(one.pixels.float().mean()) * 219 / 255 / 4) for one in shown]


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("stride.mp4", H264),
        ("stride.mkv", H264),
        ("readers.webm", ("-c:v", "libvpx-vp9", "-b:v", "2M", "-g", "12")),
        ("readers.mov", ("-c:v", "prores_ks")),
    ],
)
def test_both_readers_show_the_same_frames(ramp: Make, name: str, options: tuple[str, ...]) -> None:
    film = film_of(ramp(name, *options))
    indexed, other = film.frames(), stepped(film)
    assert isinstance(indexed, IndexedFrames)
    for moment in MOMENTS:
        one, two = indexed.at(moment), other.at(moment)
        assert one is not None
        assert two is not None
        assert (one.start_seconds, one.end_seconds) == pytest.approx((two.start_seconds, two.end_seconds), abs=1e-4)
        assert np.abs(one.pixels.numpy().astype(int) - two.pixels.numpy().astype(int)).max() <= 2
    assert indexed.is_in_use


def test_an_ordinary_film_that_torchcodec_reads_otherwise_is_stepped_through(ramp: Make, tmp_path: Path) -> None:
    """The file is exchanged after the scan, so torchcodec cannot find what the table says."""
    path = tmp_path / "film.mp4"
    path.write_bytes(ramp("stride.mp4", *H264).read_bytes())
    film = film_of(path)
    slower = ramp("slower.mp4", *H264, rate="10")
    path.write_bytes(slower.read_bytes())
    reader = film.frames()
    assert isinstance(reader, IndexedFrames)
    reader.at(1.0)
    assert not reader.is_in_use


@pytest.mark.parametrize("container", ["ts", "webm"])
def test_every_second_of_a_joined_recording_is_there(ramp: Make, tmp_path: Path, container: str) -> None:
    options = H264 if container == "ts" else ("-c:v", "libvpx", "-b:v", "2M", "-auto-alt-ref", "0", "-g", "12")
    first, second = ramp(f"join.{container}", *options), ramp(f"short.{container}", *options, frames=30)
    joined = tmp_path / f"joined.{container}"
    joined.write_bytes(first.read_bytes() + second.read_bytes())
    film = film_of(joined)
    assert len(film.times.starts) == 80
    assert film.times.duration_seconds == pytest.approx(3.2, abs=0.05)
    moments = [(n + 0.5) / 25 for n in (0, 49, 50, 79, 10, 60)]
    assert numbers(film.frames(), moments) == [0, 49, 0, 29, 10, 10]


def test_a_stream_that_begins_in_the_middle_of_a_broadcast_counts_as_unread(ramp: Make, tmp_path: Path) -> None:
    """The second recording has other stream numbers; its pictures cannot be reached, and the facts say so."""
    first = ramp("join.ts", *H264)
    second = ramp("other.ts", *H264, "-mpegts_start_pid", "0x400", "-mpegts_pmt_start_pid", "0x1100")
    joined = tmp_path / "joined.ts"
    joined.write_bytes(first.read_bytes() * 30 + second.read_bytes() * 30)
    facts = open_media(joined, LIMITS).facts
    assert facts.frame_count == 1500
    assert facts.duration_seconds / 2 < facts.unread_seconds < facts.duration_seconds
    assert open_media(first, LIMITS).facts.unread_seconds == 0


def test_a_broadcast_that_begins_inside_a_group_of_pictures(ramp: Make, tmp_path: Path) -> None:
    whole = ramp("stride.ts", *H264, rate="30").read_bytes()
    second_key = [place for place in range(0, len(whole), 188) if is_key(whole[place : place + 188])][1]
    cut = tmp_path / "cut.ts"
    tables = whole[: 3 * 188]
    cut.write_bytes(tables + whole[second_key - 20 * 188 :])
    film = film_of(cut)
    assert numbers(film.frames(), [0.001, 0.5 / 30 + 0.2]) == [12, 18]


def is_key(packet: bytes) -> bool:
    """True for a transport packet of the film whose adaptation field says that decoding can begin."""
    has_field = packet[3] & 0x20 and packet[4] > 0
    return bool(has_field and packet[5] & 0x40)


def test_stamps_in_decoding_order_are_put_in_order(ramp: Make) -> None:
    """AVI has no presentation stamps, and B-frames are decoded before they are shown."""
    film = film_of(ramp("bframes.avi", *H264))
    assert not film.in_order
    reader = film.frames()
    found = numbers(reader, [(n + 0.5) / 25 for n in range(50)])
    assert found == sorted(number for number in found if number is not None)
    assert len(set(found)) >= 49


@pytest.mark.parametrize(
    ("name", "codec"),
    [
        ("h263.mkv", "h263"),  # FFmpeg marks every packet of H.263 as a key
        ("mpeg4.mp4", "mpeg4"),
    ],
)
def test_packets_that_are_falsely_marked_as_keys(tmp_path: Path, name: str, codec: str) -> None:
    """Decoding that began there would give grey pictures that nobody sees who plays the film."""
    path = tmp_path / name
    source = "testsrc2=s=176x144:r=25:d=2"
    ffmpeg("-f", "lavfi", "-i", source, "-c:v", codec, "-q:v", "2", "-g", "12", path)
    if path.suffix == ".mp4":
        content = path.read_bytes()
        path.write_bytes(content.replace(b"stss", b"free"))  # without this table, every frame is a key
    with av.open(path) as played:
        frames = [frame.to_ndarray(format="rgb24").astype(int) for frame in played.decode(video=0)]
    film = film_of(path)
    assert len(film.times.keys) == 50
    reader = film.frames()
    for number in (30, 31, 40, 5, 49):
        shown = reader.at((number + 0.5) / 25)
        assert shown is not None
        assert np.abs(shown.pixels.permute(1, 2, 0).numpy() - frames[number]).mean() < 2


@pytest.mark.parametrize(("codec", "suffix"), [("mpeg4", "mp4"), ("mpeg4", "mov"), ("libx265", "mp4"), ("h263", "3gp")])
def test_pictures_before_the_first_key_that_a_container_names_are_seen(tmp_path: Path, codec: str, suffix: str) -> None:
    """Players begin at the first picture, so a table of keys that names only the last one hides nothing."""
    path = tmp_path / f"late.{suffix}"
    quiet = ("-x265-params", "log-level=none:keyint=10:bframes=0", "-tag:v", "hvc1") if codec == "libx265" else ()
    ffmpeg("-f", "lavfi", "-i", "testsrc2=s=176x144:r=25:d=2", "-c:v", codec, "-q:v", "2", "-g", "10", *quiet, path)
    content = path.read_bytes()
    at = content.index(b"stss") + 8
    count = int.from_bytes(content[at : at + 4], "big")
    last = content[at + 4 * count : at + 4 * count + 4]
    path.write_bytes(content[:at] + (1).to_bytes(4, "big") + last + content[at + 8 :])
    with av.open(path) as played:
        frames = [frame.to_ndarray(format="rgb24").astype(int) for frame in played.decode(video=0)]
    film = film_of(path)
    assert len(film.times.starts) == len(frames) == 50
    reader = film.frames()
    for number in (0, 12, 33, 49):
        shown = reader.at((number + 0.5) / 25)
        assert shown is not None
        assert np.abs(shown.pixels.permute(1, 2, 0).numpy() - frames[number]).mean() < 2


@pytest.mark.parametrize("filters", ["hflip", "vflip", "transpose=0"])
def test_a_mirrored_display_matrix_is_followed(tmp_path: Path, filters: str) -> None:
    """A corner that is white, the rest black: where the matrix puts it, it is seen."""
    flat, mirrored = tmp_path / "flat.mp4", tmp_path / "mirrored.mp4"
    chain = "color=black:s=64x32:r=25,drawbox=x=0:y=0:w=16:h=8:color=white:t=fill"
    ffmpeg("-f", "lavfi", "-i", chain, "-frames:v", "5", *H264, flat)
    content = bytearray(flat.read_bytes())
    matrix = {"hflip": (-1, 0, 0, 1), "vflip": (1, 0, 0, -1), "transpose=0": (0, 1, 1, 0)}[filters]
    place = content.index(b"tkhd") + 4 + 40
    for index, number in zip((0, 1, 3, 4), matrix, strict=True):
        content[place + 4 * index : place + 4 * index + 4] = (number * 65536).to_bytes(4, "big", signed=True)
    mirrored.write_bytes(content)
    media = open_media(mirrored, LIMITS)
    shown = media.frames().at(0.1)
    assert shown is not None
    white = np.argwhere(shown.pixels[0].numpy() > 128).mean(axis=0).round().astype(int).tolist()
    size = (media.facts.height, media.facts.width)
    expected = {"hflip": ([4, 56], (32, 64)), "vflip": ([28, 8], (32, 64)), "transpose=0": ([8, 4], (64, 32))}
    assert (white, size) == expected[filters]


def test_pixels_that_are_not_square_are_shown_at_their_shape(tmp_path: Path) -> None:
    path = tmp_path / "pal.mp4"
    ffmpeg("-f", "lavfi", "-i", "testsrc=s=720x576:r=25,setsar=64/45", "-frames:v", "5", *H264, path)
    media = open_media(path, LIMITS)
    assert (media.facts.width, media.facts.height) == (1024, 576)
    shown = media.frames().at(0.0)
    assert shown is not None
    assert media.size_on_screen(shown.pixels) == (576, 1024)


@pytest.mark.parametrize(
    ("container", "flagged", "expected"),
    [
        ("mkv", "first", DARK),
        ("mkv", "second", DARK),
        ("mkv", "neither", DARK),
        ("mp4", "first", DARK),
        ("mp4", "second", BRIGHT),
        ("mp4", "both", DARK),
    ],
)
def test_the_film_that_browsers_show_is_the_one_that_counts(
    tmp_path: Path, container: str, flagged: str, expected: int
) -> None:
    """Two video tracks, the dark one first; the bright one has the higher bit rate and more pixels.

    Browsers ignore the default flags of Matroska, and play no disabled track of MP4.
    """
    path = tmp_path / f"two.{container}"
    flags = {"first": ("default", "0"), "second": ("0", "default"), "neither": ("0", "0"), "both": ("default",) * 2}
    ffmpeg(*two_films(H264, H264), *dispositions(*flags[flagged]), path)
    media = open_media(path, LIMITS)
    assert brightness(media) == pytest.approx(expected, abs=8)
    assert media.facts.video_tracks == 2


def test_a_film_that_browsers_decode_goes_before_one_that_they_do_not(tmp_path: Path) -> None:
    path = tmp_path / "codecs.mkv"
    ffmpeg(*two_films(("-c:v:0", "mpeg4"), ("-c:v:1", "libx264", "-pix_fmt", "yuv420p")), path)
    media = open_media(path, LIMITS)
    assert brightness(media) == pytest.approx(BRIGHT, abs=8)
    assert media.facts.video_codec == "h264"


def two_films(*codecs: tuple[str, ...]) -> tuple[str, ...]:
    dark, bright = f"color=0x{DARK:02x}{DARK:02x}{DARK:02x}", f"color=0x{BRIGHT:02x}{BRIGHT:02x}{BRIGHT:02x}"
    inputs = ("-f", "lavfi", "-i", f"{dark}:s=64x48:r=25:d=1", "-f", "lavfi", "-i", f"{bright}:s=128x96:r=25:d=1")
    return (*inputs, "-map", "0", "-map", "1", *(option for codec in codecs for option in codec))


def dispositions(first: str, second: str) -> tuple[str, ...]:
    return ("-disposition:v:0", first, "-disposition:v:1", second, "-default_mode", "passthrough")


def brightness(media: OpenedMedia) -> float:
    shown = media.frames().at(0.5)
    assert shown is not None
    return float(shown.pixels.float().mean())
