"""`python -m tests.integration.people`: make every file, and print what was answered beside what is right.

`--files FOLDER` asks instead about the files of `handed.py` that are in the folder. Exits with 1 if an answer is not
the right one, and with 2 if the folder has none of these files.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from examples import samples
from tests.integration.people.answers import open_answerer
from tests.integration.people.cases import CASES
from tests.integration.people.expectations import Facts
from tests.integration.people.handed import HANDED
from tests.integration.people.page import HEADING, Line, summary
from tests.integration.people.studio import REAL, TAMPERED, Studio


async def main(argv: Sequence[str]) -> int:
    """Print the table and return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tests.integration.people")
    parser.add_argument("--files", type=Path, metavar="FOLDER", help="ask about the files that were handed over")
    files: Path | None = parser.parse_args(argv).files
    if files is not None and not any(_handed(files)):
        parser.error(f"{files} has none of the files that tests/integration/people/handed.py lists")
    with tempfile.TemporaryDirectory(prefix="sentinel-people-") as name:
        folder = Path(name)
        await asyncio.to_thread(samples.make, folder / "clips")
        return await _print(folder, _made(folder) if files is None else _handed(files))


def _handed(folder: Path) -> Iterator[tuple[str, Path, Facts]]:
    for name, expected in HANDED.items():
        if (folder / name).is_file():
            yield name, folder / name, expected


def _made(folder: Path) -> Iterator[tuple[str, Path, Facts]]:
    for number, (name, case) in enumerate(CASES.items()):
        own = folder / f"case-{number}"
        own.mkdir()
        studio = Studio(folder / "clips" / REAL, folder / "clips" / TAMPERED, own)
        yield name, case.make(studio), case.expected


async def _print(folder: Path, files: Iterator[tuple[str, Path, Facts]]) -> int:
    work = folder / "work"
    work.mkdir()
    lines = []
    sys.stdout.write(f"{HEADING}\n")
    async with open_answerer(folder / "clips" / REAL, work) as answerer:
        for name, path, expected in files:
            lines.append(Line(name, expected, await answerer.answer(path)))
            sys.stdout.write(f"{lines[-1]}\n")
            sys.stdout.flush()
    sys.stdout.write(f"\n{summary(lines)}\n")
    return int(not all(line.is_right for line in lines))


if __name__ == "__main__":
    sys.exit(asyncio.run(main(sys.argv[1:])))
