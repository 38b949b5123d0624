"""Animations whose pictures are drawn over each other (GIF, animated PNG), composed as browsers do.

The screen begins transparent. Each picture is drawn at its place, and its place may be cleared or restored before the
next one is drawn.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from PIL import Image

from sentinel_worker.domain.machine_errors import out_of_memory

After = Literal["keep", "clear", "restore"]
_NOTHING = (0, 0, 0, 0)


@dataclass(frozen=True, slots=True)
class Layer:
    """One picture: its place on the screen, what becomes of the place after it, and the way to decode it.

    `over` draws its transparent pixels over what is there; otherwise they replace it. `decode` returns RGBA, and raises
    what a parser may raise if it is damaged.
    """

    left: int
    top: int
    width: int
    height: int
    after: After
    over: bool
    decode: Callable[[], Image.Image]


class Screen:
    """Shows the layers of an animation one after the other."""

    def __init__(self, width: int, height: int, layers: Sequence[Layer]) -> None:
        self._size = (width, height)
        self._layers = layers
        self._damaged: set[int] = set()
        self._clear(0)

    def show(self, number: int) -> Image.Image | None:
        """Return the screen, RGBA, with this layer as the latest, or None if it is damaged; cheap when numbers rise.

        An earlier layer that is damaged is left out.
        """
        if number != self._next - 1:
            begin = self._first_to_draw(number)
            if begin != self._next:
                self._clear(begin)
            while self._next <= number:
                self._draw(self._next)
                self._next += 1
        return None if number in self._damaged else self._canvas

    def _clear(self, begin: int) -> None:
        """Begin anew with this layer."""
        self._canvas = Image.new("RGBA", self._size, _NOTHING)
        self._hidden: Image.Image | None = None
        self._last: Layer | None = None
        self._next = begin

    def _first_to_draw(self, number: int) -> int:
        """Return the layer from which drawing gives this one: the next, or one that hides all before it."""
        for first in range(number, -1, -1):
            if first == self._next or self._hides_all(self._layers[first]):
                return first
        return 0

    def _hides_all(self, layer: Layer) -> bool:
        return not layer.over and layer.after != "restore" and _box(layer, self._size) == (0, 0, *self._size)

    def _draw(self, number: int) -> None:
        self._dispose()
        layer = self._last = self._layers[number]
        box = _box(layer, self._size)
        if layer.after == "restore":
            self._hidden = self._canvas.crop(box)
        if box[0] >= box[2] or box[1] >= box[3]:
            return
        try:
            picture = layer.decode()
        except Exception as error:  # any parser may fail
            if out_of_memory(error):
                raise
            self._damaged.add(number)
            return
        picture = picture.crop((0, 0, box[2] - box[0], box[3] - box[1]))
        if layer.over:
            picture = Image.alpha_composite(self._canvas.crop(box), picture)
        self._canvas.paste(picture, box)

    def _dispose(self) -> None:
        """Do with the place of the last layer what it asks for."""
        if self._last is None or self._last.after == "keep":
            return
        box = _box(self._last, self._size)
        if self._last.after == "clear":
            self._canvas.paste(_NOTHING, box)
        elif self._hidden is not None:
            self._canvas.paste(self._hidden, box)


def _box(layer: Layer, size: tuple[int, int]) -> tuple[int, int, int, int]:
    """Return the part of the layer's place that lies on the screen."""
    return layer.left, layer.top, min(layer.left + layer.width, size[0]), min(layer.top + layer.height, size[1])
