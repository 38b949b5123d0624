"""How the checkpoints for pictures and sound are made: repeatable, and nothing but the tampering parts the classes."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from itertools import combinations
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

import av
import pytest
import torch
from PIL import Image

from tests.lazy import lazy

if TYPE_CHECKING:
    from examples import training
    from examples.demo_audio_checkpoint import files as sound_files
    from examples.demo_audio_checkpoint import music, voices
    from examples.demo_audio_checkpoint import train as of_sounds
    from examples.demo_image_checkpoint import files as picture_files
    from examples.demo_image_checkpoint import sources
    from examples.demo_image_checkpoint import train as of_pictures
else:  # their sources take seconds to import
    training = lazy("examples.training")
    sound_files = lazy("examples.demo_audio_checkpoint.files")
    music = lazy("examples.demo_audio_checkpoint.music")
    voices = lazy("examples.demo_audio_checkpoint.voices")
    of_sounds = lazy("examples.demo_audio_checkpoint.train")
    picture_files = lazy("examples.demo_image_checkpoint.files")
    sources = lazy("examples.demo_image_checkpoint.sources")
    of_pictures = lazy("examples.demo_image_checkpoint.train")

PAIRS = 6
"""Each kind of tampering twice."""


@pytest.fixture
def torch_as_it_was() -> Iterator[None]:
    """Undo what a training sets for the whole process."""
    threads, deterministic = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    yield
    torch.set_num_threads(threads)
    torch.use_deterministic_algorithms(deterministic)


def train(script: ModuleType, folder: Path, seed: int, monkeypatch: pytest.MonkeyPatch) -> str:
    """Run a training script on a few files for a few steps, and return the digest of the weights."""
    few = ["--pairs", "3", "--validation-pairs", "1", "--steps", "3", "--processes", "1", "--seed", str(seed)]
    monkeypatch.setattr(sys, "argv", ["train", str(folder), *few])
    script.main()
    return training.digest(folder)


@pytest.mark.usefixtures("torch_as_it_was")
@pytest.mark.parametrize("script", [of_pictures, of_sounds], ids=["pictures", "sounds"])
def test_the_same_training_gives_the_same_weights(
    script: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second, other = (
        train(script, tmp_path / name, seed, monkeypatch) for name, seed in (("first", 0), ("second", 0), ("other", 1))
    )
    assert first == second != other


def test_both_pictures_of_a_pair_are_saved_in_the_same_way(tmp_path: Path) -> None:
    for index in range(PAIRS):
        pair = picture_files.make_pair(300, index, sources.PictureSources("test"), tmp_path)
        with Image.open(pair.clean) as clean, Image.open(pair.tampered) as tampered:
            assert (clean.format, clean.mode, clean.size) == (tampered.format, tampered.mode, tampered.size)
            assert clean.info.keys() == tampered.info.keys()
            if clean.format == "JPEG":
                assert getattr(clean, "quantization", None) == getattr(tampered, "quantization", None) is not None
            assert clean.tobytes() != tampered.tobytes()


def test_both_sounds_of_a_pair_are_saved_in_the_same_way(tmp_path: Path) -> None:
    for index in range(PAIRS):
        pair = sound_files.make_pair(300, index, "test", tmp_path)
        assert described(pair.clean) == described(pair.tampered)
        assert pair.clean.read_bytes() != pair.tampered.read_bytes()


def described(path: Path) -> tuple[object, ...]:
    """Return a sound file's container, codec, rate and length in samples."""
    with av.open(str(path)) as container:
        stream = container.streams.audio[0]
        count = sum(frame.samples for frame in container.decode(stream))
        return container.format.name, stream.codec_context.name, stream.rate, stream.layout.name, count


def test_the_same_seed_makes_the_same_files_and_another_one_does_not(tmp_path: Path) -> None:
    made: dict[tuple[str, int], list[bytes]] = {}
    for name, seed in (("first", 7), ("second", 7), ("other", 8)):
        folder = tmp_path / name
        folder.mkdir()
        pictures = picture_files.make_pair(seed, 0, sources.PictureSources("test"), folder)
        sounds = sound_files.make_pair(seed, 0, "test", folder)
        made[name, seed] = [path.read_bytes() for path in sorted(folder.iterdir())]
        assert len({pictures.clean, pictures.tampered, sounds.clean, sounds.tampered}) == 4
        shutil.rmtree(folder)
    assert made["first", 7] == made["second", 7] != made["other", 8]


def test_no_source_is_in_two_splits() -> None:
    for table in (sources.STILLS, sources.REELS, voices.VOICES, voices.SENTENCES, music.INSTRUMENTS):
        assert set(table) == {"train", "validation", "test"}
        for one, another in combinations(table.values(), 2):
            assert not set(one) & set(another)
