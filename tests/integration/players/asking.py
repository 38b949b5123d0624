"""One file, asked of all players and of the worker."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from sentinel_worker.media.zygote import Zygote
from tests.integration.players.answers import Answer
from tests.integration.players.browser import AskBrowser, browser
from tests.integration.players.command import ask_command
from tests.integration.players.comparison import Difference, differences, wrong_length
from tests.integration.players.product import Analyzed, analyze, moments_of


@dataclass(frozen=True, slots=True)
class Asked:
    """The answers about one file, and the differences."""

    name: str
    worker: Analyzed
    command: Answer
    browser: Answer
    differences: tuple[Difference, ...]


@dataclass(frozen=True, slots=True)
class Everyone:
    """The worker's decoding children and the browser, both running. Files lie in `folder`."""

    zygote: Zygote
    folder: Path
    ask_browser: AskBrowser

    async def ask(self, name: str, path: Path, same: float) -> Asked:
        """Ask about a file and delete it. `same` is the largest mean difference of two pictures that are the same."""
        worker = await analyze(self.zygote, path)
        moments = moments_of(worker.facts)
        command = await ask_command(path, moments)
        # Only where a player had a choice; listening takes as long as the sound.
        listen = worker.facts is not None and worker.facts.audio_tracks > 1
        shown = await self.ask_browser(path.name, moments, command.begin_seconds, listen)
        found = [
            *differences("FFmpeg", command, worker.answer, same=same),
            *differences("Chromium", shown, worker.answer, same=same),
            *wrong_length("Chromium", shown, worker.answer, command.begin_seconds),
            *(Difference("the worker", "damage", fault) for fault in worker.faults),
        ]
        if worker.answer.plays and not command.plays and not shown.plays:
            found.append(Difference("the worker", "not played", f"{command.error}; {shown.error}"))
        path.unlink()
        return Asked(name, worker, command, shown, tuple(found))


@asynccontextmanager
async def everyone(zygote: Zygote, folder: Path) -> AsyncIterator[Everyone]:
    """Start the browser for the files in a new folder `files`."""
    files = folder / "files"
    files.mkdir(mode=0o700)
    async with browser(folder / "site", files) as ask:
        yield Everyone(zygote, files, ask)
