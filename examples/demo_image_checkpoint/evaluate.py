"""Measure a checkpoint through the production path: picture files, decoded in a child, scored and judged.

`python -m examples.demo_image_checkpoint.evaluate [--folder F] [--seed N] [--pairs N]` prints a table.
"""

from __future__ import annotations

import argparse
import asyncio
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

from examples.demo_checkpoint.clips import mapping
from examples.demo_checkpoint.sources import Split
from examples.demo_image_checkpoint.files import PicturePair, make_pair
from examples.demo_image_checkpoint.sources import PictureSources
from examples.measuring import CLEAN, Answer, Labelled, examine_all, table
from sentinel_worker.detectors.registry import DEMO_IMAGE, DetectorSpec, find_detector

_QUALITIES = (60, 80, 100)


async def evaluate(
    spec: DetectorSpec, seed: int, pairs: int, *, split: Split = "test", processes: int = 2
) -> list[Answer]:
    """Generate `pairs` clean and as many tampered pictures of a split, and judge each."""
    with tempfile.TemporaryDirectory() as name:
        make = partial(make_pair, seed, sources=PictureSources(split), directory=Path(name))
        with mapping(processes) as map_pairs:
            made = list(map_pairs(make, range(pairs)))
        return await examine_all(spec, (file for pair in made for file in _labelled(pair)))


def _labelled(pair: PicturePair) -> Iterator[Labelled]:
    width, height = pair.size
    ending = pair.clean.suffix[1:]
    best = next(quality for quality in _QUALITIES if pair.quality <= quality)
    traits = {
        "saving": ending if ending != "jpg" else f"jpg <= {best}",
        "size": f"{width} x {height}",
    }
    yield Labelled(pair.clean, CLEAN, traits)
    yield Labelled(pair.tampered, pair.kind, traits)


def main() -> None:
    """Parse the arguments, measure, and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--split", choices=("train", "validation", "test"), default="test")
    parser.add_argument("--seed", type=int, default=300)
    parser.add_argument("--pairs", type=int, default=150)
    parser.add_argument("--processes", type=int, default=2)
    options = parser.parse_args()
    spec = find_detector(DEMO_IMAGE)
    if options.folder is not None:
        spec = replace(spec, folder=options.folder)
    print(
        table(
            asyncio.run(evaluate(spec, options.seed, options.pairs, split=options.split, processes=options.processes))
        )
    )


if __name__ == "__main__":
    main()
