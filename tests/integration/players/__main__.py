"""`python -m tests.integration.players`: what players play of every file, and what the worker reads of it.

With words after it, only files whose names contain one of them. Exit code 1: a difference has no explanation, or an
explanation no difference.
"""

# ruff: noqa: T201 - it prints
from __future__ import annotations

import asyncio
import sys
import tempfile
from collections.abc import Mapping
from functools import cache
from pathlib import Path

from examples import samples
from sentinel_worker.media.zygote import Zygote
from tests.acceptance.browser import missing_browser
from tests.fuzz.corpus import make_corpus
from tests.integration.people.studio import REAL, TAMPERED
from tests.integration.players.asking import everyone
from tests.integration.players.corpus import FILES, Materials, make_file
from tests.integration.players.figure import Figure
from tests.integration.players.outcome import figure_of, lines, not_needed, unexplained


async def main(words: list[str]) -> int:
    """Ask and print; return the exit code."""
    if (missing := missing_browser()) is not None:
        print(missing)
        return 1
    figure, red = Figure(), False
    with tempfile.TemporaryDirectory() as folder:
        made = _materials(Path(folder))
        zygote = Zygote()
        await zygote.start()
        try:
            async with everyone(zygote, Path(folder)) as players:
                for name in FILES:
                    if words and not any(word in name for word in words):
                        continue
                    asked = await players.ask(name, make_file(name, players.folder, made), FILES[name].same)
                    figure.add(figure_of(asked))
                    red |= bool(unexplained(asked) or not_needed(asked))
                    print(*lines(asked), sep="\n", flush=True)
        finally:
            await zygote.stop()
    print(figure)
    return int(red)


def _materials(folder: Path) -> Materials:
    @cache
    def formats() -> Mapping[str, bytes]:
        (own := folder / "formats").mkdir()
        return make_corpus(own)

    @cache
    def clips() -> tuple[Path, Path]:
        samples.make(own := folder / "clips")
        return own / REAL, own / TAMPERED

    return Materials(formats, clips)


if __name__ == "__main__":
    sys.exit(asyncio.run(main(sys.argv[1:])))
