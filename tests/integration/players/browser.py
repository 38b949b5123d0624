"""A file as Debian's Chromium plays it: `<img>` and `<video>` on a page, driven by Playwright."""

from __future__ import annotations

import base64
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

from PIL import Image
from playwright.async_api import async_playwright

from tests.acceptance.browser import served
from tests.integration.players.answers import Answer, Small, small

_PAGE: Final = Path(__file__).parent
_ARGUMENTS: Final = (
    "--no-sandbox",  # Chromium's sandbox does not work as root
    "--autoplay-policy=no-user-gesture-required",
    "--enable-blink-features=AudioVideoTracks",
)


AskBrowser = Callable[[str, Sequence[float], float, bool], Awaitable[Answer]]
"""Takes the file's name, moments, the time of the first picture in the file, and whether to listen to the pitch."""


@asynccontextmanager
async def browser(site: Path, files: Path) -> AsyncIterator[AskBrowser]:
    """Start Chromium on a page that opens the files of a folder. `site` is a new folder for the page."""
    site.mkdir()
    for name in ("page.html", "page.mjs"):
        (site / name).symlink_to(_PAGE / name)
    (site / "files").symlink_to(files)
    with served(site) as origin:
        async with async_playwright() as playwright:
            chromium = await playwright.chromium.launch(executable_path=shutil.which("chromium"), args=_ARGUMENTS)
            page = await chromium.new_page()
            await page.goto(f"{origin}/page.html")
            await page.wait_for_function("Boolean(window.show)")

            async def ask(name: str, moments: Sequence[float], begin: float, listen: bool) -> Answer:
                asked = [f"files/{quote(name)}", list(moments), begin, listen]
                return _read(await page.evaluate("(asked) => window.show(...asked)", asked))

            try:
                yield ask
            finally:
                await chromium.close()


def _read(found: dict[str, Any]) -> Answer:
    if found["kind"] == "nothing":
        return Answer(error=found["error"])
    shown = {moment: _pixels(picture) for moment, picture in found["shown"] if picture is not None}
    is_film = found["kind"] == "film"
    return Answer(
        frames=(None if found["isSeen"] else 0) if is_film else found["frames"],
        width=found["width"],
        height=found["height"],
        seconds=None if is_film else found["seconds"],
        shown=shown,
        sound_seconds=_sound_seconds(found) if is_film else 0.0,
        hertz=found.get("hertz"),
        file_seconds=found["seconds"] if is_film else None,
    )


def _sound_seconds(found: dict[str, Any]) -> float:
    if found["isDisabled"]:
        return 0.0
    return found["decodedSeconds"] or (found["seconds"] if found["isHeard"] else 0.0) or 0.0


def _pixels(picture: dict[str, Any]) -> Small:
    size = (picture["width"], picture["height"])
    return small(Image.frombytes("RGBA", size, base64.b64decode(picture["rgba"])))
