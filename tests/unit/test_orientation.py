"""A frame is shown as its display matrix and the shape of its pixels say."""

from __future__ import annotations

import struct
from fractions import Fraction

import pytest
import torch

from sentinel_worker.media.films.orientation import Orientation

ONE = 65536
# A picture of 3 x 2: a b c over d e f.
PICTURE = torch.tensor([[[1, 2, 3], [4, 5, 6]]], dtype=torch.uint8).expand(3, 2, 3)

# The linear part of each matrix, and the picture that it shows.
MATRICES = {
    "upright": ((1, 0, 0, 1), [[1, 2, 3], [4, 5, 6]]),
    "turned right": ((0, 1, -1, 0), [[4, 1], [5, 2], [6, 3]]),
    "turned left": ((0, -1, 1, 0), [[3, 6], [2, 5], [1, 4]]),
    "upside down": ((-1, 0, 0, -1), [[6, 5, 4], [3, 2, 1]]),
    "mirrored": ((-1, 0, 0, 1), [[3, 2, 1], [6, 5, 4]]),
    "flipped": ((1, 0, 0, -1), [[4, 5, 6], [1, 2, 3]]),
    "transposed": ((0, 1, 1, 0), [[1, 4], [2, 5], [3, 6]]),
    "transposed and turned": ((0, -1, -1, 0), [[6, 3], [5, 2], [4, 1]]),
}


def matrix(a: int, b: int, c: int, d: int) -> bytes:
    return struct.pack("=9i", a * ONE, b * ONE, 0, c * ONE, d * ONE, 0, 0, 0, 1 << 30)


@pytest.mark.parametrize("name", MATRICES)
def test_a_display_matrix_is_followed(name: str) -> None:
    numbers, shown = MATRICES[name]
    orientation = Orientation.of(matrix(*numbers), None)
    turned = orientation.turned(PICTURE)
    assert turned[0].tolist() == shown
    assert orientation.on_screen(3, 2) == (len(shown[0]), len(shown))
    assert orientation.is_mirrored == (name in ("mirrored", "flipped", "transposed", "transposed and turned"))


def test_a_pixel_that_is_not_square_is_stretched_and_never_shrunk() -> None:
    assert Orientation.of(None, Fraction(64, 45)).on_screen(720, 576) == (1024, 576)
    assert Orientation.of(None, Fraction(1, 2)).on_screen(100, 50) == (100, 100)
    turned = Orientation.of(matrix(0, 1, -1, 0), Fraction(2))
    assert turned.on_screen(100, 50) == (50, 200)
    assert turned.squared(50, 100) == (50, 200)


@pytest.mark.parametrize("aspect", [Fraction(0), Fraction(1, 1000), Fraction(1000)])
def test_an_impossible_shape_of_pixels_is_ignored(aspect: Fraction) -> None:
    assert Orientation.of(None, aspect).on_screen(64, 48) == (64, 48)


@pytest.mark.parametrize("damaged", [b"", bytes(35), bytes(36)])
def test_a_damaged_matrix_turns_nothing(damaged: bytes) -> None:
    assert Orientation.of(damaged, None).turned(PICTURE)[0].tolist() == [[1, 2, 3], [4, 5, 6]]
