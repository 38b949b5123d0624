"""Every file that the players are asked about, by its name."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.fuzz import corpus as fuzz
from tests.integration.formats.sounds import SOUNDS as SOUND_FORMATS
from tests.integration.formats.sounds import sound
from tests.integration.players.made import Corpus, Make
from tests.integration.players.odd_pictures import PICTURES
from tests.integration.players.odd_shapes import SHAPES
from tests.integration.players.odd_sounds import SOUNDS
from tests.integration.players.odd_times import TIMES
from tests.integration.players.odd_tracks import TRACKS

_SAME: Final = 3.0
# The test picture's colours lie outside what YUV can hold, and each player clips them in its own way.
_SAME_OF_FORMATS: Final = 7.0


@dataclass(frozen=True, slots=True)
class File:
    """How a file is made (None: with all those of the fuzz corpus), and how far apart two pictures of one moment may
    be: the mean difference of their pixels, 0 to 255. A frame later, the odd films differ by 5."""

    make: Make | None
    same: float = _SAME


def _files(makers: Corpus) -> dict[str, File]:
    return {name: File(make) for name, make in makers.items()}


def _sound(name: str) -> Make:
    return lambda path: shutil.move(sound(name, path.parent), path)


FILES: Final[Mapping[str, File]] = {
    **{f"format {name}": File(None, _SAME_OF_FORMATS) for name in fuzz.names()},
    **{f"sound {name}": File(_sound(name)) for name in SOUND_FORMATS},
    **_files(TRACKS),
    **_files(TIMES),
    **_files(SHAPES),
    **_files(PICTURES),
    **_files(SOUNDS),
}
"""Every container and codec, and odd files of each kind."""


def make_file(name: str, folder: Path, formats: Callable[[], Mapping[str, bytes]]) -> Path:
    """Make a file in a folder; `formats` gives the fuzz corpus."""
    path = folder / name
    make = FILES[name].make
    if make is None:
        path.write_bytes(formats()[name.removeprefix("format ")])
    else:
        make(path)
    return path
