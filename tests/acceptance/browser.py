"""supabase-js in a real browser: Debian's Chromium, driven by Playwright, on a page from another origin."""

import ctypes
import shutil
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from playwright.async_api import ConsoleMessage, Error, async_playwright

from tests.acceptance.players import SUPABASE_JS, Player, bundles
from tests.acceptance.scenarios import LIMIT_SECONDS, Parameters
from tests.acceptance.world import World


def missing_browser() -> str | None:
    """Return the reason why no browser is available, None if one is."""
    if shutil.which("chromium") is None:
        return "Chromium is missing: sh deploy/debian.sh test"
    try:
        ctypes.CDLL("libatomic.so.1")
    except OSError:
        return "libatomic.so.1 is missing, which the browser's driver needs: sh deploy/debian.sh test"
    return None


@asynccontextmanager
async def browser(world: World) -> AsyncIterator[Player]:
    """Start supabase-js in Chromium. The page's console output goes to `browser.log`."""
    _build_site(site := world.folder / "site", world.films, bundles(world.folder))
    with served(site) as origin, (world.folder / "browser.log").open("w") as log:
        async with async_playwright() as playwright:
            # Chromium's sandbox does not work as root.
            chromium = await playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
            page = await chromium.new_page()

            def note(message: ConsoleMessage) -> None:
                log.write(f"{message.type}: {message.text}\n")

            page.on("console", note)
            await page.goto(f"{origin}/index.html")
            await page.wait_for_function("window.play")
            given = {"url": world.stack.url, "key": world.stack.publishable_key, "seconds": LIMIT_SECONDS}

            async def play(name: str, parameters: Parameters) -> str | None:
                try:
                    error: str | None = await page.evaluate(
                        "([name, given]) => window.play(name, given)", [name, given | {"parameters": parameters}]
                    )
                except Error as lost:
                    return lost.message
                return error

            try:
                yield play
            finally:
                await chromium.close()


def _build_site(site: Path, films: Path, made: Path) -> None:
    site.mkdir()
    (site / "index.html").symlink_to(SUPABASE_JS / "page.html")
    (site / "films").symlink_to(films)
    (site / "browser.mjs").symlink_to(made / "browser.mjs")


class _Files(SimpleHTTPRequestHandler):
    extensions_map = SimpleHTTPRequestHandler.extensions_map | {".mjs": "text/javascript"}

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name is the base class's
        """Log nothing."""


@contextmanager
def served(folder: Path) -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(_Files, directory=str(folder))) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            thread.join()
