"""Files of FFmpeg and Pillow whose structure says that they are protected, cut, or coded without a decoder here."""

from __future__ import annotations

import io
from pathlib import Path

import av
import pytest
from PIL import Image

from sentinel_worker.domain.errors import Permanent
from sentinel_worker.domain.media_facts import MediaLimits
from sentinel_worker.media.containers.cut_files import ends_early
from sentinel_worker.media.containers.protection import check_protection, undecodable_sounds
from sentinel_worker.media.containers.samples import missing_shares
from sentinel_worker.media.containers.sniff import sniff
from sentinel_worker.media.pictures.formats import register_plugins
from sentinel_worker.media.probe import open_media
from tests.integration.media.films import ffmpeg

PICTURES = ("-f", "lavfi", "-i", "testsrc=s=64x48:r=25:d=2")
YUV = ("-pix_fmt", "yuv420p")
SOUND = ("-f", "lavfi", "-i", "sine=d=2")


def test_a_film_with_common_encryption_is_protected(tmp_path: Path) -> None:
    path = tmp_path / "film.mp4"
    key = ("-encryption_key", "0123456789abcdef" * 2, "-encryption_kid", "fedcba9876543210" * 2)
    ffmpeg(*PICTURES, *YUV, "-encryption_scheme", "cenc-aes-ctr", *key, path)
    with pytest.raises(Permanent, match="protected by DRM") as refused:
        open_media(path, MediaLimits())
    assert (refused.value.code, refused.value.params) == ("media_not_supported", {"found": "protected media"})


@pytest.mark.parametrize("suffix", ["mp4", "mov", "mkv", "webm", "wmv", "ts", "m2ts"])
def test_an_ordinary_film_is_not(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"film.{suffix}"
    ffmpeg(*PICTURES, *SOUND, *YUV, path)
    with path.open("rb") as file:
        container = sniff(file).container
    check_protection(path, container)
    assert undecodable_sounds(path, container) == {}


@pytest.mark.parametrize("brand", [b"heic", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs"])
def test_a_picture_coded_with_hevc_is_read_whatever_its_brand(tmp_path: Path, brand: bytes) -> None:
    register_plugins()
    file = io.BytesIO()
    Image.new("RGB", (64, 48), "red").save(file, "HEIF")
    content = file.getvalue()
    path = tmp_path / "picture"
    path.write_bytes(content[:8] + brand + content[12:])
    facts = open_media(path, MediaLimits()).facts
    assert (facts.kind, facts.container, facts.width) == ("image", "heic", 64)


@pytest.mark.parametrize("kept", [1.0, 0.75, 0.5])
def test_an_index_that_survives_a_cut_tells_what_is_missing(tmp_path: Path, kept: float) -> None:
    path = tmp_path / "film.mp4"
    ffmpeg(*PICTURES, *SOUND, *YUV, "-movflags", "+faststart", "-g", "1", path)
    content = path.read_bytes()
    data = content.index(b"mdat") + 4
    path.write_bytes(content[: data + round(kept * (len(content) - data))])
    shares = missing_shares(path)
    assert shares == {1: pytest.approx(1 - kept, abs=0.15), 2: pytest.approx(1 - kept, abs=0.15)}
    assert (max(shares.values()) == 0) == (kept == 1.0)
    path.write_bytes(content[:data])
    assert missing_shares(path) == {1: 1.0, 2: 1.0}


@pytest.mark.parametrize("suffix", ["wav", "w64", "aiff", "caf", "au"])
def test_a_sound_is_cut_if_its_samples_are(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"sound.{suffix}"
    ffmpeg(*SOUND, path)
    assert not ends_early(path)
    content = path.read_bytes()
    path.write_bytes(content[: len(content) * 3 // 4])
    assert ends_early(path)


@pytest.mark.parametrize("suffix", ["mp4", "mov", "mkv", "webm", "avi", "flv"])
def test_a_film_is_cut_if_bytes_are_missing(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"film.{suffix}"
    ffmpeg(*PICTURES, *YUV, "-g", "5", *(("-movflags", "+faststart") if suffix in ("mp4", "mov") else ()), path)
    assert not open_media(path, MediaLimits()).facts.truncated
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 3])
    assert open_media(path, MediaLimits()).facts.truncated


def test_a_riff_length_that_is_too_long_cuts_nothing(tmp_path: Path) -> None:
    path = tmp_path / "sound.wav"
    ffmpeg(*SOUND, path)
    content = path.read_bytes()
    path.write_bytes(content[:4] + (len(content) + 140).to_bytes(4, "little") + content[8:])
    assert not open_media(path, MediaLimits()).facts.truncated


def test_a_stream_type_that_ffmpeg_does_not_know_is_named(tmp_path: Path) -> None:
    """FFmpeg takes such a stream for one of a codec that it has."""
    path = tmp_path / "film.ts"
    ffmpeg(*PICTURES, *SOUND, *YUV, "-c:a", "mp2", path)
    kind, layer_2 = b"\x2d", b"\x03\xe1\x01"
    content = path.read_bytes()
    assert content.count(layer_2)
    path.write_bytes(content.replace(layer_2, kind + layer_2[1:]))
    assert undecodable_sounds(path, "mpeg-ts") == {0x101: "MPEG-H"}
    with av.open(str(path), format="mpegts") as opened:
        assert [stream.id for stream in opened.streams.audio] == [0x101]


def test_immersive_audio_is_named_by_its_codec(tmp_path: Path) -> None:
    """FFmpeg makes several streams of such a track, and each holds only some of the channels."""
    path = tmp_path / "sound.mp4"
    ffmpeg(*SOUND, "-c:a", "libopus", path)
    content = path.read_bytes()
    assert content.count(b"Opus") == 1
    path.write_bytes(content.replace(b"Opus", b"iamf"))
    with pytest.raises(Permanent, match="codec \\(IAMF\\) is not supported") as refused:
        open_media(path, MediaLimits())
    assert refused.value.code == "media_not_supported"
