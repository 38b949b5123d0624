"""The committed checkpoints for pictures and sound, measured on files whose sources were not used in training."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from examples import samples
from sentinel_worker.detectors.registry import DEMO_AUDIO, DEMO_IMAGE, find_detector
from sentinel_worker.domain.errors import Fatal
from sentinel_worker.inference.examiner import check_polarities, open_examiner
from tests.lazy import lazy
from tests.matrix import sampled

if TYPE_CHECKING:
    from examples import measuring, training
    from examples.demo_audio_checkpoint import evaluate as of_sounds
    from examples.demo_image_checkpoint import evaluate as of_pictures
else:  # their sources take seconds to import
    measuring = lazy("examples.measuring")
    training = lazy("examples.training")
    of_sounds = lazy("examples.demo_audio_checkpoint.evaluate")
    of_pictures = lazy("examples.demo_image_checkpoint.evaluate")

KEYS = (DEMO_IMAGE, DEMO_AUDIO)
SEED = 300
SAMPLE, ALL = 18, 150
"""Pairs of a clean and a tampered file. Both sizes have equally many of each kind of tampering."""
MAX_BYTES = 1_000_000

Samples = Sequence[tuple[Path, samples.Expected]]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Samples]:
    """The demo's samples by the detector that answers them."""
    folder = tmp_path_factory.mktemp("samples")
    return {DEMO_IMAGE: samples.make_pictures(folder), DEMO_AUDIO: samples.make_sounds(folder)}


@pytest.mark.timeout(600)  # up to 55 s of one core for all of them: files, and a child that decodes each
@pytest.mark.parametrize("pairs", sampled("detectors", [SAMPLE, ALL], [SAMPLE]))
@pytest.mark.parametrize("key", KEYS)
async def test_at_least_nine_of_ten_unseen_files_are_right(key: str, pairs: int) -> None:
    evaluate = of_pictures.evaluate if key == DEMO_IMAGE else of_sounds.evaluate
    answers = await evaluate(find_detector(key), SEED, pairs, processes=1 if pairs == SAMPLE else 2)
    print(measuring.table(answers))  # noqa: T201  # the measurement is the point of the test
    assert len(answers) == 2 * pairs
    assert measuring.accuracy(answers) >= 0.9, measuring.table(answers)
    assert measuring.area_under_curve(answers) >= 0.95, measuring.table(answers)


@pytest.mark.parametrize("key", KEYS)
async def test_known_files_show_its_polarity_and_contradict_the_opposite(
    key: str, made: dict[str, Samples], tmp_path: Path
) -> None:
    fakes = tuple(path for path, expected in made[key] if expected == "fake")
    reals = tuple(path for path, expected in made[key] if expected == "real")
    spec = find_detector(key)
    async with open_examiner([replace(spec, known_fake=fakes, known_real=reals)], tmp_path, device="cpu") as examiner:
        await check_polarities(examiner)
    async with open_examiner([replace(spec, known_fake=reals, known_real=fakes)], tmp_path, device="cpu") as examiner:
        with pytest.raises(Fatal) as refused:
            await check_polarities(examiner)
    assert refused.value.code == "label_polarity_inverted"


@pytest.mark.parametrize("key", KEYS)
def test_samples_are_the_same_bytes_every_time(key: str, made: dict[str, Samples], tmp_path: Path) -> None:
    again = samples.make_pictures(tmp_path) if key == DEMO_IMAGE else samples.make_sounds(tmp_path)
    for (first, _), (second, _) in zip(made[key], again, strict=True):
        assert first.read_bytes() == second.read_bytes(), first.name


@pytest.mark.parametrize("key", KEYS)
def test_the_files_are_small_and_the_card_is_theirs_and_honest(key: str) -> None:
    spec = find_detector(key)
    assert spec.folder is not None
    assert sum(path.stat().st_size for path in spec.folder.iterdir()) <= MAX_BYTES
    assert spec.notice is not None
    card = (spec.folder / "README.md").read_text()
    assert spec.notice in card
    assert f"`{training.digest(spec.folder)}`" in card  # the figures are those of these weights
    assert json.loads((spec.folder / "config.json").read_text())["id2label"] == {"0": "real", "1": "fake"}
