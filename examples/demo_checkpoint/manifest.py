"""A labelled set for `sentinel-worker evaluate`: files of a demo checkpoint's generator, and their manifest.

`python -m examples.demo_checkpoint.manifest [--kind K] [--pairs N] [--seed S] FOLDER` writes N clean and N tampered
files (K is video, image or audio) and FOLDER/MANIFEST.csv. Both files of a pair have the same origin, so they share a
group.
"""

from __future__ import annotations

import argparse
import csv
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Protocol

from examples.demo_audio_checkpoint import files as sounds
from examples.demo_checkpoint import clips
from examples.demo_checkpoint.sources import OPENCV_DOC, Sources, Split
from examples.demo_image_checkpoint import files as pictures
from examples.demo_image_checkpoint.sources import PictureSources
from sentinel_worker.detectors.registry import Task

MANIFEST = "MANIFEST.csv"
GROUPS: dict[Task, str] = {"video": "footage", "image": "picture", "audio": "sound"}


class PairOfFiles(Protocol):
    """The same clip, picture or sound, clean and tampered."""

    @property
    def clean(self) -> Path: ...

    @property
    def tampered(self) -> Path: ...


def write_set(
    folder: Path,
    pairs: int,
    seed: int,
    *,
    split: Split = "test",
    processes: int = 2,
    opencv_doc: Path = OPENCV_DOC,
    kind: Task = "video",
) -> Path:
    """Write the files and the manifest to `folder`, and return the manifest's path.

    The same arguments give the same bytes, regardless of `processes`. The split `test` has no source that the
    demo checkpoint of this kind was trained on.
    """
    folder.mkdir(parents=True, exist_ok=True)
    make = _maker(kind, seed, split, folder, opencv_doc)
    with clips.mapping(processes) as map_pairs:
        made = list(map_pairs(make, range(pairs)))
    with (folder / MANIFEST).open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["path", "label", "group"])
        for index, pair in enumerate(made):
            writer.writerow([pair.clean.name, "real", f"{GROUPS[kind]}-{index:05d}"])
            writer.writerow([pair.tampered.name, "fake", f"{GROUPS[kind]}-{index:05d}"])
    return folder / MANIFEST


def _maker(kind: Task, seed: int, split: Split, folder: Path, opencv_doc: Path) -> Callable[[int], PairOfFiles]:
    """Return a function that makes the pair of a number."""
    if kind == "image":
        return partial(pictures.make_pair, seed, sources=PictureSources(split), directory=folder)
    if kind == "audio":
        return partial(sounds.make_pair, seed, split=split, directory=folder)
    return partial(clips.make_pair, seed, sources=Sources(split, opencv_doc), directory=folder)


def main() -> None:
    """Parse the arguments, write the set, and print its path."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--kind", choices=tuple(GROUPS), default="video")
    parser.add_argument("--pairs", type=int, default=100)
    parser.add_argument("--seed", type=int, default=300)
    parser.add_argument("--split", choices=("train", "validation", "test"), default="test")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--opencv-doc", type=Path, default=OPENCV_DOC)
    options = parser.parse_args()
    print(
        write_set(
            options.folder,
            options.pairs,
            options.seed,
            split=options.split,
            processes=options.processes,
            opencv_doc=options.opencv_doc,
            kind=options.kind,
        )
    )


if __name__ == "__main__":
    main()
