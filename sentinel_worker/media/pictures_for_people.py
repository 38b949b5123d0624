"""Pictures for people, as WebP: stills with outlined faces, and the filmstrip of a film's windows.

Runs in a decoding child. The file's pictures are decoded and encoded again, so that only the pixels of an upload reach
a reader of the derived file.
"""

from __future__ import annotations

import io
from typing import Final

from PIL import Image, ImageDraw

from sentinel_worker.domain.derived import STRIP_COLUMNS, Filmstrip, Picture, Still
from sentinel_worker.domain.errors import Permanent
from sentinel_worker.domain.media_facts import Face
from sentinel_worker.media.opened_media import OpenedMedia
from sentinel_worker.media.stills import CELL_PIXELS, Stills, small_copy

QUALITY: Final = 80
_EFFORT: Final = 2
"""WebP's `method`: 4, the default, takes twice the time for files that are 5 % smaller."""
_EMPTY: Final = (32, 32, 32)
"""Colour of a cell whose window could not be decoded."""
_OUTLINE, _WORST_OUTLINE, _AROUND = (255, 255, 255), (255, 48, 48), (0, 0, 0)


def webp(media: OpenedMedia, stills: Stills, wanted: Picture) -> bytes:
    """Return `wanted` as WebP; raises `Permanent('media_unreadable')` if there is no frame to show."""
    picture = still(media, stills, wanted) if isinstance(wanted, Still) else filmstrip(stills, wanted)
    file = io.BytesIO()
    picture.save(file, format="WEBP", quality=QUALITY, method=_EFFORT)
    return file.getvalue()


def still(media: OpenedMedia, stills: Stills, wanted: Still) -> Image.Image:
    """Return one frame. A damaged frame is replaced by the first one."""
    kept = stills.still(wanted.window) if wanted.window is not None else None
    picture = kept.copy() if kept is not None else _decoded(media, wanted.at_seconds)
    for number, face in enumerate(wanted.faces):
        _outline(picture, face, _WORST_OUTLINE if number == wanted.worst else _OUTLINE)
    return picture


def filmstrip(stills: Stills, wanted: Filmstrip) -> Image.Image:
    """Return the cells in rows of `STRIP_COLUMNS`, or in one row of fewer."""
    cells = [stills.cell(window) for window in wanted.shown]
    known = [cell for cell in cells if cell is not None]
    if not known:
        raise _unreadable()
    width, height = known[0].size
    columns = min(len(cells), STRIP_COLUMNS)
    strip = Image.new("RGB", (columns * width, -(-len(cells) // columns) * height), _EMPTY)
    for number, cell in enumerate(cells):
        if cell is not None:
            row, column = divmod(number, columns)
            fitting = cell if cell.size == (width, height) else cell.resize((width, height))
            strip.paste(fitting, (column * width, row * height))
    return strip


def warm_up() -> None:
    """Load what Pillow imports for the first picture that is drawn on and saved."""
    picture = Image.new("RGB", (CELL_PIXELS, CELL_PIXELS))
    _outline(picture, Face(0.2, 0.2, 0.8, 0.8, 1.0), _OUTLINE)
    picture.save(io.BytesIO(), format="WEBP", quality=QUALITY, method=_EFFORT)


def _decoded(media: OpenedMedia, seconds: float) -> Image.Image:
    reader = media.frames()
    shown = reader.at(seconds) or reader.at(0.0)
    if shown is None:
        raise _unreadable()
    return small_copy(media, shown.pixels)


def _outline(picture: Image.Image, face: Face, colour: tuple[int, int, int]) -> None:
    """Draw the box of `face`, with a dark line on both sides that is seen on any picture."""
    last_column, last_row = picture.width - 1, picture.height - 1
    left, right = round(face.left * last_column), round(face.right * last_column)
    top, bottom = round(face.top * last_row), round(face.bottom * last_row)
    draw = ImageDraw.Draw(picture)
    for inset, line in ((0, _AROUND), (1, colour), (2, colour), (3, _AROUND)):
        if right - inset > left + inset and bottom - inset > top + inset:
            draw.rectangle((left + inset, top + inset, right - inset, bottom - inset), outline=line)


def _unreadable() -> Permanent:
    return Permanent("media_unreadable", "The video's pictures are damaged and cannot be decoded.")
