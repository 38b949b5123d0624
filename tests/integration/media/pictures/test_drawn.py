"""Animated PNG and GIF, composed as browsers do; each expectation here was seen in Chromium."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sentinel_worker.domain.media_facts import MediaLimits
from tests.integration.media.pictures import gif_files as gifs
from tests.integration.media.pictures import png_files as pngs
from tests.integration.media.pictures.gif_files import BLUE, GREEN, RED, gif
from tests.integration.media.pictures.png_files import Drawn, apng, chunk, plain
from tests.integration.media.pictures.seen import Pixels, frames, opened, photograph, pixels, refusal, saved

SIZE = (16, 12)
RED_SCREEN, GREEN_SCREEN, BLUE_SCREEN = (plain(*SIZE, *colour) for colour in ((255, 0, 0), (0, 255, 0), (0, 0, 255)))
TEXT = chunk(b"tEXt", b"comment\0" + b"x" * 10_000)


def colour_at(shown: Pixels | None, column: int, row: int) -> list[int]:
    assert shown is not None
    found: list[int] = shown[row, column].tolist()
    return found


def test_a_default_image_is_no_part_of_the_animation(tmp_path: Path) -> None:
    moving = opened(tmp_path, apng(SIZE, [Drawn(GREEN_SCREEN), Drawn(BLUE_SCREEN)], default=RED_SCREEN))
    assert (moving.facts.kind, moving.facts.container, moving.facts.frame_count) == ("video", "apng", 2)
    assert [colour_at(shown, 0, 0) for shown in frames(moving)] == [[0, 255, 0], [0, 0, 255]]
    still = opened(tmp_path, apng(SIZE, [Drawn(BLUE_SCREEN)], default=RED_SCREEN))
    assert (still.facts.kind, still.facts.frame_count) == ("image", 1)
    assert colour_at(pixels(still), 0, 0) == [0, 0, 255]


@pytest.mark.parametrize("between", [b"", TEXT], ids=["first", "late"])
def test_an_animation_that_is_announced_before_the_pixels_is_played(tmp_path: Path, between: bytes) -> None:
    media = opened(tmp_path, apng(SIZE, [Drawn(RED_SCREEN), Drawn(GREEN_SCREEN)], between=between))
    assert (media.facts.kind, media.facts.container, media.facts.frame_count) == ("video", "apng", 2)


@pytest.mark.parametrize("control", ["after", "never"])
def test_one_that_is_not_is_its_default_image(tmp_path: Path, control: str) -> None:
    content = apng(SIZE, [Drawn(GREEN_SCREEN), Drawn(BLUE_SCREEN)], default=RED_SCREEN, control=control)
    media = opened(tmp_path, content)
    assert (media.facts.kind, media.facts.frame_count) == ("image", 1)
    assert colour_at(pixels(media), 0, 0) == [255, 0, 0]


@pytest.mark.parametrize(("promised", "shown"), [(0, 1), (1, 1), (2, 2), (3, 2), (10**9, 2)])
def test_the_promise_bounds_the_frames(tmp_path: Path, promised: int, shown: int) -> None:
    media = opened(tmp_path, apng(SIZE, [Drawn(RED_SCREEN), Drawn(GREEN_SCREEN)], promised=promised))
    assert (media.facts.frame_count, media.facts.truncated) == (shown, False)
    assert colour_at(pixels(media), 0, 0) == [255, 0, 0]


HALF_GREEN = plain(6, 6, 0, 255, 0, 128)


@pytest.mark.parametrize(
    ("after", "over", "under_the_patch", "where_it_was"),
    [
        # What half a green shows on red (over) or on white, and what is left of it in the next frame.
        (0, True, [127, 128, 0], [127, 128, 0]),
        (1, True, [127, 128, 0], [255, 255, 255]),
        (2, True, [127, 128, 0], [255, 0, 0]),
        (0, False, [127, 255, 127], [127, 255, 127]),
        (1, False, [127, 255, 127], [255, 255, 255]),
        (2, False, [127, 255, 127], [255, 0, 0]),
    ],
)
def test_a_patch_is_drawn_and_disposed_of(
    tmp_path: Path, after: int, over: bool, under_the_patch: list[int], where_it_was: list[int]
) -> None:
    patch = Drawn(HALF_GREEN, 2, 3, after=after, over=over)
    media = opened(tmp_path, apng(SIZE, [Drawn(RED_SCREEN), patch, Drawn(plain(2, 2, 0, 0, 255), 12, 9)]))
    _, second, third = frames(media)
    assert np.abs(np.array(colour_at(second, 4, 5)) - under_the_patch).max() <= 1
    assert np.abs(np.array(colour_at(third, 4, 5)) - where_it_was).max() <= 1
    assert colour_at(second, 0, 0) == colour_at(third, 0, 0) == [255, 0, 0]
    assert colour_at(third, 13, 10) == [0, 0, 255]


def test_frames_are_the_same_in_any_order(tmp_path: Path) -> None:
    patches = [Drawn(plain(4, 4, 20 * n, 99, 0, 200), n, n, after=n % 3, over=n % 2 == 0) for n in range(1, 8)]
    media = opened(tmp_path, apng(SIZE, [Drawn(RED_SCREEN), *patches[:4], Drawn(BLUE_SCREEN), *patches[4:]]))
    in_order = frames(media)
    reader = media.frames()
    for number in (8, 2, 5, 5, 7, 0, 6, 1, 4, 3):
        shown = reader.at(0.1 * number + 0.05)
        assert shown is not None
        assert (shown.pixels.permute(1, 2, 0).numpy() == in_order[number]).all()


def test_a_frame_outside_the_picture_ends_the_animation(tmp_path: Path) -> None:
    outside = Drawn(plain(9, 9, 0, 255, 0), 10, 10)
    media = opened(tmp_path, apng(SIZE, [Drawn(RED_SCREEN), outside, Drawn(BLUE_SCREEN)]))
    assert (media.facts.kind, media.facts.frame_count, media.facts.truncated) == ("image", 1, False)


def test_delays_of_an_animated_png(tmp_path: Path) -> None:
    delays = [(1, 4), (5, 0), (0, 10), (1, 100), (2, 100)]
    media = opened(tmp_path, apng(SIZE, [Drawn(RED_SCREEN, delay=delay) for delay in delays]))
    # Without a unit it is hundredths; a hundredth or less is a tenth.
    assert media.facts.duration_seconds == pytest.approx(0.25 + 0.05 + 0.1 + 0.1 + 0.02)


def test_an_animation_that_stands_still_for_long_is_planned_by_where_it_moves(tmp_path: Path) -> None:
    patches = [gifs.Drawn(RED, 16, 12, hundredths=4)] * 20 + [gifs.Drawn(GREEN, 16, 12, hundredths=2000)]
    facts = opened(tmp_path, gif(16, 12, patches)).facts
    assert facts.typical_rate == pytest.approx(25.0)
    assert facts.video_tracks == 1
    assert facts.frames_per_second == pytest.approx(21 / 20.8)


def noisy_apng() -> bytes:
    noise = np.random.default_rng(0).integers(0, 255, (4, 12, 16, 4), dtype=np.uint8)
    noise[..., 3] = 255
    return apng(SIZE, [Drawn(frame) for frame in noise])


def test_an_animation_that_is_cut_off_is_what_is_there(tmp_path: Path) -> None:
    content = noisy_apng()
    whole = opened(tmp_path, content[: -len(pngs.END)])
    assert (whole.facts.frame_count, whole.facts.truncated) == (4, False)
    part = opened(tmp_path, content[: len(content) * 7 // 10])
    assert (part.facts.kind, part.facts.frame_count, part.facts.truncated) == ("video", 2, True)
    one = opened(tmp_path, content[: len(content) * 4 // 10])
    assert (one.facts.kind, one.facts.frame_count, one.facts.truncated) == ("image", 1, True)
    assert refusal(tmp_path, content[: len(content) // 10]).code == "media_truncated"


def test_a_damaged_frame_is_a_hole(tmp_path: Path) -> None:
    content = bytearray(noisy_apng())
    last = content.rfind(b"fdAT") + 60
    content[last : last + 20] = bytes(20)
    media = opened(tmp_path, bytes(content))
    assert [shown is None for shown in frames(media)] == [False, False, False, True]


def test_what_no_frame_of_a_gif_draws_is_transparent(tmp_path: Path) -> None:
    media = opened(tmp_path, gif(16, 12, [gifs.Drawn(GREEN, 8, 6, 4, 3), gifs.Drawn(BLUE, 16, 12)]))
    first, second = frames(media)
    assert colour_at(first, 0, 0) == [255, 255, 255]
    assert colour_at(first, 5, 4) == [0, 255, 0]
    assert colour_at(second, 0, 0) == [0, 0, 255]
    still = opened(tmp_path, gif(16, 12, [gifs.Drawn(GREEN, 8, 6, 4, 3)]))
    assert (still.facts.kind, still.facts.width, still.facts.height) == ("image", 16, 12)
    assert colour_at(pixels(still), 0, 0) == [255, 255, 255]


@pytest.mark.parametrize(("after", "left"), [(0, [0, 0, 255]), (2, [255, 255, 255]), (3, [0, 255, 0])])
def test_a_patch_of_a_gif_is_disposed_of(tmp_path: Path, after: int, left: list[int]) -> None:
    patches = [gifs.Drawn(GREEN, 16, 12), gifs.Drawn(BLUE, 6, 6, 4, 3, after=after), gifs.Drawn(RED, 2, 2)]
    third = frames(opened(tmp_path, gif(16, 12, patches)))[2]
    assert colour_at(third, 5, 5) == left
    assert colour_at(third, 0, 0) == [255, 0, 0]
    assert colour_at(third, 15, 11) == [0, 255, 0]


def test_a_transparent_colour_keeps_what_is_there(tmp_path: Path) -> None:
    patches = [gifs.Drawn(GREEN, 16, 12), gifs.Drawn(BLUE, 6, 6, 4, 3, transparent=BLUE)]
    assert colour_at(frames(opened(tmp_path, gif(16, 12, patches)))[1], 5, 5) == [0, 255, 0]


@pytest.mark.parametrize("screen", [(0, 0), (1, 1), (16, 12)])
def test_the_screen_of_a_gif_is_as_large_as_its_first_frame(tmp_path: Path, screen: tuple[int, int]) -> None:
    patches = [gifs.Drawn(GREEN, 16, 12), gifs.Drawn(BLUE, 30, 30, 8, 6), gifs.Drawn(RED, 0, 0)]
    media = opened(tmp_path, gif(*screen, patches))
    assert (media.facts.width, media.facts.height, media.facts.frame_count) == (16, 12, 3)
    third = frames(media)[2]
    assert [colour_at(third, *place) for place in ((0, 0), (15, 11))] == [[0, 255, 0], [0, 0, 255]]


def test_a_frame_of_a_gif_that_is_far_larger_than_the_screen_is_named(tmp_path: Path) -> None:
    limits = replace(MediaLimits(), max_pixels=500)
    patches = [gifs.Drawn(GREEN, 16, 12), gifs.Drawn(BLUE, 26, 20, 8, 6)]
    refused = refusal(tmp_path, gif(16, 12, patches), limits)
    assert (refused.code, refused.params["limit"]) == ("media_too_large", 500)
    assert "26 x 20 pixels; at most 500" in refused.message
    cut = gif(16, 12, [*patches[:1] * 2, patches[1]])[:-10]
    assert opened(tmp_path, cut, limits).facts.frame_count == 2


def test_a_gif_that_is_cut_off_is_what_is_there(tmp_path: Path) -> None:
    content = gif(16, 12, [gifs.Drawn(colour, 16, 12) for colour in (RED, GREEN, BLUE)])
    whole = opened(tmp_path, content[:-1])
    assert (whole.facts.frame_count, whole.facts.truncated) == (3, False)
    part = opened(tmp_path, content[:-20])
    assert (part.facts.kind, part.facts.frame_count, part.facts.truncated) == ("video", 2, True)
    still = saved(photograph().convert("P"), "GIF")
    assert not opened(tmp_path, still[:-1]).facts.truncated
    assert opened(tmp_path, still[:-30]).facts.truncated
    refused = refusal(tmp_path, still[: len(still) // 2])
    assert (refused.code, "picture" in refused.message) == ("media_truncated", True)
    assert refusal(tmp_path, still[:20]).code == "media_truncated"
    assert refusal(tmp_path, still[:6] + bytes(7) + b";").code == "media_unreadable"


@pytest.mark.parametrize(
    "content", [apng(SIZE, [Drawn(RED_SCREEN)] * 5), gif(*SIZE, [gifs.Drawn(RED, *SIZE)] * 5)], ids=["png", "gif"]
)
def test_limits_of_drawn_animations(tmp_path: Path, content: bytes) -> None:
    limits = MediaLimits()
    refused = refusal(tmp_path, content, replace(limits, max_animation_frames=4))
    assert (refused.code, "5 frames; at most 4" in refused.message) == ("media_too_long", True)
    assert refusal(tmp_path, content, replace(limits, max_duration_seconds=0.4)).code == "media_too_long"
    assert refusal(tmp_path, content, replace(limits, max_pixels=100)).code == "media_too_large"
    assert refusal(tmp_path, content, replace(limits, max_frames_per_second=9.0)).code == "media_too_large"


def test_an_animated_png_is_turned_by_its_exif(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    first = photograph()
    content = saved(first, "PNG", save_all=True, append_images=[first.rotate(180)], duration=100, exif=exif)
    media = opened(tmp_path, content)
    assert (media.facts.width, media.facts.height, media.facts.frame_count) == (48, 64, 2)
    assert (pixels(media) == np.rot90(np.asarray(first), -1)).all()
