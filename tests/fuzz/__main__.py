"""Fuzz the child path: `python -m tests.fuzz --files 10000`, or `--seconds 600`. Exits with 1 if anything broke.

`--seed` repeats a run, `--only N` one of its files; `--keep FILE` writes that file.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import random
import sys
import tempfile
from pathlib import Path

from tests.fuzz.own_tmp import PLACES, have_own_tmp


def main() -> int:
    """Run, print the counts, and return the exit status."""
    asked = _arguments()
    watched = PLACES if have_own_tmp() else ()
    # Imported after the new mounts, which need a process with one thread.
    from tests.fuzz.campaign import run
    from tests.fuzz.corpus import make_corpus
    from tests.fuzz.mutations import mutated

    with tempfile.TemporaryDirectory() as made, tempfile.TemporaryDirectory() as folder:
        corpus = make_corpus(Path(made))
        _say(f"--seed {asked.seed}, {len(corpus)} files to mutate")
        if not watched:
            _say("/tmp is shared with others here: only the folder of the run is watched")
        numbers = range(asked.files) if asked.only is None else range(asked.only, asked.only + 1)
        if asked.keep:
            asked.keep.write_bytes(mutated(corpus, asked.seed, numbers[0])[1])
        endless = itertools.count() if asked.seconds and asked.only is None else numbers
        limit = asked.seconds or float("inf")
        campaign = asyncio.run(
            run(
                corpus,
                Path(folder),
                endless,
                seed=asked.seed,
                watched=watched,
                at_once=asked.at_once,
                limit_seconds=limit,
                say=_say,
            )
        )
    _say("\n".join(campaign.lines()))
    return 1 if campaign.faults else 0


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--files", type=int, default=1000, help="number of files (default %(default)s)")
    parser.add_argument("--seconds", type=float, help="run for this long instead")
    parser.add_argument("--seed", type=int, default=random.randrange(10**6), help="repeat a run")
    parser.add_argument("--only", type=int, help="only the file of this number")
    parser.add_argument("--keep", type=Path, help="write the first mutated file here")
    parser.add_argument("--at-once", type=int, default=2, help="children at a time (default %(default)s)")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
