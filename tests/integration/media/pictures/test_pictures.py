"""Still pictures and animations, as they are meant to be seen."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from sentinel_worker.domain.errors import Permanent
from sentinel_worker.domain.media_facts import ClipGeometry, MediaLimits
from sentinel_worker.domain.windows import Window
from sentinel_worker.media.decode import decode_clips
from sentinel_worker.media.pictures import formats
from sentinel_worker.media.pictures.formats import register_plugins
from sentinel_worker.media.probe import open_media
from sentinel_worker.media.protocol import ProbedFacts
from tests.integration.media.films import ffmpeg, geometry

LIMITS = MediaLimits()
ONCE = Window(0.0, 1.0)
ORIENTATION = 0x0112


def seen(path: Path, width: int, height: int) -> npt.NDArray[Any]:
    """The picture as a detector gets it, without resizing: [height, width, 3]."""
    wanted = ClipGeometry(1, 1.0, "squash", height, width, height, width)
    (decoded,) = decode_clips(open_media(path, LIMITS), [ONCE], wanted)
    pixels: npt.NDArray[Any] = decoded.clip.values[0].transpose(1, 2, 0)
    return pixels


def facts_of(path: Path) -> ProbedFacts:
    return open_media(path, LIMITS).facts


def refusal(path: Path, limits: MediaLimits = LIMITS) -> Permanent:
    with pytest.raises(Permanent) as refused:
        open_media(path, limits)
    assert str(path) not in refused.value.message
    return refused.value


def photograph() -> Image.Image:
    """A smooth picture: red grows to the right, green downwards."""
    rows, columns = np.mgrid[0:48, 0:64]
    return Image.fromarray(np.stack([columns * 4, rows * 5, 255 - columns * 2], axis=2).astype(np.uint8))


@pytest.mark.parametrize("name", ["jpeg", "png", "webp", "bmp", "tiff", "avif", "heic", "gif"])
def test_every_format(media: Path, name: str) -> None:
    path = media / f"photograph.{name}"
    register_plugins()
    photograph().save(path, quality=95)
    facts = facts_of(path)
    assert (facts.kind, facts.container, facts.width, facts.height) == ("image", name, 64, 48)
    assert (facts.duration_seconds, facts.frames_per_second, facts.frame_count) == (0.0, 0.0, 1)
    assert (facts.has_video, facts.has_audio, facts.truncated) == (False, False, False)
    assert np.abs(seen(path, 64, 48).astype(int) - np.asarray(photograph()).astype(int)).mean() < 6


@pytest.mark.parametrize("name", ["jpeg", "png", "webp", "tiff", "avif"])
def test_the_orientation_of_a_telephone_is_applied(media: Path, name: str) -> None:
    path = media / f"turned.{name}"
    exif = Image.Exif()
    exif[ORIENTATION] = 6  # turn right by 90 degrees to see it
    photograph().save(path, exif=exif)
    facts = facts_of(path)
    assert (facts.width, facts.height) == (48, 64)
    expected = np.asarray(photograph().rotate(-90, expand=True)).astype(int)
    assert np.abs(seen(path, 48, 64) - expected).mean() < 8


def transparent(mode: str) -> Image.Image:
    """The left half is transparent, the right half blue."""
    picture = Image.new("RGBA", (8, 4), (255, 0, 0, 0))
    picture.paste((0, 0, 255, 255), (4, 0, 8, 4))
    return picture if mode == "RGBA" else picture.convert(mode)


@pytest.mark.parametrize(("name", "mode"), [("png", "RGBA"), ("webp", "RGBA"), ("png", "LA"), ("gif", "P")])
def test_transparency_lies_on_white(media: Path, name: str, mode: str) -> None:
    path = media / f"transparent-{mode}.{name}"
    picture = transparent(mode)
    if mode == "P":
        picture = Image.new("P", (8, 4), 0)
        picture.putpalette([0, 0, 0, 0, 0, 255])
        picture.paste(1, (4, 0, 8, 4))
        picture.info["transparency"] = 0
    picture.save(path, lossless=True)
    pixels = seen(path, 8, 4)
    assert pixels[2, 1].tolist() == [255, 255, 255]
    assert pixels[2, 6].tolist() == ([29, 29, 29] if mode == "LA" else [0, 0, 255])


def test_a_palette_with_transparent_colours(media: Path) -> None:
    path = media / "palette.png"
    picture = Image.new("P", (2, 1))
    picture.putpalette([10, 20, 30, 200, 100, 50])
    picture.putpixel((1, 0), 1)
    picture.save(path, transparency=bytes([0, 255]))
    assert seen(path, 2, 1).tolist() == [[[255, 255, 255], [200, 100, 50]]]


def test_sixteen_bit_is_scaled_not_clipped(media: Path) -> None:
    for name in ("png", "tiff"):
        path = media / f"deep.{name}"
        Image.fromarray(np.array([[0, 257, 32896, 65535]], dtype=np.uint16)).save(path)
        assert seen(path, 4, 1)[0, :, 0].tolist() == [0, 1, 128, 255]


def test_numbers_without_a_white_use_their_own_range(media: Path) -> None:
    for dtype in (np.float32, np.int32):
        path = media / f"{np.dtype(dtype).name}.tiff"
        Image.fromarray(np.array([[-100, 0, 155]], dtype=dtype)).save(path)
        assert seen(path, 3, 1)[0, :, 0].tolist() == [0, 100, 255]


def test_sixteen_bit_colour(media: Path) -> None:
    path = media / "deep-colour.png"
    ffmpeg("-f", "lavfi", "-i", "color=0xff8000:s=8x8", "-pix_fmt", "rgb48be", "-frames:v", "1", path)
    assert np.abs(seen(path, 8, 8)[4, 4].astype(int) - [255, 128, 0]).max() <= 2


@pytest.mark.parametrize("mode", ["L", "CMYK", "1", "P"])
def test_other_colours(media: Path, mode: str) -> None:
    path = media / f"mode-{mode}.tiff"
    photograph().convert(mode).save(path)
    expected = np.asarray(photograph().convert(mode).convert("RGB"))
    assert (seen(path, 64, 48) == expected).all()


@pytest.mark.parametrize("name", ["jpeg", "png", "webp", "bmp", "tiff", "avif", "heic"])
def test_half_a_picture(media: Path, name: str) -> None:
    register_plugins()
    whole, half = media / f"noise.{name}", media / f"half.{name}"
    Image.effect_noise((320, 240), 90).convert("RGB").save(whole)
    half.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    assert refusal(half).code == "media_truncated"


def test_garbage_behind_a_picture_header(media: Path) -> None:
    path = media / "garbage.png"
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(2000))
    assert refusal(path).code == "media_unreadable"


def test_the_name_of_a_format_does_not_open_another(media: Path) -> None:
    """A file that starts like a PNG is parsed only as one, even if Pillow would read it as another format."""
    path = media / "document.png"
    path.write_bytes(b"\x89PNG\r\n\x1a\n%!PS-Adobe-3.0 EPSF-3.0\n")
    assert refusal(path).code == "media_unreadable"


@pytest.mark.parametrize("name", ["png", "webp", "gif", "tiff"])
def test_too_many_pixels_are_refused_before_they_are_decoded(media: Path, name: str) -> None:
    path = media / f"bomb.{name}"
    Image.new("L", (3000, 2000)).save(path)
    for allowed in (5_999_999, 2_000_000):
        refused = refusal(path, replace(LIMITS, max_picture_pixels=allowed))
        assert (refused.code, refused.params["limit"]) == ("media_too_large", allowed)


def test_heic_without_its_package_is_a_sentence(media: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    register_plugins()
    path = media / "telephone.heic"
    photograph().save(path)
    monkeypatch.setattr(formats, "pillow_heif", None)
    refused = refusal(path)
    assert refused.code == "media_not_supported"
    assert "heic" in refused.message


def animation() -> list[Image.Image]:
    """Ten pictures of different greys."""
    return [Image.new("RGB", (64, 48), (25 * number,) * 3) for number in range(10)]


@pytest.mark.parametrize("name", ["webp", "avif", "gif", "png"])
def test_an_animation_is_a_video_of_its_frames(media: Path, name: str) -> None:
    path = media / f"animation.{name}"
    first, *rest = animation()
    first.save(path, save_all=True, append_images=rest, duration=[100] * 5 + [200] * 5)
    facts = facts_of(path)
    assert (facts.kind, facts.has_video, facts.frame_count) == ("video", True, 10)
    assert facts.duration_seconds == pytest.approx(1.5)
    assert (facts.width, facts.height) == (64, 48)
    opened = open_media(path, LIMITS)
    # Backwards too: the reader goes to any frame.
    windows = [Window(1.0, 1.5), Window(0.0, 0.5)]
    found = {decoded.index: decoded.clip for decoded in decode_clips(opened, windows, geometry(5, 0.1))}
    late, early = ([round(float(frame.mean()) / 25) for frame in found[index].values] for index in (0, 1))
    # Half of an average frame after each tenth of a second; the later frames stay for two tenths.
    assert early == [0, 1, 2, 3, 4]
    assert late == [7, 8, 8, 9, 9]


def test_frames_that_ask_for_no_time_get_a_tenth_of_a_second(media: Path) -> None:
    path = media / "hasty.webp"
    first, *rest = animation()
    first.save(path, save_all=True, append_images=rest, duration=0)
    assert facts_of(path).duration_seconds == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("limit", "code"),
    [
        ({"max_frames": 9}, "media_too_long"),
        ({"max_animation_frames": 9}, "media_too_long"),
        ({"max_duration_seconds": 0.9}, "media_too_long"),
        ({"max_frames_per_second": 9.0}, "media_too_large"),
    ],
)
def test_limits_of_an_animation(media: Path, limit: dict[str, float], code: str) -> None:
    path = media / "limited.webp"
    first, *rest = animation()
    first.save(path, save_all=True, append_images=rest, duration=100)
    assert refusal(path, replace(LIMITS, **limit)).code == code  # type: ignore[arg-type]


def test_half_an_animation(media: Path) -> None:
    for name in ("webp", "avif"):
        path = media / f"half-animation.{name}"
        first, *rest = animation()
        first.save(path, save_all=True, append_images=rest, duration=100)
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
        assert refusal(path).code == "media_truncated"
