"""The labelled sets of the demo checkpoints' generators."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from examples.demo_checkpoint.manifest import write_set
from sentinel_worker.detectors.registry import Task
from sentinel_worker.evaluation.manifest import read_manifest


@pytest.fixture(scope="module")
def manifest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_set(tmp_path_factory.mktemp("set"), pairs=3, seed=7, processes=1)


def test_both_clips_of_the_same_footage_share_a_group(manifest: Path) -> None:
    entries = read_manifest(manifest)
    found = [(entry.name, entry.is_fake, entry.group) for entry in entries]
    assert found == [
        (f"{index:05d}-{name}.mp4", name == "tampered", f"footage-{index:05d}")
        for index in range(3)
        for name in ("clean", "tampered")
    ]
    contents = {entry.path.read_bytes() for entry in entries}
    assert len(contents) == len(entries)


@pytest.mark.parametrize(("kind", "group"), [("image", "picture"), ("audio", "sound")])
def test_pictures_and_sounds_have_a_set_too(kind: Task, group: str, tmp_path: Path) -> None:
    entries = read_manifest(write_set(tmp_path, pairs=2, seed=7, processes=1, kind=kind))
    assert [(entry.is_fake, entry.group) for entry in entries] == [
        (is_fake, f"{group}-{index:05d}") for index in range(2) for is_fake in (False, True)
    ]
    assert len({entry.path.read_bytes() for entry in entries}) == len(entries)


def test_paths_are_relative_so_that_the_folder_can_be_moved(manifest: Path) -> None:
    with manifest.open(encoding="utf-8", newline="") as file:
        assert all(Path(row["path"]).name == row["path"] for row in csv.DictReader(file))


def test_the_same_seed_gives_the_same_bytes_and_another_one_does_not(manifest: Path, tmp_path: Path) -> None:
    again = write_set(tmp_path / "again", pairs=1, seed=7, processes=2)
    other = write_set(tmp_path / "other", pairs=1, seed=8, processes=1)
    name = "00000-tampered.mp4"
    first = (manifest.parent / name).read_bytes()
    assert (again.parent / name).read_bytes() == first
    assert (other.parent / name).read_bytes() != first
