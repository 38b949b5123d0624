"""Every file that the players are asked about, by its name."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.fuzz.corpus import NAMES as FORMATS
from tests.integration.formats.sounds import SOUNDS as SOUND_FORMATS
from tests.integration.formats.sounds import sound
from tests.integration.people.cases import CASES
from tests.integration.people.studio import Studio
from tests.integration.players.made import Make
from tests.integration.players.odd_pictures import PICTURES
from tests.integration.players.odd_shapes import SHAPES
from tests.integration.players.odd_sounds import SOUNDS
from tests.integration.players.odd_times import TIMES
from tests.integration.players.odd_tracks import TRACKS

_ODD: Final = TRACKS | TIMES | SHAPES | PICTURES | SOUNDS
_SAME: Final = 3.0
# The test picture's colours lie outside what YUV can hold, and each player clips them in its own way.
_SAME_OF_FORMATS: Final = 7.0
_SAME_OF_PEOPLE: Final = 4.0
"""Real footage, whose edges a JPEG softens."""
_TOO_LARGE: Final = frozenset({"photo of 108 megapixels", "AVIF of 17,000 x 17,000 pixels"})
"""Pictures that would cost a browser more than all others together."""


@dataclass(frozen=True, slots=True)
class Materials:
    """What files are made from: the fuzz corpus, and the demo's real and tampered clip; made when they are needed."""

    formats: Callable[[], Mapping[str, bytes]]
    clips: Callable[[], tuple[Path, Path]]


@dataclass(frozen=True, slots=True)
class File:
    """How a file is made at a path, and how far apart two pictures of one moment may be.

    That is the mean difference of their pixels, 0 to 255. A frame later, the odd films differ by 5.
    """

    make: Callable[[Path, Materials], object]
    same: float = _SAME


def _of_format(name: str) -> File:
    return File(lambda path, made: path.write_bytes(made.formats()[name]), _SAME_OF_FORMATS)


def _of_sound(name: str) -> File:
    return File(lambda path, _: shutil.move(sound(name, path.parent), path))


def _of_people(name: str) -> File:
    def make(path: Path, made: Materials) -> None:
        (folder := path.with_name("studio")).mkdir()
        shutil.move(CASES[name].make(Studio(*made.clips(), folder)), path)
        shutil.rmtree(folder)

    return File(make, _SAME_OF_PEOPLE)


def _odd(make: Make) -> File:
    return File(lambda path, _: make(path))


FILES: Final[Mapping[str, File]] = {
    **{f"format {name}": _of_format(name) for name in FORMATS},
    **{f"sound {name}": _of_sound(name) for name in SOUND_FORMATS},
    **{name: _of_people(name) for name in CASES if name not in _TOO_LARGE},
    **{name: _odd(make) for name, make in _ODD.items()},
}
"""Every container and codec, files as people make them, and odd files of each kind."""


def make_file(name: str, folder: Path, made: Materials) -> Path:
    """Make a file in a folder."""
    path = folder / name.replace("/", "-")
    FILES[name].make(path, made)
    return path
