"""Differences between what a player makes of a file and what the worker makes of it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Literal

from tests.integration.players.answers import Answer, distance

Player = Literal["FFmpeg", "Chromium", "the worker"]
Kind = Literal[
    "refused",
    "not played",
    "damage",
    "pictures",
    "sound",
    "size",
    "frames",
    "length",
    "picture",
    "sound length",
    "pitch",
]
"""`refused`: played, but not by the worker. `not played`: the other way round, by no player. `damage`: the worker could
not decode a part. `pictures`, `sound`: only one of the two has them. `picture`: another one at the same moment."""

_PIXELS: Final = 1
_SECONDS: Final = 0.12
_HERTZ_SHARE: Final = 0.05


@dataclass(frozen=True, slots=True, order=True)
class Difference:
    """How a player differs from the worker; `detail` has what each says."""

    player: Player
    kind: Kind
    detail: str

    @property
    def place(self) -> tuple[Player, Kind]:
        """The key of its explanation."""
        return self.player, self.kind


def differences(player: Player, played: Answer, worker: Answer, *, same: float) -> Iterator[Difference]:
    """Compare a player's answer with the worker's. A player that plays nothing differs in nothing.

    `same` is the largest mean difference of two pictures that are the same.
    """
    if not played.plays:
        return
    if not worker.plays:
        yield Difference(player, "refused", worker.error)
        return
    if played.has_pictures != worker.has_pictures:
        yield Difference(player, "pictures", f"{played.has_pictures} but {worker.has_pictures}")
    if played.has_sound != worker.has_sound:
        yield Difference(player, "sound", f"{played.has_sound} but {worker.has_sound}")
    if played.has_pictures and worker.has_pictures:
        yield from _of_pictures(player, played, worker, same)
    if played.has_sound and worker.has_sound:
        yield from _of_sound(player, played, worker)


def wrong_length(player: Player, played: Answer, worker: Answer, begin_seconds: float) -> Iterator[Difference]:
    """Compare the length that a player shows for a file with pictures, which begin after `begin_seconds`."""
    if played.file_seconds is None or not (played.has_pictures and worker.has_pictures):
        return
    ends = max(begin_seconds + (worker.seconds or 0.0), worker.sound_seconds)
    if abs(played.file_seconds - ends) > _SECONDS:
        yield Difference(player, "length", f"{played.file_seconds:.2f} s but {ends:.2f} s")


def _of_pictures(player: Player, played: Answer, worker: Answer, same: float) -> Iterator[Difference]:
    if abs(played.width - worker.width) > _PIXELS or abs(played.height - worker.height) > _PIXELS:
        yield Difference(player, "size", f"{played.width}x{played.height} but {worker.width}x{worker.height}")
    if played.frames is not None and played.frames != worker.frames:
        yield Difference(player, "frames", f"{played.frames} but {worker.frames}")
    if played.seconds is not None and worker.seconds is not None and abs(played.seconds - worker.seconds) > _SECONDS:
        yield Difference(player, "length", f"{played.seconds:.2f} s but {worker.seconds:.2f} s")
    apart = {
        moment: distance(picture, played.shown[moment]) if moment in played.shown else None
        for moment, picture in worker.shown.items()
    }
    if any(one is None or one > same for one in apart.values()):
        told = ", ".join(f"{moment:.2f} s: {'none' if one is None else f'{one:.1f}'}" for moment, one in apart.items())
        yield Difference(player, "picture", told)


def _of_sound(player: Player, played: Answer, worker: Answer) -> Iterator[Difference]:
    if abs(played.sound_seconds - worker.sound_seconds) > _SECONDS:
        yield Difference(player, "sound length", f"{played.sound_seconds:.2f} s but {worker.sound_seconds:.2f} s")
    one, other = played.hertz, worker.hertz
    if one is not None and other is not None and abs(one - other) > _HERTZ_SHARE * other:
        yield Difference(player, "pitch", f"{one:.0f} Hz but {other:.0f} Hz")
