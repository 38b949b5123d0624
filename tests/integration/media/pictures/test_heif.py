"""HEIC and AVIF: sizes that are named, brands of sequences, sound beside moving pictures."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from sentinel_worker.domain.media_facts import Clip, SoundGeometry
from sentinel_worker.domain.windows import Window
from sentinel_worker.media.decode import DecodedClip
from sentinel_worker.media.pictures.formats import register_plugins
from sentinel_worker.media.pictures.heif import describe_heif
from sentinel_worker.media.pictures.opening import OpenedPicture
from sentinel_worker.media.pictures.sizes import Declared
from sentinel_worker.media.sound.clips import decode_sounds
from tests.integration.attacks.iso import box, words
from tests.integration.media.films import ffmpeg
from tests.integration.media.pictures.seen import LIMITS, opened, photograph, pixels, refusal, saved

HZ = 440.0
register_plugins()


def branded(content: bytes, brand: bytes) -> bytes:
    """The file with another main brand."""
    return content[:8] + brand + content[12:]


@pytest.mark.parametrize("kind", ["AVIF", "HEIF"])
def test_a_picture_beyond_the_limits_of_its_library_is_named_with_its_size(tmp_path: Path, kind: str) -> None:
    content = bytearray(saved(photograph(), kind))
    size = content.index(b"ispe") + 8
    content[size : size + 8] = (17_000).to_bytes(4, "big") * 2
    refused = refusal(tmp_path, bytes(content))
    assert refused.code == "media_too_large"
    assert "17000 x 17000 = 289 megapixels" in refused.message


def test_more_than_8_bits_may_have_fewer_pixels(tmp_path: Path) -> None:
    """They take more memory to decode."""
    path = tmp_path / "deep.avif"
    source = ("-f", "lavfi", "-i", "color=gray:s=64x48", "-frames:v", "1")
    ffmpeg(*source, "-pix_fmt", "yuv420p10le", "-c:v", "libaom-av1", "-cpu-used", "8", "-still-picture", "1", path)
    assert (describe_heif(path).deep, describe_heif(path).width) == (True, 64)
    (tmp_path / "flat.avif").write_bytes(saved(photograph(), "AVIF"))
    assert not describe_heif(tmp_path / "flat.avif").deep
    memory = 512 * 1024**2 + 64 * 48 * 13
    assert "megapixels" in refusal(tmp_path, path.read_bytes(), replace(LIMITS, max_memory_bytes=memory)).message
    opened(tmp_path, saved(photograph(), "AVIF"), replace(LIMITS, max_memory_bytes=memory))


def test_the_size_is_found_behind_many_boxes_and_in_long_ones(tmp_path: Path) -> None:
    size = box(b"ispe", words(0, 300, 200))
    meta = words(0) + box(b"hdlr", bytes(25)) + box(b"iprp", box(b"ipco", box(b"ispe", words(0, 30, 20)), size))
    length_of_64_bits = words(1) + b"meta" + (16 + len(meta)).to_bytes(8, "big")
    path = tmp_path / "media"
    path.write_bytes(box(b"ftyp", b"heic", bytes(4)) + 100 * box(b"free") + length_of_64_bits + meta)
    assert describe_heif(path) == Declared(300, 200)


@pytest.mark.parametrize("brand", [b"heic", b"heix", b"heis", b"heim", b"hevc", b"hevs", b"mif1", b"msf1"])
def test_a_still_picture_of_any_brand_is_one(tmp_path: Path, brand: bytes) -> None:
    media = opened(tmp_path, branded(saved(photograph(), "HEIF", quality=95), brand))
    assert isinstance(media, OpenedPicture)
    assert (media.facts.container, media.facts.width, media.facts.height) == ("heic", 64, 48)


def sequence(folder: Path, codec: str, *sound: str) -> bytes:
    """A film of ten frames whose track says, as in a sequence of pictures, that it holds pictures."""
    path = folder / "sequence.mp4"
    options = {
        "av01": ("-c:v", "libaom-av1", "-cpu-used", "8", "-g", "1"),
        "hvc1": ("-c:v", "libx265", "-x265-params", "log-level=none:pools=1"),
    }[codec]
    source = ("-f", "lavfi", "-i", "testsrc=s=64x48:r=5")
    ffmpeg(*source, *sound, "-t", "2", *options, "-tag:v", codec, "-pix_fmt", "yuv420p", path)
    return path.read_bytes().replace(b"vide", b"pict", 1)


def with_cover(film: bytes, still: bytes, brands: bytes) -> bytes:
    """The sequence with these brands (as long as its own), and with the items of a still picture behind it."""
    length = int.from_bytes(film[:4], "big")
    assert len(brands) == length - 8
    start = still.index(b"meta") - 4
    meta = still[start : start + int.from_bytes(still[start : start + 4], "big")]
    return film[:8] + brands + film[length:] + meta


def test_a_sequence_of_heic_pictures_is_a_film(tmp_path: Path) -> None:
    film = sequence(tmp_path, "hvc1")
    still = saved(photograph(), "HEIF")
    length = int.from_bytes(film[:4], "big") - 8
    for brand in (b"hevc", b"msf1", b"hevs"):
        media = opened(tmp_path, with_cover(film, still, (brand + bytes(4) + b"msf1hevciso8mif1mif1")[:length]))
        assert (media.facts.kind, media.facts.frame_count) == ("video", 10)
        assert media.facts.duration_seconds == pytest.approx(2.0)
        assert pixels(media, 1.0).shape == (48, 64, 3)


def test_an_animated_avif_has_its_sound(tmp_path: Path) -> None:
    film = sequence(tmp_path, "av01", "-f", "lavfi", "-i", f"sine=f={HZ}:r=16000", "-c:a", "aac")
    content = with_cover(film, saved(photograph(), "AVIF"), b"avis" + bytes(4) + b"avismsf1mif1miaf")
    media = opened(tmp_path, content)
    facts = media.facts
    assert (facts.kind, facts.container, facts.frame_count) == ("video", "avif", 10)
    assert (facts.has_audio, facts.audio_codec, facts.sample_rate, facts.channels) == (True, "aac", 16_000, 1)
    assert facts.audio_seconds == pytest.approx(2.0, abs=0.1)
    (heard,) = decode_sounds(media, [Window(0.5, 1.5)], SoundGeometry(samples=16_000))
    assert isinstance(heard, DecodedClip)
    assert loudest(heard.clip) == pytest.approx(HZ, abs=1)


def loudest(clip: Clip) -> float:
    """The loudest frequency in a second of sound, in hertz."""
    return float(np.argmax(np.abs(np.fft.rfft(clip.values))))


def test_an_animated_avif_without_sound_has_none(tmp_path: Path) -> None:
    content = saved(photograph(), "AVIF", save_all=True, append_images=[photograph().rotate(180)], duration=100)
    media = opened(tmp_path, content)
    assert (media.facts.kind, media.facts.has_audio, media.sound) == ("video", False, None)
