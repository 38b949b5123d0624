"""A labelled set for `sentinel-worker evaluate`: clips of the demo checkpoint's generator, and their manifest.

`python -m examples.demo_checkpoint.manifest [--pairs N] [--seed S] FOLDER` writes N clean and N tampered clips
and FOLDER/MANIFEST.csv. Both clips of a pair show the same footage, so they share a group.
"""

from __future__ import annotations

import argparse
import csv
from functools import partial
from pathlib import Path

from examples.demo_checkpoint.clips import make_pair, mapping
from examples.demo_checkpoint.sources import OPENCV_DOC, Sources, Split

MANIFEST = "MANIFEST.csv"


def write_set(
    folder: Path,
    pairs: int,
    seed: int,
    *,
    split: Split = "test",
    processes: int = 2,
    opencv_doc: Path = OPENCV_DOC,
) -> Path:
    """Write the clips and the manifest to `folder`, and return the manifest's path.

    The same arguments give the same bytes, regardless of `processes`. The split `test` has no source that the
    demo checkpoint was trained on.
    """
    folder.mkdir(parents=True, exist_ok=True)
    make = partial(make_pair, seed, sources=Sources(split, opencv_doc), directory=folder)
    with mapping(processes) as map_pairs:
        made = list(map_pairs(make, range(pairs)))
    with (folder / MANIFEST).open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["path", "label", "group"])
        for index, pair in enumerate(made):
            writer.writerow([pair.clean.name, "real", f"footage-{index:05d}"])
            writer.writerow([pair.tampered.name, "fake", f"footage-{index:05d}"])
    return folder / MANIFEST


def main() -> None:
    """Parse the arguments, write the set, and print its path."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
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
        )
    )


if __name__ == "__main__":
    main()
