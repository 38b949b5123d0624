"""Key packets that are tried before they are relied on: containers mark others as keys, too.

Decoding that begins at such a packet gives no picture, or a grey one that nobody who plays the film sees.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from sentinel_worker.media.films.film_times import FilmTimes
from sentinel_worker.media.films.numbered_packets import NumberedPackets

_TRIED_AT_ONCE: Final = 8
"""Key packets in a row that are tried; if none is one, decoding begins at the last that was, or at the first packet."""


class TriedKeys:
    """The packets of a film from which decoding can begin. `open_packets` returns a reader for the trials."""

    def __init__(self, open_packets: Callable[[], NumberedPackets], film: FilmTimes, *, intra_only: bool) -> None:
        self._open_packets = open_packets
        self._packets: NumberedPackets | None = None
        self._film = film
        self._intra_only = intra_only
        self._found: dict[int, bool] = {int(film.keys[0]): True}

    def before(self, number: int) -> int:
        """The packet from which packet `number` can be decoded."""
        keys = self._film.keys_before(number)
        if self._intra_only:
            return int(keys[-1])
        for key in reversed(keys[-_TRIED_AT_ONCE:].tolist()):
            if self._is_key(key):
                return int(key)
        return max(key for key, is_key in self._found.items() if is_key and key <= number)

    def _is_key(self, key: int) -> bool:
        if key not in self._found:
            self._packets = self._packets or self._open_packets()
            self._found[key] = self._packets.begins_at(key)
        return self._found[key]
