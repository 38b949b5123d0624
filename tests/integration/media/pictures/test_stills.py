"""Pictures for people: upright, small, and of the same shape as the original."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path
from typing import NoReturn

import numpy as np
import pytest
from PIL import Image

from sentinel_worker.domain.derived import Filmstrip, Still
from sentinel_worker.domain.media_facts import Face
from sentinel_worker.domain.windows import Window
from sentinel_worker.media import stills as stills_module
from sentinel_worker.media.decode import decode_clips
from sentinel_worker.media.opened_media import OpenedMedia
from sentinel_worker.media.pictures_for_people import filmstrip, still, webp
from sentinel_worker.media.probe import open_media
from sentinel_worker.media.stills import LONG_SIDE_PIXELS, Stills
from tests.integration.media.films import Make, geometry
from tests.integration.media.pictures.png_files import Drawn, apng, plain
from tests.integration.media.pictures.seen import LIMITS, opened, photograph, saved


def made(folder: Path, content: bytes, seconds: float = 0.0, max_pixels: int = LIMITS.max_pixels) -> Image.Image:
    """The thumbnail at this moment."""
    media = opened(folder, content, replace(LIMITS, max_pixels=max_pixels))
    return Image.open(io.BytesIO(webp(media, Stills(media), Still(seconds))))


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        ((1280, 960), (640, 480)),
        ((64, 48), (64, 48)),
        ((1, 1), (1, 1)),
        ((3000, 60), (640, 13)),
        ((900, 1800), (320, 640)),
    ],
)
def test_the_long_side_is_at_most_640_pixels(tmp_path: Path, size: tuple[int, int], expected: tuple[int, int]) -> None:
    assert LONG_SIDE_PIXELS == 640
    assert made(tmp_path, saved(photograph(*size), "PNG")).size == expected


def test_a_thumbnail_is_upright_and_tells_nothing_else(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112], exif[0x010F] = 6, "a camera"
    picture = photograph(640, 480)
    thumbnail = made(tmp_path, saved(picture, "JPEG", exif=exif, quality=95))
    assert thumbnail.size == (480, 640)
    assert not thumbnail.getexif()
    apart = np.asarray(thumbnail).astype(int) - np.asarray(picture.rotate(-90, expand=True))
    assert np.abs(apart).mean() < 3


def test_a_reduced_picture_has_a_thumbnail(tmp_path: Path) -> None:
    assert made(tmp_path, saved(photograph(1600, 1200), "JPEG"), max_pixels=800 * 600).size == (640, 480)


def test_a_moment_of_an_animation(tmp_path: Path) -> None:
    content = apng((16, 12), [Drawn(plain(16, 12, 255, 0, 0)), Drawn(plain(16, 12, 0, 0, 255))])
    assert np.abs(np.asarray(made(tmp_path, content, 0.15))[5, 5].astype(int) - [0, 0, 255]).max() < 5


def films_windows(media: OpenedMedia) -> tuple[Stills, list[Window]]:
    """Decode two windows of a film, and keep the frame in the middle of each."""
    stills, windows = Stills(media), [Window(0.0, 0.8), Window(1.0, 1.8)]
    list(decode_clips(media, windows, geometry(5, 0.16), stills))
    return stills, windows


def grey(picture: Image.Image) -> float:
    """Number of the ramp's frame (`films.RAMP`)."""
    return float(np.asarray(picture.convert("RGB")).mean()) * 219 / 255 / 4


def test_a_still_is_the_frame_that_was_decoded_in_the_middle_of_its_window(
    ramp: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    media = open_media(ramp("stills.mp4"), LIMITS)
    stills, windows = films_windows(media)

    def refuse(_: OpenedMedia) -> NoReturn:
        raise AssertionError("it was decoded again")

    monkeypatch.setattr(type(media), "frames", refuse)
    shown = [grey(still(media, stills, Still(0.0, window))) for window in windows]
    assert shown == pytest.approx([8, 33], abs=0.5)
    with pytest.raises(AssertionError, match="decoded again"):
        still(media, stills, Still(0.5, Window(0.0, 0.5)))


def test_a_filmstrip_has_a_cell_for_each_window_and_leaves_damaged_ones_empty(ramp: Make) -> None:
    media = open_media(ramp("strip.mp4", size="320x240"), LIMITS)
    stills, windows = films_windows(media)
    strip = filmstrip(stills, Filmstrip((windows[0], Window(5.0, 6.0), windows[1])))
    assert strip.size == (3 * 160, 120)
    cells = [strip.crop((160 * cell, 0, 160 * cell + 160, 120)) for cell in range(3)]
    assert [grey(cells[0]), grey(cells[2])] == pytest.approx([8, 33], abs=0.5)
    assert np.asarray(cells[1]).max() == 32


@pytest.mark.parametrize(("windows", "size", "cells"), [(9, (8 * 64, 2 * 48), 9), (1000, (8 * 64, 30 * 48), 240)])
def test_a_filmstrip_has_rows_of_eight_and_at_most_240_cells(
    ramp: Make, windows: int, size: tuple[int, int], cells: int
) -> None:
    media = open_media(ramp("rows.mp4"), LIMITS)
    stills, (known, _) = films_windows(media)
    wanted = Filmstrip((known, *(Window(number, number + 1.0) for number in range(1, windows))))
    assert filmstrip(stills, wanted).size == size
    assert len(wanted.shown) == cells
    assert [wanted.windows.index(window) for window in wanted.shown[:3]] == [0, windows // cells, 2 * windows // cells]


def test_faces_are_outlined_and_the_worst_one_in_red(ramp: Make) -> None:
    media = open_media(ramp("outlined.mp4", size="320x240"), LIMITS)
    stills, (window, _) = films_windows(media)
    faces = (Face(0.1, 0.1, 0.3, 0.4, 0.9), Face(0.6, 0.5, 1.0, 1.0, 0.8))
    plain = np.asarray(still(media, stills, Still(0.0, window)))
    drawn = np.asarray(still(media, stills, Still(0.0, window, faces, worst=1)))
    assert tuple(drawn[24 + 1, 60]) == (255, 255, 255)
    assert tuple(drawn[238, 250]) == (255, 48, 48)
    changed = np.argwhere((plain != drawn).any(axis=2))
    assert changed.min(axis=0).tolist() == [24, 32]
    assert (plain[30:90, 40:90] == drawn[30:90, 40:90]).all(), "the face itself is not covered"


def test_memory_for_large_stills_is_bounded(ramp: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """Windows beyond the limit keep their cell; their still is decoded when it is asked for."""
    monkeypatch.setattr(stills_module, "MAX_KEPT_BYTES", 3 * 64 * 48)
    media = open_media(ramp("bounded.mp4"), LIMITS)
    stills, windows = films_windows(media)
    assert [stills.still(window) is not None for window in windows] == [True, False]
    assert [stills.cell(window) is not None for window in windows] == [True, True]
    assert grey(still(media, stills, Still(1.5, windows[1]))) == pytest.approx(37, abs=0.6)
