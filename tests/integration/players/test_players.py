"""What FFmpeg's command and Chromium play is what the worker looks at, and every difference is explained."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import pytest_asyncio

from sentinel_worker.media.zygote import Zygote
from tests.acceptance.browser import missing_browser
from tests.fuzz.corpus import shared_corpus
from tests.integration.people.studio import REAL, TAMPERED
from tests.integration.players.answers import Answer
from tests.integration.players.asking import Asked, Everyone, everyone
from tests.integration.players.comparison import Difference, differences
from tests.integration.players.corpus import FILES, Materials, make_file
from tests.integration.players.explained import EXPLAINED
from tests.integration.players.figure import PROPERTY, Figure, summary
from tests.integration.players.outcome import figure_of, lines, not_needed, unexplained
from tests.integration.players.product import Analyzed
from tests.matrix import sampled

SAMPLE = (
    "two tracks, second flagged.mp4",
    "rare codecs first.mkv",
    "joined.webm",
    "edit: from between key frames.mp4",
    "transposed.mp4",
    "narrow pixels.webm",
    "animation that hides its default image.png",
    "piped.webm",
)
"""Each way in which a file can be shown otherwise than it seems, once."""
FILM = Answer(frames=10, width=64, height=48, seconds=1.0, shown={0.5: np.full((16, 16, 3), 100, np.uint8)})
SOUND = Answer(sound_seconds=1.0, hertz=440.0)


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def players(zygote: Zygote, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Everyone]:
    if (missing := missing_browser()) is not None:
        pytest.skip(missing)
    async with everyone(zygote, tmp_path_factory.mktemp("players")) as running:
        yield running


@pytest.mark.asyncio(loop_scope="session")
@pytest.mark.parametrize("name", sampled("players", FILES, SAMPLE))
async def test_a_file_is_looked_at_as_it_is_played(
    players: Everyone,
    name: str,
    clips: dict[str, Path],
    tmp_path_factory: pytest.TempPathFactory,
    record_property: Callable[[str, object], None],
) -> None:
    made = Materials(partial(shared_corpus, tmp_path_factory), lambda: (clips[REAL], clips[TAMPERED]))
    asked = await players.ask(name, make_file(name, players.folder, made), FILES[name].same)
    record_property(PROPERTY, figure_of(asked).packed())
    print(*lines(asked), sep="\n")  # noqa: T201
    assert not unexplained(asked)
    assert not not_needed(asked)


def test_explanations_are_about_files_that_exist() -> None:
    explained = [(name, one.player, kind) for one in EXPLAINED for name in one.files for kind in one.kinds]
    assert {name for name, _, _ in explained} <= FILES.keys()
    assert len(set(explained)) == len(explained)


@pytest.mark.parametrize(
    ("played", "kinds"),
    [
        (FILM, []),
        (Answer(error="no"), []),
        (replace(FILM, width=48, height=64), ["size"]),
        (replace(FILM, frames=9, seconds=0.8), ["frames", "length"]),
        (replace(FILM, frames=None, seconds=None), []),
        (replace(FILM, shown={0.5: np.full((16, 16, 3), 105, np.uint8)}), ["picture"]),
        (replace(FILM, shown={}), ["picture"]),
        (replace(FILM, sound_seconds=1.0), ["sound"]),
        (SOUND, ["pictures", "sound"]),
    ],
)
def test_a_difference_is_seen(played: Answer, kinds: list[str]) -> None:
    assert [one.kind for one in differences("FFmpeg", played, FILM, same=3.0)] == kinds


def test_a_difference_is_heard() -> None:
    for played in (replace(SOUND, hertz=880.0), replace(SOUND, sound_seconds=1.5)):
        assert len(list(differences("FFmpeg", played, SOUND, same=3.0))) == 1
    assert not list(differences("FFmpeg", SOUND, SOUND, same=3.0))


def test_a_file_that_only_the_worker_refuses() -> None:
    (refused,) = differences("FFmpeg", SOUND, Answer(error="media_unreadable"), same=3.0)
    assert (refused.kind, refused.detail) == ("refused", "media_unreadable")


def test_what_is_not_explained_and_what_needs_no_explanation() -> None:
    new = Difference("Chromium", "size", "1x1 but 2x2")
    asked = Asked("very wide pixels.mp4", Analyzed(FILM), FILM, FILM, (new, Difference("FFmpeg", "frames", "1 but 2")))
    assert unexplained(asked) == ["FFmpeg, frames: 1 but 2"]
    assert not_needed(asked) == ["FFmpeg, size", "Chromium, picture"]
    counted = figure_of(asked)
    assert counted == Figure(files=1, command=1, browser=1, played=1, analyzed=1, explained=1, unexplained=1)
    total = summary([(PROPERTY, counted.packed()), ("other", 3), (PROPERTY, counted.packed())])
    assert total is not None
    assert total.startswith("players: 2 files; FFmpeg's command plays 2, Chromium 2; ")
    assert summary([("other", 3)]) is None
